//! Java, and the archives that a server is made of.

use crate::binary::directory;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The archives of a server, with every version that may be among them.
const ARCHIVES: [&str; 10] = [
    "zookeeper-3.",
    "zookeeper-jute-3.",
    "netty-",
    "slf4j-api.",
    "slf4j-simple.",
    "commons-cli.",
    "commons-io.",
    "metrics-core.",
    "snappy-java.",
    "findbugs-annotations.",
];

#[derive(Debug)]
pub(super) struct Java {
    pub(super) binary: PathBuf,
    pub(super) class_path: OsString,
}

impl Java {
    /// The Java that was unpacked, else that of the system.
    pub(super) fn find() -> io::Result<Self> {
        let missing = |what: &str, path: &Path| {
            let path = path.display();
            let text = format!("there is no {what} at {path}: run crates/kvdb-servers/fetch.sh zookeeper");
            io::Error::new(io::ErrorKind::NotFound, text)
        };
        let servers = directory();
        let archives = servers.join("zookeeper/usr/share/java");
        let mut class_path = OsString::new();
        for file in std::fs::read_dir(&archives).map_err(|_| missing("ZooKeeper", &archives))? {
            let file = file?;
            let name = file.file_name();
            if name.to_str().is_some_and(is_needed) {
                class_path.push(file.path());
                class_path.push(":");
            }
        }
        if class_path.is_empty() {
            return Err(missing("ZooKeeper", &archives));
        }
        let binary = unpacked(&servers.join("jre/usr/lib/jvm")).or_else(of_system);
        let binary = binary.ok_or_else(|| missing("java", &servers.join("jre")))?;
        Ok(Self { binary, class_path })
    }
}

fn is_needed(name: &str) -> bool {
    name.ends_with(".jar") && ARCHIVES.iter().any(|archive| name.starts_with(archive))
}

fn unpacked(machines: &Path) -> Option<PathBuf> {
    let found = std::fs::read_dir(machines).ok()?.filter_map(|entry| Some(entry.ok()?.path().join("bin/java")));
    found.filter(|java| java.is_file()).min()
}

fn of_system() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join("java")).find(|java| java.is_file())
}

#[cfg(test)]
mod tests {
    use super::is_needed;

    #[test]
    fn an_archive_is_known_by_its_name() {
        for (name, needed) in [
            ("zookeeper-3.9.3.jar", true),
            ("zookeeper-jute-3.9.3.jar", true),
            ("zookeeper-it-3.9.3.jar", false),
            ("zookeeper.jar", false),
            ("netty-handler.jar", true),
            ("slf4j-simple.jar", true),
            ("slf4j-log4j12.jar", false),
        ] {
            assert_eq!(is_needed(name), needed, "{name}");
        }
    }
}
