//! The faults of a proxy.

use std::time::Duration;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    pub(super) stalled: bool,
    pub(super) delay: Duration,
    /// Bytes per second.
    pub(super) rate: Option<u64>,
    /// Bytes of answers.
    pub(super) reset_after: Option<u64>,
    pub(super) swallow: Option<Duration>,
}

impl Rules {
    /// How many bytes go in one piece, and how long it takes: a tenth of a second's worth.
    pub(super) fn piece(&self) -> (usize, Duration) {
        let Some(rate) = self.rate else { return (usize::MAX, Duration::ZERO) };
        let piece = (rate / 10).max(1);
        (
            usize::try_from(piece).unwrap_or(usize::MAX),
            Duration::from_secs(piece) / u32::try_from(rate).unwrap_or(u32::MAX),
        )
    }
}
