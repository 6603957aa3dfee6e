//! Events of the account and updates of unknown kinds, stored for an operator.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use shared::meta::envelope::{ReceivedEvent, ReceivedMessage, ReceivedStatus};
use shared::meta::identity::{IdentityChange, USER_ID_UPDATE};
use shared::meta::lenient::{Object, storable, storable_text, text};
use shared::meta::sender::Sender;
use uuid::Uuid;

use super::time;

/// The namespace of the ids of events.
const EVENT_IDS: Uuid = Uuid::from_u128(0xb1a7_5d0c_2c64_4b0e_8f1d_0d6c_99e5_7a18);

/// A row of the table `account_events`.
#[derive(Clone, Eq, PartialEq)]
pub struct Event {
    /// The row's id, derived from the event's content and time, so that an insert is idempotent.
    pub id: Uuid,
    /// The time at which the webhook received it.
    pub received_at: DateTime<Utc>,
    /// The WhatsApp Business Account.
    pub waba_id: Option<String>,
    /// The business number that it concerns.
    pub phone_number_id: Option<String>,
    /// The webhook field (`account_update`), or the kind of entry within a field (`errors`, `messages.calls`).
    pub name: String,
    /// Meta's JSON, as PostgreSQL can store it. May be personal data.
    pub payload: String,
    /// The identity changes that it reports.
    pub changes: Vec<Change>,
}

/// An identity change: a user has another number or user id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The previous number and user id.
    pub previous: Sender,
    /// The new number and user id, as far as reported.
    pub current: Sender,
    /// The time of the change.
    pub at: DateTime<Utc>,
}

impl Change {
    /// Builds a change in an event of `time`. Its time is at the latest `received_at`.
    #[must_use]
    pub fn new(change: IdentityChange<'_>, time: Option<&RawValue>, received_at: DateTime<Utc>) -> Self {
        let IdentityChange { previous, current, timestamp } = change;
        let at = [timestamp, time].into_iter().find_map(|time| time::plausible(time, received_at));
        Self { previous, current, at: at.unwrap_or(received_at).min(received_at) }
    }
}

impl Event {
    /// Parses an event.
    #[must_use]
    pub fn read(received: &ReceivedEvent<'_>) -> Self {
        let ReceivedEvent { received_at, time, waba_id, metadata, name, value, .. } = received;
        let changes =
            if name == USER_ID_UPDATE { IdentityChange::of_user_id_update(value) } else { Vec::new() };
        let dated = !changes.is_empty() && changes.iter().all(|change| change.timestamp.is_some());
        let distinct_time = match text(*time) {
            // The content alone identifies it, so that a redelivery at another time is the same event.
            _ if dated => "".into(),
            None if !changes.is_empty() => "".into(),
            time => time.unwrap_or_else(|| received_at.to_rfc3339().into()),
        };
        let identifier = format!("{distinct_time}\n{}", value.get());
        let mut event = Self::new(name, value, *received_at, *waba_id, *metadata, &identifier);
        event.changes = changes.into_iter().map(|change| Change::new(change, *time, *received_at)).collect();
        event
    }

    /// Builds the event for a message that belongs to no history.
    #[must_use]
    pub fn of_message(received: &ReceivedMessage<'_>, name: &str) -> Self {
        let ReceivedMessage { received_at, waba_id, metadata, message, .. } = received;
        let wamid = Object::of(Some(message)).string("id");
        let identifier = wamid.unwrap_or_else(|| format!("{}\n{}", received_at.to_rfc3339(), message.get()));
        Self::new(name, message, *received_at, *waba_id, *metadata, &identifier)
    }

    /// Builds the event for a status that does not belong to a message.
    #[must_use]
    pub fn of_status(received: &ReceivedStatus<'_>) -> Self {
        let ReceivedStatus { received_at, waba_id, metadata, status, .. } = received;
        let identifier = format!("{}\n{}", received_at.to_rfc3339(), status.get());
        Self::new("statuses", status, *received_at, *waba_id, *metadata, &identifier)
    }

    /// Builds an event. `identifier` distinguishes it from all others: its wamid, or its content and time. Without a time of
    /// Meta's, the time of arrival counts.
    fn new(
        name: &str,
        value: &RawValue,
        received_at: DateTime<Utc>,
        waba_id: Option<&RawValue>,
        metadata: Option<&RawValue>,
        identifier: &str,
    ) -> Self {
        let waba_id = text(waba_id).map(|id| storable_text(&id));
        let phone_number_id = Object::of(metadata).string("phone_number_id").map(|id| storable_text(&id));
        let account = waba_id.as_deref().unwrap_or_default();
        let identity = [account, name, identifier].join("\n");
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
    /// Omits the payload, which may be personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event").field("id", &self.id).finish_non_exhaustive()
    }
}
