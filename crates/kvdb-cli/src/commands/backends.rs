use std::time::Duration;

use clap::Args;
use comfy_table::{Table, TableStyle, presets};
use kvdb::registry::BackendFactory;
use kvdb::{Capabilities, Limits};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::store::Context;

/// Show what each store that is built in can do and take
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb backends
  kvdb backends --markdown      the table of the README
  kvdb backends --json")]
pub(crate) struct Backends {
    /// As a markdown table
    #[arg(long)]
    markdown: bool,
}

impl Backends {
    pub(crate) fn run(self, mut context: Context) -> Result<(), Failure> {
        let style = if self.markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED };
        let backends = kvdb::backends();
        if context.out.is_json() {
            return backends.iter().try_for_each(|backend| context.out.line(&backend_json(backend).to_string()));
        }
        context.out.line(&table(&backends, style))
    }
}

/// What a capability means, in the order of the table.
const MEANING: &[(Capabilities, &str)] = &[
    (Capabilities::DURABLE, "what was answered survives the death of the process"),
    (Capabilities::SHARED, "several processes use it at the same time"),
    (Capabilities::LINEARIZABLE_READS, "a plain read is never stale"),
    (Capabilities::ATOMIC_LIST, "a listing shows one revision"),
    (Capabilities::REVISION_READS, "past revisions can be read"),
    (Capabilities::ORDERED_UPDATES, "a watch tells every write, in order"),
    (Capabilities::WATCH_RESUME, "a watch can begin in the past"),
    (Capabilities::TTL, "a key can go away by itself"),
    (Capabilities::LEASES, "several keys can share a time to live"),
    (Capabilities::SHARED_LEASES, "another handle can use a lease"),
    (Capabilities::LEASE_INFO, "a lease can be asked for its keys and time"),
    (Capabilities::DELETE_RANGE, "a directory is deleted in one step"),
    (Capabilities::NATIVE_TXN, "the store evaluates if/then/else itself"),
    (Capabilities::COMPACT, "history can be dropped on demand"),
    (Capabilities::KEY_VERSION, "keys count their writes"),
    (Capabilities::BINARY_KEYS, "keys may be any bytes, for backend authors"),
    (Capabilities::USERS, "users and permissions can be administered"),
    (Capabilities::MEMBERS, "cluster members can be listed; etcd's also changed"),
];

/// A row of limits: its name, its meaning, and its cell.
type LimitRow = (&'static str, &'static str, fn(&Limits) -> String);

const LIMITS: &[LimitRow] = &[
    ("key", "longest key, the domain included", |limits| bytes(limits.key_bytes)),
    ("value", "longest value, unless set otherwise", |limits| bytes(limits.value_bytes)),
    ("batch", "most bytes of one atomic write", |limits| bytes(limits.batch_bytes)),
    ("shortest TTL", "of a key or lease", |limits| format!("{:?}", limits.ttl_min)),
    ("longest TTL", "of a key or lease", |limits| limits.ttl_max.map_or_else(|| "none".to_owned(), longest)),
];

fn table(backends: &[&BackendFactory], style: TableStyle) -> String {
    let mut table = Table::new();
    table.load_style(style);
    let head = ["", "means"].into_iter().map(str::to_owned);
    table.set_header(head.chain(backends.iter().map(|backend| backend.name.to_owned())));
    for (capability, meaning) in MEANING {
        let cells = backends.iter().map(|backend| {
            let has = backend.capabilities.contains(*capability);
            if has { "yes" } else { "no" }.to_owned()
        });
        table.add_row([capability.to_string(), (*meaning).to_owned()].into_iter().chain(cells));
    }
    for (name, meaning, cell) in LIMITS {
        let cells = backends.iter().map(|backend| cell(&(backend.limits)()));
        table.add_row([*name, *meaning].into_iter().map(str::to_owned).chain(cells));
    }
    table.trim_fmt()
}

fn backend_json(backend: &BackendFactory) -> Value {
    let limits = (backend.limits)();
    json!({
        "name": backend.name,
        "aliases": backend.aliases,
        "api": backend.api,
        "package": backend.package,
        "capabilities": backend.capabilities.iter_names().map(|(name, _)| name).collect::<Vec<_>>(),
        "limits": {
            "key_bytes": limits.key_bytes,
            "value_bytes": limits.value_bytes,
            "batch_ops": limits.batch_ops,
            "batch_bytes": limits.batch_bytes,
            "ttl_min_ms": milliseconds(limits.ttl_min),
            "ttl_max_ms": limits.ttl_max.map(milliseconds),
        },
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A long time in the unit that people count it in.
fn longest(ttl: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    const YEAR: u64 = 365 * DAY;
    match ttl.as_secs() {
        seconds if seconds >= YEAR => format!("{} years", seconds / YEAR),
        seconds if seconds / DAY == 1 => "1 day".to_owned(),
        seconds if seconds >= DAY => format!("{} days", seconds / DAY),
        _ => format!("{ttl:?}"),
    }
}

/// A size in the greatest unit that is not larger, rounded down to a tenth.
fn bytes(count: usize) -> String {
    const MIB: usize = 1 << 20;
    const KIB: usize = 1 << 10;
    let (unit, name) = match count {
        usize::MAX => return "no limit".to_owned(),
        count if count >= MIB => (MIB, "MiB"),
        count if count >= KIB => (KIB, "KiB"),
        count => return format!("{count} B"),
    };
    match (count / unit, count % unit * 10 / unit) {
        (whole, 0) => format!("{whole} {name}"),
        (whole, tenth) => format!("{whole}.{tenth} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_has_its_row() {
        let told = MEANING.iter().fold(Capabilities::empty(), |told, (capability, _)| told | *capability);
        assert_eq!(told, Capabilities::all());
        assert_eq!(MEANING.len(), Capabilities::all().iter().count());
    }

    #[test]
    fn limits_are_told_in_the_greatest_unit() {
        assert_eq!(bytes(16 << 20), "16 MiB");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1000), "1000 B");
        assert_eq!(longest(Duration::from_secs(86_400)), "1 day");
        assert_eq!(longest(Duration::from_secs(2 * 86_400)), "2 days");
    }
}
