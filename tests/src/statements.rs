//! Contract and trials say the same: no statement without a trial, no trial without a statement.

use std::collections::BTreeSet;

use kvdb_testsuite::LANDED;

const CONTRACT: &str = include_str!("../../kvdb-core/docs/contract.md");

/// The number at the beginning of a text, such as `3.10`.
fn number(text: &str) -> Option<(u32, u32)> {
    let (chapter, statement) = text.split(' ').next()?.split_once('.')?;
    Some((chapter.parse().ok()?, statement.parse().ok()?))
}

/// The trial that compares the contract with the names of all trials, `extra` included.
#[must_use]
pub fn trial(extra: Vec<String>) -> libtest_mimic::Trial {
    libtest_mimic::Trial::test("statements: each landed one has a trial, each trial a statement", move || {
        let names = kvdb_testsuite::trials().map(|trial| trial.name.to_owned()).chain(extra);
        compare(CONTRACT, names.collect(), LANDED).map_err(libtest_mimic::Failed::from)
    })
}

fn compare(contract: &str, names: Vec<String>, landed: &[u32]) -> Result<(), String> {
    let mut statements = BTreeSet::new();
    for (chapter, statement) in contract.lines().filter_map(number) {
        if !statements.insert((chapter, statement)) {
            return Err(format!("the contract has two statements {chapter}.{statement}"));
        }
    }
    // Several statements on one line would hide all but the first.
    for chapter in statements.iter().map(|(chapter, _)| *chapter).collect::<BTreeSet<_>>() {
        let count = statements.iter().filter(|(of, _)| *of == chapter).count();
        let last = statements.iter().filter(|(of, _)| *of == chapter).map(|(_, statement)| *statement).max();
        if last != u32::try_from(count).ok() {
            return Err(format!("chapter {chapter} has {count} statements, the last is {last:?}: one is missing"));
        }
    }
    let proved: BTreeSet<(u32, u32)> = names.iter().filter_map(|name| number(name)).collect();
    let unproved: Vec<String> = statements
        .iter()
        .filter(|statement| landed.contains(&statement.0) && !proved.contains(statement))
        .map(|(chapter, statement)| format!("{chapter}.{statement}"))
        .collect();
    if !unproved.is_empty() {
        return Err(format!("statements of landed chapters without a trial: {}", unproved.join(", ")));
    }
    match names.iter().find(|name| number(name).is_some_and(|number| !statements.contains(&number))) {
        Some(name) => Err(format!("a trial without a statement: {name}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "# Title\n\n1.1 One. See 2.9 there.\n\n1.2 Two.\n2.1 Other.\n";

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_statement_of_a_landed_chapter_needs_a_trial() {
        assert_eq!(compare(SMALL, names(&["1.1 a", "1.2 b", "property c"]), &[1]), Ok(()));
        let error = compare(SMALL, names(&["1.1 a"]), &[1]).unwrap_err();
        assert!(error.contains("1.2"), "{error}");
        assert_eq!(compare(SMALL, names(&["1.1 a", "1.2 b"]), &[1]), Ok(()), "2 has not landed");
    }

    #[test]
    fn a_trial_needs_a_statement() {
        let error = compare(SMALL, names(&["1.1 a", "1.2 b", "1.3 c"]), &[1]).unwrap_err();
        assert!(error.contains("1.3 c"), "{error}");
    }

    #[test]
    fn a_statement_hidden_in_another_line_is_missed() {
        let error = compare("1.1 One. 1.2 Two.\n1.3 Three.\n", names(&[]), &[]).unwrap_err();
        assert!(error.contains("one is missing"), "{error}");
    }
}
