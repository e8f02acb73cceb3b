use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Where a store takes its time from, so that tests can turn it.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Monotonic time since a moment that stays the same for this clock. Deadlines are counted on it.
    fn now(&self) -> Duration;

    /// The wall clock: only for deadlines that must survive a restart.
    fn wall(&self) -> SystemTime;

    /// Calls `hook` whenever time jumps, so that whoever sleeps until a deadline looks again. A clock that only
    /// flows never calls it.
    fn on_change(&self, hook: Box<dyn Fn() + Send + Sync>) {
        drop(hook);
    }
}

/// The system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

type Hook = Arc<dyn Fn() + Send + Sync>;

/// A clock for tests that stands still until it is turned.
pub struct ManualClock {
    hands: Mutex<(Duration, SystemTime)>,
    hooks: Mutex<Vec<Hook>>,
}

impl Default for ManualClock {
    fn default() -> Self {
        // A whole second of 2024, so that nothing is rounded differently from run to run.
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_067_200);
        Self { hands: Mutex::new((Duration::ZERO, wall)), hooks: Mutex::default() }
    }
}

impl ManualClock {
    /// A clock at zero, its wall clock at a fixed date.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        {
            let mut hands = locked(&self.hands);
            hands.0 = hands.0.saturating_add(by);
            hands.1 = hands.1.checked_add(by).unwrap_or(hands.1);
        }
        self.ring();
    }

    /// Sets the wall clock alone; the monotonic one goes on undisturbed.
    pub fn step_wall(&self, to: SystemTime) {
        locked(&self.hands).1 = to;
        self.ring();
    }

    fn ring(&self) {
        // Cloned out, so that a hook may read the clock or add another hook.
        let hooks = locked(&self.hooks).clone();
        for hook in hooks {
            hook();
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        locked(&self.hands).0
    }

    fn wall(&self) -> SystemTime {
        locked(&self.hands).1
    }

    fn on_change(&self, hook: Box<dyn Fn() + Send + Sync>) {
        locked(&self.hooks).push(Arc::from(hook));
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_wall_clock_leaves_monotonic_time_alone() {
        let clock = ManualClock::new();
        let hour = Duration::from_secs(3600);
        let wall = clock.wall();
        clock.step_wall(wall + hour);
        assert_eq!((clock.now(), clock.wall()), (Duration::ZERO, wall + hour));
        clock.advance(hour);
        assert_eq!((clock.now(), clock.wall()), (hour, wall + 2 * hour));
    }
}
