//! The README says what is true.

use crate::command::Kvdb;

const README: &str = include_str!("../../../../README.md");

#[test]
fn the_capability_table_is_the_generated_one() {
    let table = Kvdb::new().ok(&["backends", "--markdown"]);
    assert!(README.contains(table.trim_end()), "put this into README.md, from `kvdb backends --markdown`:\n{table}");
}

#[test]
fn every_command_is_named() {
    let help = Kvdb::new().ok(&["help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"demo"), "{help}");
    for name in names.iter().filter(|name| **name != "help") {
        assert!(README.contains(&format!("`kvdb {name}")), "README.md does not name `kvdb {name}`");
    }
}
