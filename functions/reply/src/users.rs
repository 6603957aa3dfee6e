//! Users, and the lookup of a user by WhatsApp number or user id.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postgrest::Builder;
use serde::Deserialize;
use serde_json::json;
use shared::lambda::counter::Counter;
use shared::meta::sender::{PhoneNumber, Sender};
use shared::supabase::{Caller, Query, Supabase, SupabaseError};
use tracing::warn;
use uuid::Uuid;

/// The timeout of a lookup: the sender is waiting.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// The timeout of completing a link: nothing depends on it.
pub const LINK_TIMEOUT: Duration = Duration::from_secs(2);

/// The timeout of the request that updates a link.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum difference between the clocks of Meta, Lambda and the database.
pub(crate) const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(1);

/// The maximum number of rows that are read. A table of another program may have several rows of one user with the same
/// number, which must not hide a second owner.
const ROWS: usize = 100;

/// Adds a filter by one of these ids to a request.
pub(crate) fn among(request: Builder, column: &str, ids: &[Uuid]) -> Builder {
    match ids {
        [id] => request.eq(column, id.to_string()),
        ids => request.in_(column, ids.iter().map(Uuid::to_string)),
    }
}

/// Users and their linked numbers and user ids: the table `user_preferences`.
#[derive(Clone)]
pub struct Users {
    supabase: Supabase,
}

/// A failed lookup, as opposed to an unlinked sender.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The request failed.
    #[error(transparent)]
    Supabase(#[from] SupabaseError),
    /// The response has an unexpected shape.
    #[error("the database's response cannot be read")]
    Unreadable,
}

/// The author of a message, as far as needed for the lookup of a user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Author {
    /// The number, the user id, or both.
    pub sender: Sender,
    /// The WhatsApp Business Account that the user id is scoped to.
    pub waba_id: Option<String>,
    /// The time of writing: the number may have had another owner then.
    pub written_at: Option<DateTime<Utc>>,
}

/// A linked user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Linked {
    /// The user.
    pub user_id: Uuid,
    /// The identity in the message that the link lacks.
    pub missing: Option<Missing>,
}

/// The part of an identity that a link lacks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Missing {
    /// The phone number: the user was found by the user id.
    Number,
    /// The user id: the user was found by the number.
    UserId,
    /// The business account that the user id is scoped to.
    Account,
}

/// A row of `user_preferences`. A missing column counts as empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Link {
    /// Empty in some rows of other programs. Such a row links no user.
    pub user_id: Option<Uuid>,
    /// The number in E.164, or only its digits.
    pub whatsapp_phone: Option<String>,
    /// The business-scoped user id.
    pub whatsapp_user_id: Option<String>,
    /// The business account that the user id is scoped to.
    pub whatsapp_waba_id: Option<String>,
    /// The time of the identity in the link.
    pub whatsapp_identity_at: Option<DateTime<Utc>>,
    /// The time since which the user has the number, unless the row was inserted with it.
    pub whatsapp_number_at: Option<DateTime<Utc>>,
    /// The last change of the link: see the migration that adds the column.
    pub whatsapp_link_state: Option<String>,
}

/// The columns of a [`Link`].
const COLUMNS: &str = "user_id,whatsapp_phone,whatsapp_user_id,whatsapp_waba_id,whatsapp_identity_at,\
     whatsapp_number_at,whatsapp_link_state";

impl Users {
    /// Builds lookups in `supabase`, with its own key.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        Self { supabase }
    }

    /// Returns the user linked with this sender, see [`choose`].
    ///
    /// Numbers match in any spelling: Meta sends digits, `user_preferences` has E.164, and numbers of some countries have
    /// two forms.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn find(&self, author: &Author) -> Result<Option<Linked>, LookupError> {
        let sender = &author.sender;
        let request = self.supabase.from("user_preferences").select(COLUMNS);
        let numbers = sender.number().map(spellings).unwrap_or_default();
        let request = match sender.user_id() {
            None => request.in_("whatsapp_phone", numbers),
            Some(user_id) if numbers.is_empty() => request.eq("whatsapp_user_id", user_id.as_str()),
            Some(user_id) => {
                let user_id = user_id.as_str();
                // In quotation marks, because a dot is a separator in this filter.
                let numbers = numbers.join(",");
                request.or(format!("whatsapp_user_id.eq.\"{user_id}\",whatsapp_phone.in.({numbers})"))
            }
        };
        let query =
            Query { request: request.limit(ROWS), caller: Caller::Key, prefer: None, timeout: TIMEOUT };
        let body = self.supabase.run(query).await?;
        let rows: Vec<Link> = serde_json::from_slice(&body).map_err(|_| LookupError::Unreadable)?;
        if rows.len() >= ROWS {
            // The limit may hide rows of another user.
            warn!(
                counter = Counter::AmbiguousNumbers.name(),
                "sender treated as unlinked: too many rows have its number or user id"
            );
            return Ok(None);
        }
        Ok(choose(&rows, author))
    }

    /// Adds the missing identity of `author` to the user's link, if the link still has the identity by which the user was
    /// found, and the missing one was not removed on purpose. Returns whether it was added.
    ///
    /// # Errors
    /// When Supabase does not confirm it, or another user has the number or user id.
    pub async fn complete_link(
        &self,
        user_id: Uuid,
        missing: Missing,
        author: &Author,
        at: DateTime<Utc>,
    ) -> Result<bool, SupabaseError> {
        let sender = &author.sender;
        let (Some(id), waba_id) = (sender.user_id().map(|id| id.as_str()), author.waba_id.as_deref()) else {
            return Ok(false);
        };
        let table =
            self.supabase.from("user_preferences").select("user_id").eq("user_id", user_id.to_string());
        let untouched = "whatsapp_link_state.is.null,whatsapp_link_state.eq.changed";
        let (request, row) = match (missing, sender.number()) {
            (Missing::UserId, Some(number)) => (
                table.in_("whatsapp_phone", spellings(number)).is("whatsapp_user_id", "null").or(untouched),
                json!({"whatsapp_user_id": id, "whatsapp_waba_id": waba_id, "whatsapp_identity_at": at,
                    "whatsapp_link_state": "added_user_id"}),
            ),
            (Missing::Number, Some(number)) => (
                table.eq("whatsapp_user_id", id).is("whatsapp_phone", "null").or(untouched),
                json!({"whatsapp_phone": number.e164(), "whatsapp_waba_id": waba_id, "whatsapp_identity_at": at,
                    "whatsapp_link_state": "added_number"}),
            ),
            (Missing::Account, _) => (
                table.eq("whatsapp_user_id", id).is("whatsapp_waba_id", "null"),
                json!({"whatsapp_waba_id": waba_id}),
            ),
            (Missing::UserId | Missing::Number, None) => return Ok(false),
        };
        let (request, prefer) = (request.update(row.to_string()), Some("return=representation"));
        let query = Query { request, caller: Caller::Key, prefer, timeout: WRITE_TIMEOUT };
        let body = self.supabase.run(query).await?;
        Ok(body.trim_ascii() != b"[]")
    }
}

/// Returns the spellings of a number that `user_preferences` may have.
pub(crate) fn spellings(number: &PhoneNumber) -> Vec<String> {
    let both = |number: &PhoneNumber| [number.e164(), number.digits().to_owned()];
    let variant = number.variant();
    [Some(number), variant.as_ref()].into_iter().flatten().flat_map(both).collect()
}

/// Returns the linked user, from the rows with the author's user id or number: the user with the user id, else the user
/// with the number as written, else the user with another spelling of the number.
///
/// Returns `None`, because messages in another user's history are worse than no history, when
/// - several users have the user id or the number, or they belong to different users;
/// - the number is linked with another user id of the same business account: its owner has changed;
/// - the number was linked with the user after the message was written, and the user id does not confirm it.
#[must_use]
pub fn choose(rows: &[Link], author: &Author) -> Option<Linked> {
    let Author { sender, waba_id, written_at } = author;
    let number = |row: &Link| row.whatsapp_phone.as_deref().and_then(PhoneNumber::parse);
    let id = sender.user_id().map(|id| id.as_str());
    let variant = sender.number().and_then(PhoneNumber::variant);
    let has_user_id = |row: &&Link| id.is_some() && row.whatsapp_user_id.as_deref() == id;
    let has_number = |row: &&Link| sender.number().is_some() && number(row).as_ref() == sender.number();
    let has_variant = |row: &&Link| variant.is_some() && number(row) == variant;
    let owned = || rows.iter().filter(|row| row.user_id.is_some());
    let by_user_id: Vec<&Link> = owned().filter(has_user_id).collect();
    let mut by_number: Vec<&Link> = owned().filter(has_number).collect();
    if by_number.is_empty() {
        by_number = owned().filter(has_variant).collect();
    }

    let user_id = by_user_id.first().or(by_number.first())?.user_id?;
    if by_user_id.iter().chain(&by_number).any(|row| row.user_id != Some(user_id)) {
        warn!(counter = Counter::AmbiguousNumbers.name(), %user_id, "sender treated as unlinked: several users have its number or user id");
        return None;
    }
    let is_completable = |row: &&Link| matches!(row.whatsapp_link_state.as_deref(), None | Some("changed"));
    if !by_user_id.is_empty() {
        let lacks_number = sender.number().is_some()
            && by_user_id.iter().all(|row| row.whatsapp_phone.is_none())
            && by_user_id.iter().all(is_completable);
        let lacks_account = waba_id.is_some() && by_user_id.iter().all(|row| row.whatsapp_waba_id.is_none());
        let missing = match (lacks_number, lacks_account) {
            (true, _) => Some(Missing::Number),
            (false, true) => Some(Missing::Account),
            (false, false) => None,
        };
        return Some(Linked { user_id, missing });
    }

    let other_ids: Vec<&&Link> =
        by_number.iter().filter(|row| id.is_some() && row.whatsapp_user_id.is_some()).collect();
    let same_account = |row: &&&Link| {
        row.whatsapp_waba_id.is_none() || waba_id.is_none() || row.whatsapp_waba_id == *waba_id
    };
    if other_ids.iter().any(same_account) {
        warn!(counter = Counter::ReassignedNumbers.name(), %user_id, "sender treated as unlinked: its number is linked with another user id");
        return None;
    }
    // Without a user id, a message that is older than the link may be from an earlier owner of the number.
    let linked_later = |row: &&Link| {
        let times = row.whatsapp_number_at.zip(*written_at);
        times.is_some_and(|(linked, written)| written + CLOCK_SKEW < linked)
    };
    if by_number.iter().any(linked_later) {
        warn!(counter = Counter::ReassignedNumbers.name(), %user_id, "sender treated as unlinked: its number was linked after the message was written");
        return None;
    }
    if !other_ids.is_empty() {
        // A user has a different user id for each business portfolio.
        warn!(counter = Counter::OtherUserIds.name(), %user_id, "user found by number, although linked with a user id of another account");
    }
    let lacks_user_id = id.is_some()
        && by_number.iter().all(|row| row.whatsapp_user_id.is_none())
        && by_number.iter().all(is_completable);
    Some(Linked { user_id, missing: lacks_user_id.then_some(Missing::UserId) })
}
