//! Log lines of a function as fields, including the counters of the alarms.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber, span};

/// One line: its fields, and its level as `level`.
pub type Line = BTreeMap<&'static str, String>;

/// Captures the log lines of the current thread until dropped.
pub struct Logs {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

impl Logs {
    /// Starts capturing.
    pub fn capture() -> Self {
        // Without a global subscriber, a call site first reached by another thread may stay disabled.
        static WHOLE_PROCESS: Once = Once::new();
        WHOLE_PROCESS.call_once(|| {
            let _ = tracing::subscriber::set_global_default(Lines::default());
        });
        let lines = Lines::default();
        let guard = tracing::subscriber::set_default(lines.clone());
        Self { lines, _guard: guard }
    }

    /// The lines since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.lines.0.lock().expect("a lock"))
    }

    /// Level and counter of each line with a counter since the last call.
    #[must_use]
    pub fn counted(&self) -> Vec<(String, String)> {
        let counted = |line: Line| Some((line["level"].clone(), line.get("counter")?.clone()));
        self.take().into_iter().filter_map(counted).collect()
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["reply", "shared", "webhook"].iter().any(|name| metadata.target().starts_with(name))
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(Line::new());
        event.record(&mut fields);
        fields.0.insert("level", event.metadata().level().to_string());
        self.0.lock().expect("a lock").push(fields.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Fields(Line);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}
