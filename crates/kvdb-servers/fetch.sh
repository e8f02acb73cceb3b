#!/usr/bin/env bash
# Unpacks the servers that tests and measurements run; `fetch.sh --help` says what it takes.
set -euo pipefail

ALL=(protoc etcd consul zookeeper)

usage() {
    cat <<USAGE
fetch.sh [WHAT...]   unpacks real servers for tests; WHAT of: ${ALL[*]}; all of them if none is named

Debian packages are downloaded, their signatures checked by apt, and unpacked under target/servers. Nothing is
installed, no root is needed, and what is there already is left as it is.

  etcd       3.5 or later, from the first suite whose etcd starts here: sid, trixie, bookworm
  consul     1.8, from bullseye, the last one that Debian has
  zookeeper  3.9, from trixie; with the Java of bookworm where the system has none
  protoc     the system's if it is usable, else bookworm's; builds of this workspace then find it

  KVDB_SERVERS_DIR   where to, instead of target/servers
  DEBIAN_MIRROR      URL of a Debian mirror, instead of the one that apt is set to
USAGE
}

WHAT=()
for arg in "$@"; do
    case "$arg" in
    -h | --help)
        usage
        exit 0
        ;;
    protoc | etcd | consul | zookeeper) WHAT+=("$arg") ;;
    *)
        printf 'fetch.sh: nothing is called `%s`\n\n' "$arg" >&2
        usage >&2
        exit 2
        ;;
    esac
done
if ((${#WHAT[@]} == 0)); then
    WHAT=("${ALL[@]}")
fi

here=${BASH_SOURCE[0]%/*}
DEST=${KVDB_SERVERS_DIR:-$here/../../target/servers}
mkdir -p "$DEST"
DEST=$(cd "$DEST" && pwd)
REASON=

fail() {
    printf 'fetch.sh: cannot have %s: %s\n' "$1" "${2%.}" >&2
    printf 'fetch.sh: it comes from a Debian mirror by apt-get and dpkg-deb; DEBIAN_MIRROR=URL names another mirror\n' >&2
    exit 1
}

# A marker tells what was taken; one made by hand may be empty.
have() {
    [ -e "$DEST/$1/.ok" ] || return 1
    case "$1" in
    zookeeper) [ -e "$DEST/$2" ] && have_java ;;
    *) [ -x "$DEST/$2" ] ;;
    esac
}

have_java() {
    command -v java >/dev/null || [ -n "$(unpacked_java "$DEST/jre")" ]
}

unpacked_java() {
    ls "$1"/usr/lib/jvm/*/bin/java 2>/dev/null | head -n 1 || true
}

tell() {
    local line=
    read -r line <"$DEST/$1/.ok" || true
    printf '%s\n' "${line:-$1, unpacked before}"
}

# The first mirror of Debian itself that apt is set to, also where no index was ever downloaded.
mirror() {
    if [ -n "${DEBIAN_MIRROR:-}" ]; then
        printf '%s\n' "${DEBIAN_MIRROR%/}"
        return
    fi
    {
        apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null || true
        cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
            grep -v '^[[:space:]]*#' | tr ' \t' '\n\n' || true
    } | awk '/^[a-z+]+:\/\/.*\/debian\/?$/ && !found { sub(/\/$/, ""); print; found = 1 }'
}

# What apt complains of first, or else its last word.
complaint() {
    grep -m 1 '^[EW]: ' "$1" || tail -n 1 "$1"
}

# unpack SUITE DIRECTORY PACKAGE... : fails with the reason in REASON.
unpack() {
    local suite=$1 out=$2 site root deb tool key options
    shift 2
    for tool in apt-get dpkg-deb dpkg; do
        command -v "$tool" >/dev/null || { REASON="there is no $tool here"; return 1; }
    done
    site=$(mirror)
    [ -n "$site" ] || { REASON='apt names no Debian mirror'; return 1; }
    root=$DEST/.apt-$suite
    mkdir -p "$root/state/lists/partial" "$root/cache/archives/partial" "$root/debs"
    key=$(ls /usr/share/keyrings/debian-archive-keyring.{gpg,pgp} 2>/dev/null | head -n 1 || true)
    printf 'deb %s%s %s main\n' "${key:+[signed-by=$key] }" "$site" "$suite" >"$root/sources.list"
    options=(-qq -o "Dir::Etc::SourceList=$root/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State=$root/state" -o Dir::State::status=/dev/null -o "Dir::Cache=$root/cache"
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 -o APT::Sandbox::User=root
        -o "APT::Architecture=$(dpkg --print-architecture)" -o Debug::NoLocking=1)
    if ! [ -e "$root/updated" ]; then
        apt-get "${options[@]}" update >"$root/log" 2>&1 && ! grep -q '^[EW]:' "$root/log" ||
            { REASON="no index of $suite from $site: $(complaint "$root/log")"; return 1; }
        touch "$root/updated"
    fi
    rm -rf "$out" "$root"/debs/*
    mkdir -p "$out"
    (cd "$root/debs" && apt-get "${options[@]}" download "$@") >"$root/log" 2>&1 ||
        { REASON="no $* in $suite from $site: $(complaint "$root/log")"; return 1; }
    for deb in "$root"/debs/*.deb; do
        dpkg-deb -x "$deb" "$out" 2>"$root/log" || { REASON="$deb does not unpack: $(tail -n 1 "$root/log")"; return 1; }
    done
}

# Puts an unpacked tree in its place, with a marker that tells what it is.
place() {
    printf '%s\n' "$3" >"$1/.ok"
    rm -rf "${DEST:?}/$2"
    mv "$1" "$DEST/$2"
}

# Tells the version of the etcd in a tree if it is one that tests can use and it starts, on sockets in a directory.
usable_etcd() {
    local bin=$1/usr/bin/etcd version dir pid ready=
    version=$("$bin" --version 2>/dev/null | sed -n 's/^etcd Version: //p') || true
    case "$version" in
    3.[5-9].* | 3.[1-9][0-9].*) ;;
    *)
        REASON="etcd ${version:-of unknown version} is not 3.5 or later"
        return 1
        ;;
    esac
    dir=$(mktemp -d "$DEST/.try-XXXXXX")
    (cd "$dir" && exec "$bin" --data-dir data --log-level info --heartbeat-interval 10 --election-timeout 100 \
        --listen-client-urls unix://c:1 --advertise-client-urls unix://c:1 --listen-peer-urls unix://p:1 \
        --initial-advertise-peer-urls unix://p:1 --initial-cluster default=unix://p:1 >log 2>&1) &
    pid=$!
    for _ in $(seq 200); do
        if grep -q 'ready to serve client requests' "$dir/log" 2>/dev/null; then
            ready=1
            break
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    [ -n "$ready" ] || REASON="etcd $version does not start here: $(tail -n 1 "$dir/log")"
    rm -rf "$dir"
    [ -n "$ready" ] || return 1
    VERSION=$version
}

fetch_etcd() {
    local suite why=
    for suite in sid trixie bookworm; do
        if unpack "$suite" "$DEST/.new-etcd" etcd-server etcd-client && usable_etcd "$DEST/.new-etcd"; then
            place "$DEST/.new-etcd" etcd "etcd $VERSION from $suite"
            return
        fi
        why="$why${why:+; }$REASON"
    done
    fail etcd "$why"
}

fetch_consul() {
    local version
    unpack bullseye "$DEST/.new-consul" consul || fail consul "$REASON"
    version=$("$DEST/.new-consul/usr/bin/consul" version 2>/dev/null | sed -n '1s/^Consul v//p') || true
    case "$version" in
    1.*) place "$DEST/.new-consul" consul "consul $version from bullseye" ;;
    *) fail consul 'what was unpacked does not run here' ;;
    esac
}

fetch_zookeeper() {
    local new=$DEST/.new-zookeeper version
    unpack trixie "$new" libzookeeper-java libnetty-java libnetty-tcnative-java libslf4j-java libcommons-cli-java \
        libcommons-io-java libdropwizard-metrics-java libsnappy-java libfindbugs-annotations-java ||
        fail zookeeper "$REASON"
    version=$(basename "$(ls "$new"/usr/share/java/zookeeper-[0-9]*.jar 2>/dev/null | head -n 1)" .jar)
    [ -n "$version" ] || fail zookeeper 'what was unpacked has no server'
    relink "$new"
    have_java || fetch_java
    place "$new" zookeeper "zookeeper ${version#zookeeper-} from trixie"
}

fetch_java() {
    local new=$DEST/.new-jre java
    unpack bookworm "$new" openjdk-17-jre-headless || fail java "$REASON"
    relink "$new"
    java=$(unpacked_java "$new")
    [ -n "$java" ] && "$java" -version >/dev/null 2>&1 || fail java 'what was unpacked does not run here'
    place "$new" jre 'java 17 from bookworm'
}

# Links to absolute paths of the packages, such as the configuration of Java, lead into the tree itself.
relink() {
    local link target up
    find "$1" -type l -lname '/*' | while read -r link; do
        target=$(readlink "$link")
        [ -e "$1$target" ] || continue
        up=$(dirname "${link#"$1"/}" | sed 's#[^/][^/]*#..#g')
        ln -sfn "$up$target" "$link"
    done
}

usable_protoc() {
    local dir ok=
    dir=$(mktemp -d "$DEST/.try-XXXXXX")
    printf 'syntax = "proto3";\nimport "google/protobuf/descriptor.proto";\n' >"$dir/a.proto"
    if "$1" -I "$dir" -o /dev/null "$dir/a.proto" >/dev/null 2>&1; then ok=1; fi
    rm -rf "$dir"
    [ -n "$ok" ]
}

# The compiler that was unpacked needs its own libraries, and finds google/protobuf beside itself.
fetch_protoc() {
    local system new=$DEST/.new-protoc wrapper
    system=$(command -v protoc || true)
    mkdir -p "$DEST/bin"
    wrapper=$(mktemp "$DEST/bin/.protoc-XXXXXX")
    if [ -n "$system" ] && [ "$system" != "$DEST/bin/protoc" ] && usable_protoc "$system"; then
        rm -rf "$new"
        mkdir -p "$new"
        place "$new" protoc "$("$system" --version | sed 's/^libprotoc/protoc/') of the system"
        printf '#!/bin/sh\nexec %q "$@"\n' "$system" >"$wrapper"
    else
        unpack bookworm "$new" protobuf-compiler libprotoc32 libprotobuf32 libprotobuf-dev zlib1g || fail protoc "$REASON"
        place "$new" protoc 'protoc from bookworm'
        cat >"$wrapper" <<'WRAPPER'
#!/bin/sh
here=$(cd "$(dirname "$0")/../protoc/usr" && pwd) || exit 1
for lib in "$here"/lib/*-linux-gnu*; do
    LD_LIBRARY_PATH=$lib
done
export LD_LIBRARY_PATH
exec "$here/bin/protoc" "$@"
WRAPPER
    fi
    chmod 755 "$wrapper"
    mv "$wrapper" "$DEST/bin/protoc"
    usable_protoc "$DEST/bin/protoc" || fail protoc 'what was unpacked does not run here'
}

binary() {
    case "$1" in
    protoc) printf 'bin/protoc' ;;
    zookeeper) printf 'zookeeper/usr/share/java/zookeeper.jar' ;;
    *) printf '%s/usr/bin/%s' "$1" "$1" ;;
    esac
}

missing=
for what in "${WHAT[@]}"; do
    have "$what" "$(binary "$what")" || missing=1
done
if [ -n "$missing" ]; then
    exec 9>"$DEST/.lock"
    flock 9
    trap 'rm -rf "$DEST"/.apt-* "$DEST"/.new-* "$DEST"/.try-* "$DEST"/bin/.protoc-*' EXIT
fi
for what in "${WHAT[@]}"; do
    have "$what" "$(binary "$what")" || "fetch_$what"
    tell "$what"
done
