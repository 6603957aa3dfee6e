//! The table of outcomes, compared with the names on the local page and in the documentation.

use std::fs;
use std::path::Path;

use reply::outcome::Outcome;
use shared::lambda::counter::Counter;
use shared::lambda::names::UpdateKind;

/// The quoted strings between `before` and the next `after`.
fn quoted<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    let list = text.split(before).nth(1).and_then(|rest| rest.split(after).next()).expect(before);
    list.split('"').skip(1).step_by(2).collect()
}

#[test]
fn the_outcomes_named_by_page_and_runbook_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let stages = fs::read_to_string(root.join("local/page/web/stages.js")).expect("a script");
    let runbook = fs::read_to_string(root.join("docs/RUNBOOK.md")).expect("a document");
    let lists = [quoted(&stages, "GOOD_OUTCOMES = new Set(", ')'), quoted(&runbook, "outcome in [", ']')];
    for name in lists.iter().flatten() {
        assert!(Outcome::from_name(name).is_some(), "{name}");
    }
    assert!(lists.iter().all(|list| !list.is_empty()));
}

#[test]
fn each_outcome_and_kind_of_update_has_its_counter() {
    for (kind, outcome, counter) in [
        (UpdateKind::Message, Outcome::Answered, Counter::AnsweredMessages),
        (UpdateKind::Message, Outcome::RegistrationSent, Counter::RegistrationTexts),
        (UpdateKind::Message, Outcome::Silenced, Counter::SilencedMessages),
        (UpdateKind::Message, Outcome::Recorded, Counter::RecordedMessages),
        (UpdateKind::Record, Outcome::Recorded, Counter::HandledMessages),
        (UpdateKind::Message, Outcome::EventStored, Counter::HandledMessages),
        (UpdateKind::Echo, Outcome::Recorded, Counter::HandledEchoes),
        (UpdateKind::Echo, Outcome::EventStored, Counter::HandledEchoes),
        (UpdateKind::Status, Outcome::Applied, Counter::HandledStatuses),
        (UpdateKind::Event, Outcome::Deferred, Counter::HandledEvents),
    ] {
        assert_eq!(outcome.counter(kind), counter, "{kind:?} {outcome:?}");
    }
}
