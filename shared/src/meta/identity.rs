//! Identity changes: a user gets another phone number, another user id, or both.
//!
//! A user id changes with the number. Source: “System messages webhook reference”, WhatsApp Business Platform
//! documentation, August 2026. The field `user_id_update` of earlier documentation is read too.
//!
//! `webhook` reads a change for its message group, that of the new identity; `reply` applies it.

use serde_json::value::RawValue;

use crate::meta::lenient::{Object, list};
use crate::meta::sender::{PhoneNumber, Sender, UserId};

/// The webhook field of identity changes.
pub const USER_ID_UPDATE: &str = "user_id_update";

/// A user's previous and current identity.
#[derive(Clone, Debug)]
pub struct IdentityChange<'a> {
    /// The previous identity, by which the user is linked.
    pub previous: Sender,
    /// The current identity, as far as Meta gives it.
    pub current: Sender,
    /// The time of the change according to Meta: seconds since 1970.
    pub timestamp: Option<&'a RawValue>,
}

impl<'a> IdentityChange<'a> {
    /// Reads the identity change of a `system` message, if it is one.
    #[must_use]
    pub fn of_system_message(message: &Object<'a>, system: &Object<'_>) -> Option<Self> {
        let kind = system.filled_text("type")?;
        let number =
            |fields: &Object<'_>, key| fields.filled_text(key).and_then(|id| PhoneNumber::parse(&id));
        let user_id = |fields: &Object<'_>, key| fields.filled_text(key).and_then(|id| UserId::parse(&id));
        if !matches!(
            kind.as_ref(),
            "user_changed_number" | "user_changed_user_id" | "customer_changed_number"
        ) {
            return None;
        }
        let body = system.filled_text("body").unwrap_or_default();
        let (from, to) = changed(&body);
        let current_user_id = user_id(system, "user_id").or_else(|| UserId::recognize(to));
        // Before August 2026 there was no field `previous_user_id`.
        let previous_user_id = user_id(system, "previous_user_id")
            .or_else(|| user_id(message, "from_user_id").filter(|id| Some(id) != current_user_id.as_ref()))
            .or_else(|| {
                let from = message.filled_text("from");
                from.and_then(|id| UserId::recognize(&id)).filter(|id| Some(id) != current_user_id.as_ref())
            })
            .or_else(|| UserId::recognize(from));
        let current_number = number(system, "wa_id").or_else(|| number(system, "new_wa_id"));
        let previous_number = number(message, "from").or_else(|| number(system, "customer"));
        Self::new(
            Sender::new(previous_number, previous_user_id)?,
            Sender::new(current_number, current_user_id)?,
            message.get("timestamp"),
        )
    }

    /// Reads the identity changes of the webhook field `user_id_update`.
    #[must_use]
    pub fn of_user_id_update(value: &'a RawValue) -> Vec<Self> {
        let updates = Object::of(Some(value)).get(USER_ID_UPDATE);
        list(updates).into_iter().filter_map(Self::of_update).collect()
    }

    fn of_update(update: &'a RawValue) -> Option<Self> {
        let update = Object::of(Some(update));
        let user_id = |text: Option<std::borrow::Cow<'_, str>>| text.and_then(|id| UserId::parse(&id));
        let ids = update.object("user_id");
        let previous =
            user_id(ids.filled_text("previous")).or_else(|| user_id(update.filled_text("previous_user_id")));
        let current = user_id(ids.filled_text("current")).or_else(|| user_id(update.filled_text("user_id")));
        let number = update.filled_text("wa_id").and_then(|id| PhoneNumber::parse(&id));
        Self::new(Sender::new(number, previous)?, Sender::new(None, current)?, update.get("timestamp"))
    }

    /// Returns `None` when the identities are the same.
    fn new(previous: Sender, current: Sender, timestamp: Option<&'a RawValue>) -> Option<Self> {
        let same_number = current.number().is_none() || current.number() == previous.number();
        let same_user_id = current.user_id().is_none() || current.user_id() == previous.user_id();
        (!(same_number && same_user_id)).then_some(Self { previous, current, timestamp })
    }
}

/// Returns the two values in “User … changed from … to …”.
fn changed(body: &str) -> (&str, &str) {
    let Some((_, rest)) = body.rsplit_once(" changed from ") else { return ("", "") };
    rest.split_once(" to ").unwrap_or(("", ""))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sender(number: &str, user_id: &str) -> Sender {
        Sender::new(PhoneNumber::parse(number), UserId::parse(user_id)).expect("a sender")
    }

    /// The previous and the current identity of a system message.
    fn of_system(message: &Value) -> Option<(Sender, Sender)> {
        let json = message.to_string();
        let message = Object::of(serde_json::from_str(&json).ok());
        let change = IdentityChange::of_system_message(&message, &message.object("system"))?;
        Some((change.previous, change.current))
    }

    #[test]
    fn every_form_of_an_identity_change_is_read() {
        let changed = |body: &str| format!("User Sheena Nelson changed from {body}");
        for (message, previous, current) in [
            (
                json!({"from": "16505551234", "system": {"type": "user_changed_number", "wa_id": "12195555358",
                    "body": changed("16505551234 to 12195555358")}}),
                sender("16505551234", ""),
                sender("12195555358", ""),
            ),
            (
                json!({"from": "16505551234", "system": {"type": "user_changed_number", "wa_id": "12195555358",
                    "user_id": "US.B", "previous_user_id": "US.A"}}),
                sender("16505551234", "US.A"),
                sender("12195555358", "US.B"),
            ),
            (
                json!({"system": {"type": "user_changed_user_id", "user_id": "US.B", "previous_user_id": "US.A"}}),
                sender("", "US.A"),
                sender("", "US.B"),
            ),
            (
                json!({"from_user_id": "US.A", "system": {"type": "user_changed_user_id", "user_id": "US.B"}}),
                sender("", "US.A"),
                sender("", "US.B"),
            ),
            (
                json!({"from_user_id": "US.B", "system": {"type": "user_changed_user_id", "user_id": "US.B",
                    "body": changed("US.A to US.B")}}),
                sender("", "US.A"),
                sender("", "US.B"),
            ),
            (
                json!({"from": "16505551234", "system": {"type": "user_changed_user_id", "wa_id": "16505551234",
                    "user_id": "US.B", "previous_user_id": "US.A"}}),
                sender("16505551234", "US.A"),
                sender("16505551234", "US.B"),
            ),
        ] {
            assert_eq!(of_system(&message), Some((previous, current)), "{message}");
        }
    }

    #[test]
    fn a_message_without_an_identity_change_is_none() {
        for message in [
            json!({"from": "16505551234", "system": {"type": "customer_identity_changed", "wa_id": "1"}}),
            json!({"from": "16505551234", "system": {"type": "user_changed_number"}}),
            json!({"from": "16505551234", "system": {"type": "user_changed_number", "wa_id": "16505551234"}}),
            json!({"system": {"type": "user_changed_user_id", "user_id": "US.B"}}),
            json!({"from": "16505551234"}),
        ] {
            assert_eq!(of_system(&message), None, "{message}");
        }
    }

    #[test]
    fn user_id_updates_are_read_in_both_their_forms() {
        let value = json!({"user_id_update": [
            {"wa_id": "16505551234", "user_id": {"previous": "US.A", "current": "US.B"}, "timestamp": "1750030073"},
            {"user_id": {"previous": "US.C", "current": "US.D"}},
            {"previous_user_id": "US.E", "user_id": "US.F"},
            {"user_id": {"previous": "US.G"}},
            7,
        ]});
        let value = value.to_string();
        let changes = IdentityChange::of_user_id_update(serde_json::from_str(&value).expect("JSON"));
        assert_eq!(changes[0].timestamp.map(RawValue::get), Some("\"1750030073\""));
        let changes: Vec<_> = changes.into_iter().map(|change| (change.previous, change.current)).collect();
        let expected = [
            (sender("16505551234", "US.A"), sender("", "US.B")),
            (sender("", "US.C"), sender("", "US.D")),
            (sender("", "US.E"), sender("", "US.F")),
        ];
        assert_eq!(changes, expected);
    }
}
