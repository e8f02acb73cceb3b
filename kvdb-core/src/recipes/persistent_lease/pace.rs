//! How fast tries follow each other.

use std::time::Duration;

use tokio::time::Instant;

/// The longest pause between two tries, and the first that is not none at all.
const LAST_PAUSE: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// When the next try may be made: at once after a calm time, else after a pause twice as long as the last, with jitter.
pub(super) struct Pace {
    calm: Duration,
    pause: Duration,
    last: Instant,
    at: Instant,
}

impl Pace {
    pub(super) fn new(calm: Duration) -> Self {
        let now = Instant::now();
        Self { calm, pause: Duration::ZERO, last: now, at: now }
    }

    /// From when on the next try may be made.
    pub(super) const fn at(&self) -> Instant {
        self.at
    }

    /// Counts a try.
    pub(super) fn next(&mut self) {
        let now = Instant::now();
        if now.saturating_duration_since(self.last) >= self.calm {
            self.pause = Duration::ZERO;
        }
        self.last = now;
        self.at = now + self.pause.mul_f64(rand::random_range(0.5..1.0));
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_it_is_calm() {
        let calm = Duration::from_secs(10);
        let mut pace = Pace::new(calm);
        for _ in 0..2 {
            pace.next();
            assert_eq!(pace.at(), Instant::now(), "the first after a calm time is made at once");
            let mut pauses = Vec::new();
            for _ in 0..12 {
                pace.next();
                pauses.push(pace.at() - Instant::now());
                tokio::time::sleep_until(pace.at()).await;
            }
            assert!(pauses.iter().all(|pause| *pause <= LAST_PAUSE), "{pauses:?}");
            assert!(pauses.last() >= Some(&(LAST_PAUSE / 2)), "{pauses:?}");
            tokio::time::sleep(calm).await;
        }
    }
}
