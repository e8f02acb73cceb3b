//! Members as tables and as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{Table, presets};
use kvdb::MemberInfo;
use serde_json::{Value, json};

use crate::output::inline;

/// Who the members are.
pub(crate) fn of_members(members: &BTreeMap<u64, MemberInfo>) -> String {
    let head = ["ID", "NAME", "STATE", "PEERS REACH IT AT", "CLIENTS REACH IT AT"];
    table(
        head,
        members.values().map(|member| {
            [&member.id, name(member), &state(member), &urls(&member.peer_urls), &urls(&member.client_urls)]
                .map(ToString::to_string)
        }),
    )
}

/// How they are doing.
pub(crate) fn of_health(members: &BTreeMap<u64, MemberInfo>) -> String {
    let head = ["ID", "NAME", "STATE", "HEALTH", "SIZE", "REVISION", "VERSION", "LATENCY"];
    table(
        head,
        members.values().map(|member| {
            let told = |text: String| if member.latency.is_some() { text } else { "-".to_owned() };
            [
                member.id.clone(),
                name(member).to_owned(),
                state(member),
                if member.healthy { "healthy" } else { "UNHEALTHY" }.to_owned(),
                told(size(member.db_size)),
                told(member.revision.to_string()),
                told(inline(member.version.as_bytes()).into_owned()),
                member.latency.map_or_else(|| "-".to_owned(), milliseconds),
            ]
        }),
    )
}

/// A member as JSON; durations in milliseconds, what is not known is null.
pub(crate) fn member_json(member: &MemberInfo) -> Value {
    let told = member.latency.is_some();
    json!({
        "id": member.id,
        "name": member.name,
        "peer_urls": member.peer_urls,
        "client_urls": member.client_urls,
        "started": member.started,
        "learner": member.learner,
        "leader": member.leader,
        "healthy": member.healthy,
        "db_size": told.then_some(member.db_size),
        "revision": told.then_some(member.revision),
        "version": told.then_some(&member.version),
        "latency_ms": member.latency.map(|latency| latency.as_secs_f64() * 1000.0),
    })
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(head);
    for row in rows {
        table.add_row(row);
    }
    table.trim_fmt()
}

fn name(member: &MemberInfo) -> &str {
    if member.name.is_empty() { "-" } else { &member.name }
}

fn state(member: &MemberInfo) -> String {
    let state = match member {
        MemberInfo { started: false, learner: true, .. } => "learner, never started",
        MemberInfo { started: false, .. } => "never started",
        MemberInfo { learner: true, .. } => "learner",
        MemberInfo { leader: true, .. } => "leader",
        MemberInfo { latency: None, .. } => "voter",
        _ => "follower",
    };
    state.to_owned()
}

fn urls(urls: &[String]) -> String {
    if urls.is_empty() { "-".to_owned() } else { urls.join("\n") }
}

fn milliseconds(latency: Duration) -> String {
    format!("{:.1} ms", latency.as_secs_f64() * 1000.0)
}

/// A size in MiB, up to a tenth.
fn size(bytes: i64) -> String {
    const TENTH: u64 = (1 << 20) / 10;
    let tenths = u64::try_from(bytes).unwrap_or_default().div_ceil(TENTH);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvdb::Revision;

    fn members() -> BTreeMap<u64, MemberInfo> {
        let mut leader = MemberInfo::default();
        leader.id = "a".to_owned();
        leader.name = "m1".to_owned();
        (leader.started, leader.leader, leader.healthy) = (true, true, true);
        leader.peer_urls = vec!["http://10.0.0.1:2380".to_owned()];
        leader.db_size = 1 << 20;
        leader.revision = Revision::new(7);
        leader.version = "3.5.30".to_owned();
        leader.latency = Some(Duration::from_micros(1500));
        let mut new = MemberInfo::default();
        new.id = "b".to_owned();
        new.learner = true;
        let mut silent = MemberInfo::default();
        silent.id = "c".to_owned();
        silent.name = "m3".to_owned();
        silent.started = true;
        BTreeMap::from([(10, leader), (11, new), (12, silent)])
    }

    fn row(table: &str, id: &str) -> Vec<String> {
        let row =
            table.lines().find(|line| line.split('┆').next().is_some_and(|cell| cell.trim_matches(['│', ' ']) == id));
        row.unwrap_or_else(|| panic!("no {id} in {table}"))
            .split('┆')
            .map(|cell| cell.trim_matches(['│', ' ']).to_owned())
            .collect()
    }

    #[test]
    fn each_member_is_a_row_and_what_it_did_not_tell_a_dash() {
        let told = of_health(&members());
        assert_eq!(row(&told, "a"), ["a", "m1", "leader", "healthy", "1.1 MiB", "7", "3.5.30", "1.5 ms"]);
        assert_eq!(row(&told, "b"), ["b", "-", "learner, never started", "UNHEALTHY", "-", "-", "-", "-"]);
        // Whether it leads is not known of one that says nothing.
        assert_eq!(row(&told, "c"), ["c", "m3", "voter", "UNHEALTHY", "-", "-", "-", "-"]);
        let told = of_members(&members());
        assert_eq!(row(&told, "a"), ["a", "m1", "leader", "http://10.0.0.1:2380", "-"]);
    }

    #[test]
    fn json_has_null_for_what_is_not_known() {
        let all: Vec<Value> = members().values().map(member_json).collect();
        assert_eq!(all[0]["latency_ms"], 1.5);
        assert_eq!(all[0]["revision"], 7);
        assert_eq!(all[1]["revision"], Value::Null);
        assert_eq!(all[1]["learner"], true);
    }
}
