//! The README says what is true.

use crate::command::Kvdb;

const README: &str = include_str!("../../../../README.md");

/// The heading of the section that has the table.
const SECTION: &str = "## What each store can do";

/// The columns of the first markdown table by their heads, the rows' names and meanings first.
fn columns(text: &str) -> Vec<(String, Vec<String>)> {
    let rows = text.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let mut rows = rows.filter(|line| !line.starts_with("|-")).map(cells);
    let mut columns: Vec<_> = rows.next().unwrap().into_iter().map(|head| (head, Vec::new())).collect();
    for row in rows {
        assert_eq!(row.len(), columns.len(), "{row:?}");
        for ((_, column), cell) in columns.iter_mut().zip(row) {
            column.push(cell);
        }
    }
    columns
}

/// Of the stores of this build: a build of the whole workspace has all of them.
#[test]
fn the_capability_table_is_the_generated_one() {
    let generated = Kvdb::new().ok(&["backends", "--markdown"]);
    let told = columns(README.split_once(SECTION).unwrap().1);
    let wanted = columns(&generated);
    for store in ["means", "mem", "redb"] {
        assert!(wanted.iter().any(|(head, _)| head == store), "{generated}");
    }
    for column in wanted {
        assert!(told.contains(&column), "put the column `{}` into README.md, from:\n{generated}", column.0);
    }
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
