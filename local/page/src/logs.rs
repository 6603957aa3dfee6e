//! Applies the functions' log lines to messages.

use local_stack::logs::Entry;
use reply::outcome::Outcome;
use serde_json::Value;
use shared::lambda::counter::Counter;
use shared::lambda::logging::ShortWamid;
use shared::lambda::names::UpdateKind;

use crate::line::Line;
use crate::live::{Changed, Model};
use crate::responder::ModelAnswer;

impl Model {
    /// Applies a log line of a function.
    pub(crate) fn logged(&mut self, entry: &Entry) {
        // Metrics for CloudWatch: their counters also appear in other lines.
        if entry.fields.get("_aws").is_some() {
            return;
        }
        let named = Some(entry.field("wamid")).filter(|wamid| !wamid.is_empty());
        for wamid in named.map(|named| self.concerned(entry, named)).unwrap_or_default() {
            self.ledger.read(entry, ShortWamid::of(&wamid).as_str());
            if &*entry.function == "reply" {
                self.reply_logged(entry, &wamid);
            }
        }
        let wamid = named.map(|wamid| self.pipeline.resolve(wamid).unwrap_or(wamid).to_owned());
        self.log(|id| Line::new(id, entry, wamid));
    }

    /// The wamids of the messages that a line is about: of all messages of a turn, if it is about a record task.
    fn concerned(&mut self, entry: &Entry, wamid: &str) -> Vec<String> {
        let is_record = entry.field("update") == UpdateKind::Record.name();
        let turn = self.turns.get(wamid).filter(|_| is_record).cloned();
        if is_record && entry.field("outcome") != Outcome::Returned.name() {
            self.turns.remove(wamid);
        }
        turn.unwrap_or_else(|| vec![wamid.to_owned()])
    }

    /// Applies a line of `reply` about a message or its reply.
    fn reply_logged(&mut self, entry: &Entry, wamid: &str) {
        let Some(wamid) = self.pipeline.resolve(wamid).map(str::to_owned) else { return };
        let (outcome, error) = (entry.field("outcome"), failure(entry));
        let number = |name: &str| entry.fields.get(name).and_then(Value::as_u64);
        let deferred = entry.field("counter") == Counter::DeferredRecords.name();
        if let Some(answer) = ModelAnswer::read(entry) {
            self.pipeline.change(&wamid, |message| message.model_answered(answer));
        }
        self.pipeline.change(&wamid, |message| match entry.field("update") {
            _ if deferred => message.deferred(),
            _ if outcome.is_empty() => {}
            "message" if outcome == Outcome::Held.name() => {
                message.held(number("held_ms").unwrap_or_default())
            }
            "message" => message.attempted(outcome, error, number("joined")),
            "record" => message.recorded_later(outcome, error),
            "status" => message.status_handled(entry.field("name"), outcome),
            _ => {}
        });
        self.stale.insert(wamid.clone());
        self.mark(Changed::Message(wamid));
    }
}

/// The reason of a failure, with its class.
fn failure(entry: &Entry) -> Option<String> {
    let class = match Counter::from_name(entry.field("counter")) {
        Some(Counter::GraphPassingErrors) => "transient",
        Some(Counter::GraphAccountErrors) => "account",
        Some(Counter::GraphSlowDownErrors) => "throttled",
        Some(Counter::UnreadableEnvelopes) => "unreadable",
        Some(Counter::Panics) => "panic",
        Some(Counter::MissingAnswers) => "no reply",
        Some(Counter::UnrecordedMessages | Counter::WaitingRecords | Counter::WaitingLinks) => "database",
        _ if entry.field("outcome") == Outcome::Undeliverable.name() => "permanent",
        _ => return None,
    };
    Some(format!("{class}: {}", entry.field("reason")))
}
