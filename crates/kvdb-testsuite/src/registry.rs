use crate::{
    Trial, chapter_01, chapter_02, chapter_03, chapter_04, chapter_05, chapter_06, chapter_07, chapter_08, chapter_09,
    chapter_10, chapter_13, property, unsupported,
};

/// The chapters of the contract that have landed: each of their statements has a trial. Those of chapters 11 and 12 are
/// the project's own, over clusters it starts and over its wrappers.
pub const LANDED: &[u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];

/// All trials of the suite, chapter by chapter.
pub fn trials() -> impl Iterator<Item = &'static Trial> {
    [
        chapter_01::TRIALS,
        chapter_02::TRIALS,
        chapter_03::TRIALS,
        chapter_04::TRIALS,
        chapter_05::TRIALS,
        chapter_06::TRIALS,
        chapter_07::TRIALS,
        chapter_08::TRIALS,
        chapter_09::TRIALS,
        chapter_10::TRIALS,
        chapter_13::TRIALS,
        unsupported::TRIALS,
        property::TRIALS,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kvdb_core::Capabilities;

    use super::*;

    #[test]
    fn no_two_trials_have_one_name() {
        let mut seen = BTreeSet::new();
        for trial in trials() {
            assert!(seen.insert(trial.name), "twice: {}", trial.name);
        }
    }

    #[test]
    fn every_capability_that_a_trial_needs_has_a_twin() {
        let twins = trials().map(|trial| trial.lacks).fold(Capabilities::empty(), Capabilities::union);
        // These show in what a store keeps and whom it lets in, not in a call that could be refused.
        let without_call = Capabilities::DURABLE | Capabilities::SHARED | Capabilities::SHARED_LEASES;
        for trial in trials() {
            let alone = trial.needs - twins - without_call;
            assert!(alone.is_empty(), "{} needs {alone}, which no twin shows as lacking", trial.name);
        }
    }
}
