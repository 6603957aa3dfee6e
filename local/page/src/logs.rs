//! What the functions' log says of each message.

use local_stack::journal::Entry;
use reply::outcome::Outcome;
use shared::lambda::counter::Counter;

use crate::line::Line;
use crate::live::{Changed, Model};

impl Model {
    /// A function has logged something.
    pub(crate) fn logged(&mut self, entry: &Entry) {
        // Metrics, which are for CloudWatch: what they count has lines of its own.
        if entry.fields.get("_aws").is_some() {
            return;
        }
        self.ledger.read(entry);
        let named = Some(entry.field("wamid")).filter(|wamid| !wamid.is_empty());
        if let Some(wamid) = named
            && &*entry.function == "reply"
        {
            self.reply_said(entry, wamid);
        }
        let wamid = named.map(|wamid| self.journeys.named(wamid).unwrap_or(wamid).to_owned());
        self.log(|id| Line::new(id, entry, wamid));
    }

    /// What `reply` says of a message or its answer.
    fn reply_said(&mut self, entry: &Entry, wamid: &str) {
        let Some(journey) = self.journeys.named(wamid).map(str::to_owned) else { return };
        let (outcome, error) = (entry.field("outcome"), failure(entry));
        let deferred = entry.field("counter") == Counter::DeferredRecords.name();
        self.journeys.change(&journey, |journey| match entry.field("update") {
            _ if deferred => journey.deferred(),
            _ if outcome.is_empty() => {}
            "message" => journey.tried(outcome, error),
            "record" => journey.recorded_later(outcome, error),
            "status" => journey.status_handled(entry.field("name"), outcome),
            _ => {}
        });
        self.stale.insert(journey.clone());
        self.tell(Changed::Journey(journey));
    }
}

/// Why something came to nothing, with the class of it.
fn failure(entry: &Entry) -> Option<String> {
    let class = match Counter::from_name(entry.field("counter")) {
        Some(Counter::GraphPassingErrors) => "passing",
        Some(Counter::GraphAccountErrors) => "account",
        Some(Counter::GraphSlowDownErrors) => "slow down",
        Some(Counter::UnreadableEnvelopes) => "unreadable",
        Some(Counter::Panics) => "panic",
        Some(Counter::MissingAnswers) => "no answer",
        Some(Counter::UnrecordedMessages | Counter::WaitingRecords) => "rows",
        _ if entry.field("outcome") == Outcome::Undeliverable.name() => "final",
        _ => return None,
    };
    Some(format!("{class}: {}", entry.field("reason")))
}
