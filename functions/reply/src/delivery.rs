//! A message as the queue delivers it.

use aws_lambda_events::event::sqs::SqsMessage;
use chrono::{DateTime, Utc};
use shared::deadline::Deadline;
use shared::envelope::{Envelope, RecordTask, UnreadableEnvelope, V1};
use shared::logging::plain;
use shared::names::UpdateKind;
use shared::trace;
use shared::wamid::Wamid;

use crate::incoming::{Entry, Event, Incoming, MessageEvent, Status};

/// One record of an SQS event.
#[derive(Clone)]
pub struct Delivery {
    /// SQS's id of the message.
    pub message_id: String,
    /// What names this delivery to the queue.
    pub receipt_handle: String,
    /// The queue that it comes from.
    pub source: Source,
    /// What must be handled one after the other: the message group; on the record queue, which has none, the
    /// wamid, because copies of a message that are handled at the same time would both be answered.
    pub group: Option<String>,
    /// How often it was delivered, this time included.
    pub receive_count: u32,
    /// When it was put on the queue.
    pub sent_at: Option<DateTime<Utc>>,
    /// The X-Ray trace that it belongs to.
    pub trace: Option<String>,
    /// What is to be done, or why that is unknown.
    pub work: Result<Work, UnreadableEnvelope>,
    /// The envelope as it arrived, for when the message goes to another queue. Personal data.
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
    /// Receives after which a message that fails again becomes a dead letter. `RedrivePolicy` allows more, for messages
    /// that were received as often only because they stood behind another.
    #[must_use]
    pub const fn max_receives(self) -> u32 {
        match self {
            Self::Inbound => 50,
            Self::Records => 100,
        }
    }
}

/// One attempt at a delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// How often it was delivered, this time included.
    pub(crate) receive_count: u32,
    /// When it must be over.
    pub(crate) deadline: Deadline,
}

/// What a delivery asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Work {
    /// A message that is to be answered.
    Answer(Box<Incoming>),
    /// A message that the business wrote itself, which is to be recorded.
    Echo(Box<Incoming>),
    /// A status that is to be recorded.
    Status(Status),
    /// An event that is to be kept.
    Event(Event),
    /// A message that is to be kept as an event.
    MessageEvent(MessageEvent),
    /// Rows that are to be written.
    Record(Box<RecordTask>),
}

impl Work {
    /// Reads an envelope.
    ///
    /// # Errors
    /// When it is not one that this version knows.
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
            Envelope::V1(V1::Record(task)) => Self::Record(task),
        })
    }

    /// Meta's id of the message that it is about; of a record task, the key of its message.
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

    /// What kind of update it is, for the log.
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

    /// Which type, status or event it is, for the log.
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
    /// See [`Work::wamid`].
    #[must_use]
    pub fn wamid(&self) -> Option<&str> {
        self.work.as_ref().ok().and_then(Work::wamid)
    }
}

impl From<SqsMessage> for Delivery {
    fn from(record: SqsMessage) -> Self {
        let attribute = |name: &str| record.attributes.get(name).cloned();
        let group = attribute("MessageGroupId");
        let receive_count =
            attribute("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
        let sent_at = attribute("SentTimestamp").and_then(|milliseconds| milliseconds.parse().ok());
        // The inbound queue is FIFO, the record queue is not: the group tells them apart. (A standard queue
        // may carry groups too, so the queue's name has the last word.)
        let fifo = record.event_source_arn.as_deref().map_or(group.is_some(), |arn| arn.ends_with(".fifo"));
        let body = record.body.unwrap_or_default();
        let work = Work::read(&body);
        // A status has nothing to do with its message's handling.
        let of_message = |work: &&Work| matches!(work.update(), UpdateKind::Message | UpdateKind::Record);
        let message = || work.as_ref().ok().filter(of_message);
        let wamid = || message().and_then(Work::wamid).map(str::to_owned);
        Self {
            message_id: record.message_id.unwrap_or_default(),
            receipt_handle: record.receipt_handle.unwrap_or_default(),
            source: if fifo { Source::Inbound } else { Source::Records },
            group: if fifo { group } else { wamid() },
            receive_count,
            sent_at: sent_at.and_then(DateTime::from_timestamp_millis),
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
    fn the_queue_s_name_says_which_it_is_and_copies_on_the_record_queue_share_a_group() {
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
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(body: String, message in "[\\[{\"a-z:0-9,}\\]]{0,40}") {
            let _ = Work::read(&body);
            let _ = Work::read(&format!(r#"{{"v1":{{"message":{{"received_at":"2026-11-24T03:05:00Z","message":{message}}}}}}}"#));
            let _ = Work::read(&format!(r#"{{"v1":{{"record":{message}}}}}"#));
        }
    }
}
