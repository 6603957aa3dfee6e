//! Statuses of sent messages.

use chrono::{DateTime, Utc};
use shared::lambda::logging::plain;
use shared::meta::envelope::ReceivedStatus;
use shared::meta::lenient::{Object, read, storable, storable_text};
use shared::meta::wamid::Wamid;
use shared::text::head;
use uuid::Uuid;

use super::time::plausible;
use crate::graph::Callback;

/// The namespace of the ids of statuses. A different one would duplicate every redelivered status.
const STATUS_IDS: Uuid = Uuid::from_u128(0x4c3f_1f0e_77a9_4f7b_9d52_60a8_e1b3_92d4);

/// The maximum length of an error's text, in characters.
const MAX_ERROR: usize = 1_000;

/// One status of one message: a row of the table `message_statuses`.
#[derive(Clone, Eq, PartialEq)]
pub struct Status {
    /// The row's id, derived from the status, so that an insert is idempotent.
    pub id: Uuid,
    /// The wamid of the sent message.
    pub wamid: Wamid,
    /// `sent`, `delivered`, `read`, `played`, `failed`, or a name that Meta adds later.
    pub name: String,
    /// The time of the status, to the second; the time of arrival without a timestamp of Meta's.
    pub at: DateTime<Utc>,
    /// Meta's error code, with `failed`.
    pub error_code: Option<i32>,
    /// Meta's error text.
    pub error_text: Option<String>,
    /// The category in which Meta bills the message, reported once per message, on delivery.
    pub billed_as: Option<Category>,
    /// The business number that sent the message.
    pub phone_number_id: Option<String>,
    /// The callback data of the message, if this program sent it.
    pub callback: Option<Callback>,
    /// The time at which the webhook received the status.
    pub received_at: DateTime<Utc>,
    /// Meta's JSON, as PostgreSQL can store it. Personal data.
    pub payload: String,
}

/// The category of a billed message, which determines its price.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Category {
    /// A free-form reply.
    Service,
    /// A template about something that the user requested.
    Utility,
    /// A template for marketing.
    Marketing,
    /// A template with a one-time code.
    Authentication,
    /// Any other category: replies in groups, of Meta's own agent, of general-purpose assistants.
    Other,
}

impl Category {
    /// Parses `pricing` of a status. Returns `None` when the message is free, or when another of its statuses counts.
    ///
    /// A status `sent` has `pricing` too, and is ignored: Meta bills delivered messages, and reports the price in either
    /// `delivered` or `read`. Meta will remove `billable` and retain `type`.
    /// Source: “status messages webhook reference” and “Pricing”, WhatsApp Business Platform documentation, November 2026.
    fn read(status: &Object<'_>, name: &str) -> Option<Self> {
        let pricing = status.object("pricing");
        let is_billed = match read::<bool>(pricing.get("billable")) {
            Some(billable) => billable,
            None => pricing.text("type").as_deref() == Some("regular"),
        };
        if !is_billed || !matches!(name, "delivered" | "read") {
            return None;
        }
        Some(match pricing.text("category").unwrap_or_default().as_ref() {
            "service" => Self::Service,
            "utility" => Self::Utility,
            "marketing" | "marketing_lite" => Self::Marketing,
            "authentication" | "authentication_international" => Self::Authentication,
            _ => Self::Other,
        })
    }
}

impl Status {
    /// Parses a status. Returns `None` when it does not belong to a message: it has no id or no name, or belongs to a call
    /// or a payment.
    #[must_use]
    pub fn read(received: &ReceivedStatus<'_>) -> Option<Self> {
        let status = Object::of(Some(received.status));
        if status.filled_text("type").is_some_and(|kind| kind != "message") {
            return None;
        }
        let wamid = status.wamid("id")?;
        let name = status.string("status")?;
        let timestamp = status.text("timestamp").unwrap_or_default();
        let error = status.list("errors").first().map(|error| Object::of(Some(error))).unwrap_or_default();
        let code = error.text("code").unwrap_or_default();
        let details = error.object("error_data").string("details").or_else(|| error.string("error_data"));
        let text = details.or_else(|| error.string("message")).or_else(|| error.string("title"));
        // In a group, each participant has their own status.
        let recipient = [
            "recipient_participant_user_id",
            "recipient_participant_id",
            "participant_recipient_id",
            "recipient_user_id",
            "recipient_id",
        ];
        let recipient = recipient.into_iter().find_map(|key| status.filled_text(key)).unwrap_or_default();
        let identity = [wamid.as_str(), &name, &timestamp, &code, &recipient].join("\n");
        let billed_as = Category::read(&status, &name);
        Some(Self {
            id: Uuid::new_v5(&STATUS_IDS, identity.as_bytes()),
            wamid,
            name: storable_text(&name),
            at: plausible(status.get("timestamp"), received.received_at).unwrap_or(received.received_at),
            error_code: code.parse().ok(),
            billed_as,
            error_text: text.map(|text| storable_text(head(&text, MAX_ERROR))),
            phone_number_id: Object::of(received.metadata)
                .string("phone_number_id")
                .as_deref()
                .map(storable_text),
            callback: status.text("biz_opaque_callback_data").as_deref().and_then(Callback::parse),
            received_at: received.received_at,
            payload: storable(received.status).into_owned(),
        })
    }
}

impl std::fmt::Debug for Status {
    /// Omits the payload, which names the recipient.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Status");
        debug.field("wamid", &self.wamid).field("name", &plain(&self.name)).field("at", &self.at);
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(status: &Value) -> Option<Status> {
        let json = status.to_string();
        Status::read(&ReceivedStatus {
            received_at: DateTime::from_timestamp(1_750_030_100, 5_000).expect("a time"),
            waba_id: None,
            metadata: serde_json::from_str(r#"{"phone_number_id":"106540352242922"}"#).ok(),
            truncation: None,
            status: serde_json::from_str(&json).expect("JSON"),
        })
    }

    #[test]
    fn a_failure_has_a_code_and_a_text() {
        let status = json!({"id": "wamid.O", "status": "failed", "timestamp": "1750030073", "recipient_id": "16505551234",
            "errors": [{"code": 131049, "title": "Title", "message": "Message", "error_data": {"details": "Details"}}]});
        let read = read(&status).expect("a status");
        assert_eq!((read.wamid.as_str(), read.name.as_str()), ("wamid.O", "failed"));
        assert_eq!(read.at.timestamp(), 1_750_030_073);
        assert_eq!((read.error_code, read.error_text.as_deref()), (Some(131_049), Some("Details")));
        assert_eq!(read.phone_number_id.as_deref(), Some("106540352242922"));
        assert!(!format!("{read:?}").contains("16505551234"));
    }

    #[test]
    fn only_delivered_and_read_report_a_charge() {
        let billed = |name: &str, pricing: Value| {
            read(&json!({"id": "w", "status": name, "pricing": pricing})).expect("a status").billed_as
        };
        let regular = |category: &str| json!({"billable": true, "pricing_model": "PMP", "type": "regular", "category": category});
        for (category, expected) in [
            ("service", Category::Service),
            ("utility", Category::Utility),
            ("marketing", Category::Marketing),
            ("authentication_international", Category::Authentication),
            ("general_purpose_ai", Category::Other),
        ] {
            assert_eq!(billed("delivered", regular(category)), Some(expected));
            assert_eq!(billed("read", regular(category)), Some(expected));
            for other in ["sent", "failed", "played"] {
                assert_eq!(billed(other, regular(category)), None, "{other}");
            }
        }
        assert_eq!(billed("read", json!({"type": "regular"})), Some(Category::Other));
        for free in [
            json!({"billable": false, "type": "free_customer_service", "category": "service"}),
            json!({"billable": false, "type": "regular", "category": "service"}),
            json!({"type": "free_entry_point", "category": "service"}),
            json!({}),
            json!("regular"),
        ] {
            assert_eq!(billed("delivered", free.clone()), None, "{free}");
        }
    }

    #[test]
    fn a_repetition_has_the_same_id_and_any_other_status_another() {
        let status = json!({"id": "w", "status": "read", "timestamp": "1750030073", "recipient_id": "1"});
        let id = |changes: Value| {
            let mut status = status.clone();
            status
                .as_object_mut()
                .expect("an object")
                .extend(changes.as_object().expect("an object").clone());
            read(&status).expect("a status").id
        };
        let same = id(json!({"pricing": {"billable": true}}));
        assert_eq!(same, id(json!({})));
        for other in [
            json!({"id": "v"}),
            json!({"status": "sent"}),
            json!({"timestamp": "1750030074"}),
            json!({"recipient_participant_id": "2"}),
            json!({"errors": [{"code": 7}]}),
        ] {
            assert_ne!(same, id(other.clone()), "{other}");
        }
    }

    #[test]
    fn invalid_fields_are_absent_and_other_statuses_are_none() {
        let status = read(
            &json!({"id": "w", "status": "warning", "timestamp": 1, "errors": [{"code": 99999999999u64, "error_data": "why"}]}),
        );
        let status = status.expect("a status");
        assert_eq!(
            (status.name.as_str(), status.error_code, status.error_text.as_deref()),
            ("warning", None, Some("why"))
        );
        assert_eq!(status.at.timestamp(), 1_750_030_100, "a timestamp before WhatsApp existed is ignored");
        for none in [
            json!({"id": "w"}),
            json!({"status": "sent"}),
            json!(null),
            json!([1]),
            json!({"id": "wacid.1", "status": "RINGING", "type": "call"}),
            json!({"id": "w", "status": "failed", "type": "payment"}),
            json!({"id": "w".repeat(5000), "status": "read"}),
        ] {
            assert!(read(&none).is_none(), "{none}");
        }
    }
}
