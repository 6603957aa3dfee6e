//! PostgreSQL's warnings, as the client hands them on: events of `tracing`.

use std::cell::RefCell;
use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

thread_local! {
    static KEPT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The warnings that connections of this thread receive from now on.
pub struct Warnings(());

/// One for the whole process: whether an event is of interest is remembered for all threads, and a subscriber of one
/// thread would not be asked about what another thread has already met.
struct Kept;

impl Warnings {
    pub fn keep() -> Self {
        let _ = tracing::subscriber::set_global_default(Kept);
        // What another thread met while it was being set.
        tracing::callsite::rebuild_interest_cache();
        KEPT.take();
        Self(())
    }

    /// All so far.
    pub fn all(&self) -> Vec<String> {
        KEPT.with_borrow(Clone::clone)
    }
}

impl Subscriber for Kept {
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

impl Visit for Kept {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            KEPT.with_borrow_mut(|kept| kept.push(format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            KEPT.with_borrow_mut(|kept| kept.push(value.to_owned()));
        }
    }
}
