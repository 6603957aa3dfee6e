//! PostgreSQL's warnings as `tracing` events from the client.

use std::cell::RefCell;
use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

thread_local! {
    static WARNINGS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The warnings received by connections of this thread from now on.
pub(crate) struct Warnings(());

/// One subscriber for the whole process: interest in a call site is cached for all threads, so a subscriber
/// of one thread would miss call sites already reached by another.
struct Collector;

impl Warnings {
    pub(crate) fn capture() -> Self {
        let _ = tracing::subscriber::set_global_default(Collector);
        // Call sites reached by another thread in the meantime.
        tracing::callsite::rebuild_interest_cache();
        WARNINGS.take();
        Self(())
    }

    /// All warnings so far.
    pub(crate) fn all(&self) -> Vec<String> {
        WARNINGS.with_borrow(Clone::clone)
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::postgres::notice" && *metadata.level() == Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Self);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Visit for Collector {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            WARNINGS.with_borrow_mut(|kept| kept.push(format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            WARNINGS.with_borrow_mut(|kept| kept.push(value.to_owned()));
        }
    }
}
