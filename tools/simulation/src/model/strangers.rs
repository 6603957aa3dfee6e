//! The tables `sender_messages` and `business_numbers`: what is remembered of senders without an account
//! (`supabase/migrations/*_linking.sql`).

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use reply::graph::PhoneNumberId;
use reply::incoming::Incoming;
use reply::links::Claimed;
use shared::meta::sender::{PhoneNumber, UserId};

use crate::Defect;

/// Time for which a wrong code is stored, and the time between two registration texts.
pub const STORED: TimeDelta = TimeDelta::days(1);

/// Time for which a message that got the registration text is stored.
const TEXTS_STORED: TimeDelta = TimeDelta::days(8);

/// The tables.
#[derive(Debug, Default)]
pub struct Strangers {
    /// The wrong codes in `sender_messages`.
    wrong: BTreeMap<Message, WrongCode>,
    /// The registration texts in `sender_messages`.
    texts: BTreeMap<Message, RegistrationText>,
    /// Whether `business_numbers` has a row.
    pub knows_number: bool,
}

/// A message as its pseudonyms identify it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Message {
    /// The business number, and the sender's user id, or number without one.
    pub sender: String,
    /// The wamid.
    pub wamid: String,
}

/// A message with a code, or a tap.
#[derive(Clone, Debug)]
pub struct Step {
    /// The message.
    pub message: Message,
    /// Its time.
    pub sent_at: DateTime<Utc>,
    /// Number and user id of its sender, in the format of the table `user_preferences`.
    pub identity: (Option<String>, Option<String>),
    /// The WhatsApp Business Account.
    pub waba_id: Option<String>,
}

#[derive(Debug)]
struct WrongCode {
    outcome: Claimed,
    is_answered: bool,
    at: DateTime<Utc>,
}

#[derive(Debug)]
struct RegistrationText {
    sent: bool,
    at: DateTime<Utc>,
}

impl Message {
    /// The pseudonyms of a message to a business number.
    #[must_use]
    pub fn of(from: &PhoneNumberId, message: &Incoming) -> Self {
        let sender = &message.sender;
        // By the user id if there is one, like message groups.
        let number = sender.number().map(PhoneNumber::comparable);
        let id = sender.user_id().map(UserId::as_str).or(number.as_deref()).unwrap_or_default();
        Self { sender: format!("{from} {id}"), wamid: message.key.as_str().to_owned() }
    }
}

impl Step {
    /// The step of a message to a business number.
    #[must_use]
    pub fn of(from: &PhoneNumberId, message: &Incoming) -> Self {
        let number = message.sender.number().map(PhoneNumber::e164);
        let user_id = message.sender.user_id().map(|id| id.as_str().to_owned());
        Self {
            message: Message::of(from, message),
            sent_at: message.sent_at,
            identity: (number, user_id),
            waba_id: message.waba_id.clone(),
        }
    }
}

impl Strangers {
    /// The outcome of a wrong code in the same message, and whether it is answered.
    #[must_use]
    pub fn same_wrong_code(&self, message: &Message) -> Option<(Claimed, bool)> {
        self.wrong.get(message).map(|wrong| (wrong.outcome.clone(), wrong.is_answered))
    }

    /// Number of answered wrong codes of a sender within an hour.
    #[must_use]
    pub fn wrong_codes(&self, sender: &str, now: DateTime<Utc>) -> usize {
        let of_sender = self.wrong.iter().filter(|(message, _)| message.sender == sender);
        of_sender.filter(|(_, wrong)| wrong.is_answered && wrong.at > now - TimeDelta::hours(1)).count()
    }

    /// Adds a wrong code, with its outcome.
    pub fn add_wrong_code(
        &mut self,
        message: Message,
        outcome: Claimed,
        is_answered: bool,
        now: DateTime<Utc>,
    ) {
        self.wrong.insert(message, WrongCode { outcome, is_answered, at: now });
    }

    /// `claim_registration_text`, with or without a business number to store.
    pub fn claim_text(
        &mut self,
        message: &Message,
        with_number: bool,
        now: DateTime<Utc>,
        defect: Option<Defect>,
    ) -> bool {
        self.knows_number |= with_number;
        if defect == Some(Defect::ForgetRegistrationTexts) {
            return true;
        }
        if self.texts.get(message).is_some_and(|text| text.sent) {
            return false;
        }
        let recent = self.texts.iter().filter(|(_, text)| text.at > now - STORED);
        let mut of_sender = recent.filter(|(known, _)| known.sender == message.sender);
        if let Some((known, text)) = of_sender.next() {
            return known == message && !text.sent;
        }
        self.texts.insert(message.clone(), RegistrationText { sent: false, at: now });
        self.expire(now);
        true
    }

    /// `registration_text_sent`.
    pub fn text_sent(&mut self, message: &Message) {
        if let Some(text) = self.texts.get_mut(message) {
            text.sent = true;
        }
    }

    /// Deletes expired rows.
    pub fn expire(&mut self, now: DateTime<Utc>) {
        self.wrong.retain(|_, row| row.at >= now - STORED);
        self.texts.retain(|_, row| row.at >= now - TEXTS_STORED);
    }
}
