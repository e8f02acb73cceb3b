//! Reads along with every log line of the process, so that a trial can tell that a text is in none of them.

use std::fmt;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A text that no log line may hold: trials write it where values and secrets go.
pub(crate) const CANARY: &str = "canary-5d1c-do-not-show";

/// A text that a trial logs itself, to see that the lines are read.
pub(crate) const PROBE: &str = "probe-77ab-shows";

static CANARIES: AtomicUsize = AtomicUsize::new(0);
static PROBES: AtomicUsize = AtomicUsize::new(0);
static SPANS: AtomicUsize = AtomicUsize::new(1);

/// Begins to read along, at every level.
pub(crate) fn read_along() {
    static ONCE: Once = Once::new();
    // A process that reads its log otherwise is left alone; the trial's probe then tells.
    ONCE.call_once(|| drop(tracing::subscriber::set_global_default(Reader)));
}

/// How many lines held the canary, and how many the probe, so far.
pub(crate) fn seen() -> (usize, usize) {
    (CANARIES.load(Ordering::SeqCst), PROBES.load(Ordering::SeqCst))
}

struct Reader;

struct Line;

impl Visit for Line {
    fn record_debug(&mut self, _field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        CANARIES.fetch_add(text.matches(CANARY).count(), Ordering::SeqCst);
        PROBES.fetch_add(text.matches(PROBE).count(), Ordering::SeqCst);
    }
}

impl Subscriber for Reader {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Line);
        Id::from_u64(SPANS.fetch_add(1, Ordering::Relaxed) as u64)
    }

    fn record(&self, _span: &Id, values: &Record<'_>) {
        values.record(&mut Line);
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Line);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}
