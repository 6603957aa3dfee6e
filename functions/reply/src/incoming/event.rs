//! What Meta says about the account, and what this version does not know: kept for a person to look at.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use shared::envelope::{ReceivedEvent, ReceivedMessage, ReceivedStatus};
use shared::identity::{IdentityChange, USER_ID_UPDATE};
use shared::lenient::{Object, storable, storable_text, text};
use shared::sender::Sender;
use uuid::Uuid;

use super::time;

/// The namespace of the ids of events.
const EVENT_IDS: Uuid = Uuid::from_u128(0xb1a7_5d0c_2c64_4b0e_8f1d_0d6c_99e5_7a18);

/// A row of the table `account_events`.
#[derive(Clone, Eq, PartialEq)]
pub struct Event {
    /// The row's id, derived from what it says and when, so that writing twice is writing once.
    pub id: Uuid,
    /// When the webhook received it.
    pub received_at: DateTime<Utc>,
    /// The WhatsApp Business Account.
    pub waba_id: Option<String>,
    /// The business number that it is about.
    pub phone_number_id: Option<String>,
    /// The webhook field (`account_update`), or what it is beside a field's messages (`errors`, `messages.calls`).
    pub name: String,
    /// What Meta said, as JSON that PostgreSQL can hold. May be personal data.
    pub payload: String,
    /// Who has changed their number or user id, as it says.
    pub changes: Vec<Change>,
}

/// Somebody has another number or user id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// By what they were known.
    pub previous: Sender,
    /// By what they are known now, as far as it is said.
    pub current: Sender,
    /// When it happened.
    pub at: DateTime<Utc>,
}

impl Change {
    /// A change of an event that happened at `time`, and at the latest when it was received.
    #[must_use]
    pub fn new(change: IdentityChange<'_>, time: Option<&RawValue>, received_at: DateTime<Utc>) -> Self {
        let IdentityChange { previous, current, timestamp } = change;
        let at = [timestamp, time].into_iter().find_map(|time| time::plausible(time, received_at));
        Self { previous, current, at: at.unwrap_or(received_at).min(received_at) }
    }
}

impl Event {
    /// Reads an event.
    #[must_use]
    pub fn read(received: &ReceivedEvent<'_>) -> Self {
        let ReceivedEvent { received_at, time, waba_id, metadata, name, value, .. } = received;
        let changes =
            if name == USER_ID_UPDATE { IdentityChange::of_user_id_update(value) } else { Vec::new() };
        let dated = !changes.is_empty() && changes.iter().all(|change| change.timestamp.is_some());
        let told_at = match text(*time) {
            // What it says tells it from any other, whenever it is delivered.
            _ if dated => "".into(),
            None if !changes.is_empty() => "".into(),
            time => time.unwrap_or_else(|| received_at.to_rfc3339().into()),
        };
        let what = format!("{told_at}\n{}", value.get());
        let mut event = Self::new(name, value, *received_at, *waba_id, *metadata, &what);
        event.changes = changes.into_iter().map(|change| Change::new(change, *time, *received_at)).collect();
        event
    }

    /// A message that is kept as an event: it belongs to no history.
    #[must_use]
    pub fn of_message(received: &ReceivedMessage<'_>, name: &str) -> Self {
        let ReceivedMessage { received_at, waba_id, metadata, message, .. } = received;
        let wamid = Object::of(Some(message)).string("id");
        let what = wamid.unwrap_or_else(|| format!("{}\n{}", received_at.to_rfc3339(), message.get()));
        Self::new(name, message, *received_at, *waba_id, *metadata, &what)
    }

    /// A status that is none of a message.
    #[must_use]
    pub fn of_status(received: &ReceivedStatus<'_>) -> Self {
        let ReceivedStatus { received_at, waba_id, metadata, status, .. } = received;
        let what = format!("{}\n{}", received_at.to_rfc3339(), status.get());
        Self::new("statuses", status, *received_at, *waba_id, *metadata, &what)
    }

    /// `what` tells an event from all others: its wamid, or what it says and when; where Meta gives no time, the arrival
    /// does.
    fn new(
        name: &str,
        value: &RawValue,
        received_at: DateTime<Utc>,
        waba_id: Option<&RawValue>,
        metadata: Option<&RawValue>,
        what: &str,
    ) -> Self {
        let waba_id = text(waba_id).map(|id| storable_text(&id));
        let phone_number_id = Object::of(metadata).string("phone_number_id").map(|id| storable_text(&id));
        let account = waba_id.as_deref().unwrap_or_default();
        let identity = [account, name, what].join("\n");
        Self {
            id: Uuid::new_v5(&EVENT_IDS, identity.as_bytes()),
            received_at,
            waba_id,
            phone_number_id,
            name: storable_text(name),
            payload: storable(value).into_owned(),
            changes: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Event {
    /// Without the payload, which may be personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event").field("id", &self.id).finish_non_exhaustive()
    }
}
