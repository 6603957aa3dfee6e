//! A message as the queue delivers it.

use aws_lambda_events::event::sqs::SqsMessage;
use chrono::{DateTime, TimeDelta, Utc};
use shared::lambda::deadline::Deadline;
use shared::lambda::logging::plain;
use shared::lambda::names::UpdateKind;
use shared::lambda::trace;
use shared::meta::envelope::{Envelope, RecordTask, UnreadableEnvelope, V1};
use shared::meta::wamid::Wamid;

use crate::incoming::{Entry, Event, Incoming, MessageEvent, Status};

/// One record of an SQS event.
#[derive(Clone)]
pub struct Delivery {
    /// SQS's id of the message.
    pub message_id: String,
    /// The handle of this delivery in calls to the queue.
    pub receipt_handle: String,
    /// The queue that delivered it.
    pub source: Source,
    /// Deliveries with the same value are handled one after the other. It is the message group; on the record queue,
    /// which has none, the wamid, because copies of a message that are handled concurrently would all be answered.
    pub group: Option<String>,
    /// The number of deliveries so far, including this one.
    pub receive_count: u32,
    /// The time at which it was put on the queue.
    pub sent_at: Option<DateTime<Utc>>,
    /// The time of the first of these deliveries.
    pub first_received_at: Option<DateTime<Utc>>,
    /// The X-Ray trace that it belongs to.
    pub trace: Option<String>,
    /// The parsed envelope, or the reason why it is unreadable.
    pub work: Result<Work, UnreadableEnvelope>,
    /// The envelope as received, to be moved to another queue. Personal data.
    pub body: String,
}

/// The two queues that feed `reply`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// FIFO: messages, in the order of each sender.
    Inbound,
    /// Standard: rows that could not be written yet, and messages that failed each time on the inbound queue.
    Records,
}

impl Source {
    /// Returns the number of receives after which a message that fails again is dead-lettered. `RedrivePolicy` allows
    /// more, for messages that were received as often only because they were behind a failing one in their group.
    #[must_use]
    pub const fn max_receives(self) -> u32 {
        match self {
            Self::Inbound => 50,
            Self::Records => 100,
        }
    }
}

/// The time from the receipt of a message by the webhook until it is on the queue, at most: the webhook's timeout on
/// Lambda is ten seconds, and clocks differ.
const QUEUED_WITHIN: TimeDelta = TimeDelta::seconds(30);

/// One attempt at a delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// The number of deliveries so far, including this one.
    pub(crate) receive_count: u32,
    /// Whether an earlier one may have sent a reply.
    pub(crate) is_repeated: bool,
    /// The number of attempts so far, including this one: deliveries without those at which the message was held.
    pub(crate) tries: u32,
    /// The time by which it must end.
    pub(crate) deadline: Deadline,
}

/// The work that a delivery requests.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Work {
    /// A message to be answered.
    Answer(Box<Incoming>),
    /// A business echo, a message that the business sent from its app, to be recorded.
    Echo(Box<Incoming>),
    /// A status to be recorded.
    Status(Status),
    /// An event to be stored.
    Event(Event),
    /// A message to be stored as an event.
    MessageEvent(MessageEvent),
    /// Rows to be written, after the rest of a long reply if there is one.
    Record(Box<RecordTask>),
}

impl Work {
    /// Reads an envelope.
    ///
    /// # Errors
    /// When this version does not know the envelope.
    pub fn read(body: &str) -> Result<Self, UnreadableEnvelope> {
        Ok(match Envelope::from_body(body)? {
            Envelope::V1(V1::Message(received)) => match Entry::read(&received) {
                Entry::Message(message) => Self::Answer(message),
                Entry::Event(event) => Self::MessageEvent(event),
            },
            Envelope::V1(V1::Echo(received)) => match Entry::read_echo(&received) {
                Entry::Message(echo) => Self::Echo(echo),
                Entry::Event(event) => Self::MessageEvent(event),
            },
            Envelope::V1(V1::Status(received)) => {
                Status::read(&received).map_or_else(|| Self::Event(Event::of_status(&received)), Self::Status)
            }
            Envelope::V1(V1::Event(received)) => Self::Event(Event::read(&received)),
            Envelope::V1(V1::Record(task) | V1::Turn(task)) => Self::Record(task),
        })
    }

    /// Returns the wamid of the message that it concerns; for a record task, the key of its message.
    #[must_use]
    pub fn wamid(&self) -> Option<&str> {
        match self {
            Self::Answer(message) | Self::Echo(message) => message.key.wamid().map(Wamid::as_str),
            Self::MessageEvent(event) => event.wamid.as_ref().map(Wamid::as_str),
            Self::Status(status) => Some(status.wamid.as_str()),
            Self::Event(_) => None,
            Self::Record(task) => Some(task.exchange.key.as_str()),
        }
    }

    /// Returns the kind of update, for the logs.
    #[must_use]
    pub fn update(&self) -> UpdateKind {
        match self {
            Self::Answer(_) => UpdateKind::Message,
            Self::Echo(_) => UpdateKind::Echo,
            Self::MessageEvent(event) => event.update,
            Self::Status(_) => UpdateKind::Status,
            Self::Event(_) => UpdateKind::Event,
            Self::Record(_) => UpdateKind::Record,
        }
    }

    /// Returns the message type, status or event name, for the logs.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Answer(message) | Self::Echo(message) => Some(plain(&message.kind)),
            Self::MessageEvent(event) => Some(plain(&event.kind)),
            Self::Status(status) => Some(plain(&status.name)),
            Self::Event(event) => Some(plain(&event.name)),
            Self::Record(_) => None,
        }
    }
}

impl Delivery {
    /// Returns the wamid of the message that it concerns, see [`Work::wamid`].
    #[must_use]
    pub fn wamid(&self) -> Option<&str> {
        self.work.as_ref().ok().and_then(Work::wamid)
    }

    /// Returns its message, if it is one to be answered.
    #[must_use]
    pub fn message(&self) -> Option<&Incoming> {
        match &self.work {
            Ok(Work::Answer(message)) => Some(message),
            _ => None,
        }
    }

    /// Returns whether an earlier attempt at its message may have sent a reply: it was delivered before, or it was
    /// quarantined or redriven from the dead-letter queue, which makes it a new one for SQS, or it is late.
    pub(crate) fn is_repeated(&self) -> bool {
        let is_another = self.message().is_some_and(|message| {
            let is_moved = self.sent_at.is_some_and(|sent_at| sent_at - message.received_at > QUEUED_WITHIN);
            self.source == Source::Records || is_moved || message.is_late()
        });
        self.receive_count > 1 || is_another
    }

    /// Returns the time at which the webhook received its message, or put it on the queue.
    #[must_use]
    pub fn received_at(&self) -> Option<DateTime<Utc>> {
        self.message().map(|message| message.received_at).or(self.sent_at)
    }
}

impl From<SqsMessage> for Delivery {
    fn from(record: SqsMessage) -> Self {
        let attribute = |name: &str| record.attributes.get(name).cloned();
        let group = attribute("MessageGroupId");
        let receive_count =
            attribute("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
        let time =
            |name| attribute(name).and_then(|at| at.parse().ok()).and_then(DateTime::from_timestamp_millis);
        // The inbound queue is FIFO, the record queue is not. The queue's name decides, because messages on a standard
        // queue may have groups too; without a name, the presence of a group decides.
        let fifo = record.event_source_arn.as_deref().map_or(group.is_some(), |arn| arn.ends_with(".fifo"));
        let body = record.body.unwrap_or_default();
        let work = Work::read(&body);
        let key = || match work.as_ref().ok()? {
            // A message without a usable wamid has a key, too.
            Work::Answer(message) => Some(message.key.as_str()),
            Work::Record(task) => Some(task.exchange.key.as_str()),
            Work::MessageEvent(MessageEvent { update: UpdateKind::Message, wamid, .. }) => {
                wamid.as_ref().map(Wamid::as_str)
            }
            // Independent of the handling of a message.
            Work::MessageEvent(_) | Work::Echo(_) | Work::Status(_) | Work::Event(_) => None,
        };
        Self {
            message_id: record.message_id.unwrap_or_default(),
            receipt_handle: record.receipt_handle.unwrap_or_default(),
            source: if fifo { Source::Inbound } else { Source::Records },
            group: if fifo { group } else { key().map(str::to_owned) },
            receive_count,
            sent_at: time("SentTimestamp"),
            first_received_at: time("ApproximateFirstReceiveTimestamp"),
            trace: attribute(trace::SQS_ATTRIBUTE),
            work,
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn delivery(body: &str, arn: Option<&str>, group: Option<&str>) -> Delivery {
        let mut record = SqsMessage::default();
        record.body = Some(body.to_owned());
        record.event_source_arn = arn.map(str::to_owned);
        record.attributes =
            group.map(|group| ("MessageGroupId".to_owned(), group.to_owned())).into_iter().collect();
        record.attributes.insert("SentTimestamp".to_owned(), "1795489500323".to_owned());
        record.into()
    }

    #[test]
    fn the_arn_decides_the_source_and_copies_share_a_group() {
        let body =
            json!({"v1": {"message": {"received_at": "2026-11-24T03:05:00Z", "message": {"id": "wamid.1"}}}});
        let body = body.to_string();
        let inbound = delivery(&body, Some("arn:aws:sqs:eu-central-1:1:inbound.fifo"), Some("sender"));
        assert_eq!((inbound.source, inbound.group.as_deref()), (Source::Inbound, Some("sender")));
        let records = delivery(&body, Some("arn:aws:sqs:eu-central-1:1:records"), Some("fair"));
        assert_eq!((records.source, records.group.as_deref()), (Source::Records, Some("wamid.1")));
        assert_eq!(delivery(&body, None, Some("sender")).source, Source::Inbound);
        assert_eq!(delivery(&body, None, None).source, Source::Records);
        assert_eq!((records.receive_count, records.work.is_ok()), (1, true));
        assert_eq!(
            records.sent_at.map(|at| at.to_rfc3339()).as_deref(),
            Some("2026-11-24T03:05:00.323+00:00")
        );
        assert_eq!(delivery("hello", Some("arn:aws:sqs:eu-central-1:1:records"), None).group, None);
        let long = json!({"v1": {"message": {"received_at": "2026-11-24T03:05:00Z",
            "message": {"id": "w".repeat(1025), "from": "16505551234"}}}});
        let unusable = delivery(&long.to_string(), Some("arn:aws:sqs:eu-central-1:1:records"), None);
        assert!(unusable.group.is_some() && unusable.wamid().is_none());
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(body: String, message in "[\\[{\"a-z:0-9,}\\]]{0,40}") {
            let _ = Work::read(&body);
            let _ = Work::read(&format!(r#"{{"v1":{{"message":{{"received_at":"2026-11-24T03:05:00Z","message":{message}}}}}}}"#));
            let _ = Work::read(&format!(r#"{{"v1":{{"record":{message}}}}}"#));
        }
    }
}
