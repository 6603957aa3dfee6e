//! Links that people make themselves: codes, confirmations, and the memory of registration texts. All of it is in the
//! database's functions, each one transaction.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::meta::sender::{PhoneNumber, UserId};
use shared::supabase::{Caller, Query, Supabase};
use uuid::Uuid;

use crate::code::Code;
use crate::graph::PhoneNumberId;
use crate::incoming::Incoming;
use crate::users::{self, LookupError, spellings};

/// The timeout of a call: the sender is waiting.
pub const TIMEOUT: Duration = users::TIMEOUT;

/// A message with a code.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The code.
    pub code: &'a Code,
    /// The business number that received it.
    pub from: &'a PhoneNumberId,
    /// The message.
    pub message: &'a Incoming,
}

/// The outcome of a claim. It is the same however often the message is delivered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Claimed {
    /// The sender is to be asked whether to link.
    Ask {
        /// The id of the claimed code, for the buttons of the question.
        link_id: Uuid,
        /// The account to be named in the question, masked: `a•••@example.com`.
        account: String,
    },
    /// The code is known and can no longer be claimed by this sender.
    Expired {
        /// Whether the sender is told: not after too many wrong codes.
        answer: bool,
    },
    /// The code is unknown, or the sender has sent too many wrong ones for it to be looked up.
    Unknown {
        /// Whether the sender is told.
        answer: bool,
    },
    /// The sender claimed the code before, by another message, or has answered the question.
    Decided,
}

/// A tap on a button of the question.
#[derive(Clone, Copy, Debug)]
pub struct Tap<'a> {
    /// The id of the claimed code.
    pub link_id: Uuid,
    /// Whether to link, or to discard the code.
    pub accept: bool,
    /// The business number that received it.
    pub from: &'a PhoneNumberId,
    /// The message of the tap. Its sender is linked.
    pub message: &'a Incoming,
}

/// The outcome of a tap. It is the same however often its message is delivered.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Confirmed {
    /// The sender is linked with this user.
    Linked {
        /// The user.
        user_id: Uuid,
        /// Whether the number or the user id was another user's before.
        moved: bool,
    },
    /// The code is discarded.
    Discarded {
        /// The user who had created the code.
        user_id: Uuid,
    },
    /// The question was asked of another sender, is answered already, or is too old; or the number or user id was linked
    /// with another user since the tap.
    Expired {
        /// Whether the sender is told: not after too many wrong codes and taps.
        answer: bool,
    },
}

/// Calls of the database's functions, in which senders and messages are only known by keyed hashes.
#[derive(Clone)]
pub struct Links {
    supabase: Supabase,
}

#[derive(Serialize)]
struct ClaimArguments {
    code_hash: String,
    #[serde(flatten)]
    by: Pseudonyms,
    sent_at: chrono::DateTime<chrono::Utc>,
}

#[derive(Serialize)]
struct TapArguments<'a> {
    link_id: Uuid,
    #[serde(flatten)]
    by: Pseudonyms,
    sent_at: chrono::DateTime<chrono::Utc>,
    numbers: Vec<String>,
    whatsapp_user_id: Option<&'a str>,
    waba_id: Option<&'a str>,
    accept: bool,
}

#[derive(Serialize)]
struct RegistrationArguments<'a> {
    #[serde(flatten)]
    by: Pseudonyms,
    phone_number_id: &'a str,
    business_number: Option<&'a str>,
}

/// A sender and a message as keyed hashes, so that the database holds neither of a person who has no account.
#[derive(Serialize)]
struct Pseudonyms {
    sender: String,
    message: String,
}

impl Links {
    /// Builds calls to `supabase`, with its own key, which is also the key of the hashes.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        Self { supabase }
    }

    /// Claims a code for the sender of a message.
    ///
    /// # Errors
    /// When the database does not confirm it. A retry is safe.
    pub async fn claim(&self, claim: &Claim<'_>) -> Result<Claimed, LookupError> {
        let Claim { code, from, message } = *claim;
        let by = self.pseudonyms(from, message);
        let arguments = ClaimArguments { code_hash: code.hash(), by, sent_at: message.sent_at };
        self.call("rpc/claim_whatsapp_link", &arguments).await
    }

    /// Links the sender of a tap with the user who created the code, or discards the code.
    ///
    /// # Errors
    /// When the database does not confirm it. A retry is safe.
    pub async fn confirm(&self, tap: &Tap<'_>) -> Result<Confirmed, LookupError> {
        let Tap { link_id, accept, from, message } = *tap;
        let arguments = TapArguments {
            link_id,
            by: self.pseudonyms(from, message),
            sent_at: message.sent_at,
            numbers: message.sender.number().map(spellings).unwrap_or_default(),
            whatsapp_user_id: message.sender.user_id().map(UserId::as_str),
            waba_id: message.waba_id.as_deref(),
            accept,
        };
        self.call("rpc/confirm_whatsapp_link", &arguments).await
    }

    /// Returns whether the registration text may be sent in answer to a message: its sender got none within 24 hours. Stores
    /// `business_number`, the number behind `from`, for the links that apps show.
    ///
    /// # Errors
    /// When the database does not confirm it. A retry is safe.
    pub async fn claim_registration(
        &self,
        from: &PhoneNumberId,
        message: &Incoming,
        business_number: Option<&PhoneNumber>,
    ) -> Result<bool, LookupError> {
        let arguments = RegistrationArguments {
            by: self.pseudonyms(from, message),
            phone_number_id: from.as_str(),
            business_number: business_number.map(PhoneNumber::digits),
        };
        self.call("rpc/claim_registration_text", &arguments).await
    }

    /// Stores that the registration text was sent in answer to a message.
    ///
    /// # Errors
    /// When the database does not confirm it. A retry is safe.
    pub async fn registration_sent(
        &self,
        from: &PhoneNumberId,
        message: &Incoming,
    ) -> Result<(), LookupError> {
        self.run("rpc/registration_text_sent", &self.pseudonyms(from, message)).await?;
        Ok(())
    }

    fn pseudonyms(&self, from: &PhoneNumberId, message: &Incoming) -> Pseudonyms {
        let sender = &message.sender;
        // By the user id if there is one, else by the number, like message groups.
        let id = match (sender.user_id(), sender.number()) {
            (Some(user_id), _) => user_id.as_str(),
            (None, Some(number)) => &number.comparable(),
            (None, None) => "",
        };
        Pseudonyms {
            sender: self.supabase.pseudonym("sender", &[from.as_str(), id]),
            message: self.supabase.pseudonym("message", &[message.key.as_str()]),
        }
    }

    async fn call<T: for<'de> Deserialize<'de>>(
        &self,
        function: &str,
        arguments: &impl Serialize,
    ) -> Result<T, LookupError> {
        let body = self.run(function, arguments).await?;
        serde_json::from_slice(&body).map_err(|_| LookupError::Unreadable)
    }

    async fn run(&self, function: &str, arguments: &impl Serialize) -> Result<Vec<u8>, LookupError> {
        let arguments = serde_json::to_string(arguments).map_err(|_| LookupError::Unreadable)?;
        let request = self.supabase.from(function).rpc(arguments);
        let query = Query { request, caller: Caller::Key, prefer: None, timeout: TIMEOUT };
        Ok(self.supabase.run(query).await?)
    }
}
