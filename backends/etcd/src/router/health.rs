//! What is known of a member's health, in a few atomic numbers that every call reads.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A member that owes an answer for longer than this is doubted: new calls go elsewhere. Calls take milliseconds; a disk
/// that stalls or an election may take longer, and then another member serves as well.
pub(super) const DOUBT: Duration = Duration::from_millis(500);

/// How long a member is left alone after its first failure; each further one doubles it, up to [`LAST_REST`].
const FIRST_REST: Duration = Duration::from_millis(200);
const LAST_REST: Duration = Duration::from_secs(10);

/// Milliseconds since a router began, from 1 on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> u64 {
        millis(self.0.elapsed()).saturating_add(1)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The numbers are hints: races between them cost at most a call that goes to one member instead of another.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// When the first call began that nothing was heard after; 0 if the last thing heard was an answer.
    unanswered_since: AtomicU64,
    /// Until when the member is left alone while there are others.
    resting_until: AtomicU64,
    failures: AtomicU32,
}

impl Health {
    /// A call goes to the member.
    pub(super) fn asked(&self, now: u64) {
        if self.unanswered_since.load(Relaxed) == 0 {
            self.unanswered_since.store(now, Relaxed);
        }
    }

    /// The member said something.
    pub(super) fn answered(&self) {
        if self.unanswered_since.load(Relaxed) != 0 {
            self.unanswered_since.store(0, Relaxed);
        }
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
            self.resting_until.store(0, Relaxed);
        }
    }

    /// The member did not work, or could not.
    pub(super) fn failed(&self, now: u64) {
        let failures = self.failures.fetch_add(1, Relaxed).min(16);
        let rest = FIRST_REST.saturating_mul(1 << failures).min(LAST_REST);
        self.resting_until.store(now.saturating_add(millis(rest)), Relaxed);
        self.unanswered_since.store(0, Relaxed);
    }

    /// Whether the member has owed an answer for too long.
    pub(super) fn doubted(&self, now: u64) -> bool {
        let since = self.unanswered_since.load(Relaxed);
        since != 0 && now.saturating_sub(since) > millis(DOUBT)
    }

    /// Whether the member is left alone for now.
    pub(super) fn resting(&self, now: u64) -> bool {
        self.resting_until.load(Relaxed) > now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_doubted_while_nothing_answers_its_first_open_call() {
        let health = Health::default();
        assert!(!health.doubted(1_000_000), "nothing was asked");
        health.asked(1000);
        health.asked(1400);
        assert!(!health.doubted(1500));
        assert!(health.doubted(1501), "the later call does not hide the first");
        health.answered();
        assert!(!health.doubted(9000));
        health.asked(9000);
        assert!(!health.doubted(9500));
    }

    #[test]
    fn a_member_that_fails_rests_ever_longer_until_it_answers() {
        let health = Health::default();
        assert!(!health.resting(0));
        for rest in [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000] {
            health.failed(50);
            assert!(health.resting(50 + rest - 1) && !health.resting(50 + rest), "{rest}");
        }
        health.answered();
        assert!(!health.resting(51));
        health.failed(50);
        assert!(!health.resting(250), "the answer made it begin anew");
    }

    #[test]
    fn a_failure_ends_the_doubt() {
        let health = Health::default();
        health.asked(1);
        health.failed(2);
        assert!(!health.doubted(10_000));
    }
}
