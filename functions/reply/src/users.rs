//! Whose WhatsApp number or user id it is.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;
use shared::counter::Counter;
use shared::sender::{PhoneNumber, Sender};
use shared::supabase::{Caller, Query, Supabase, SupabaseError};
use tracing::warn;
use uuid::Uuid;

/// How long a look-up may take: the person is waiting.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// How long linking what was learned may take: nothing depends on it.
pub const LEARN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a change of what is linked may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// By how much the clocks of Meta, Lambda and the database may differ.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(1);

/// How many rows are read. A table of another program may have several of one user with the same number, and
/// a second owner must not stand behind them.
const ROWS: usize = 100;

/// Users and their linked numbers and user ids: the table `user_preferences`.
#[derive(Clone)]
pub struct Users {
    supabase: Supabase,
}

/// A look-up that gave no answer, which is not the same as an unlinked number.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The request failed.
    #[error(transparent)]
    Supabase(#[from] SupabaseError),
    /// The answer is not what was asked for.
    #[error("the database's answer cannot be read")]
    Unreadable,
}

/// Who wrote, to which business account, and when: by what a user is looked up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Author {
    /// The number, the user id, or both.
    pub sender: Sender,
    /// The WhatsApp Business Account, towards which the user id names the person.
    pub waba_id: Option<String>,
    /// When it was written: a number may have had another owner then.
    pub written_at: Option<DateTime<Utc>>,
}

/// A user who is linked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Linked {
    /// The user.
    pub user_id: Uuid,
    /// What the message says and the link does not yet.
    pub missing: Option<Missing>,
}

/// What a link does not say yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Missing {
    /// The phone number: the user was found by the user id.
    Number,
    /// The user id: the user was found by the number.
    UserId,
    /// Towards which business account the user id names the person.
    Account,
}

/// A row of `user_preferences`. Columns that are not there link nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Link {
    /// Another program's table may leave it empty: such a row links no user.
    pub user_id: Option<Uuid>,
    /// In E.164, or its digits alone.
    pub whatsapp_phone: Option<String>,
    /// The business-scoped user id.
    pub whatsapp_user_id: Option<String>,
    /// The account that the user id belongs to.
    pub whatsapp_waba_id: Option<String>,
    /// How recent the link is.
    pub whatsapp_identity_at: Option<DateTime<Utc>>,
    /// Since when the number is theirs, unless the row was inserted with it.
    pub whatsapp_number_at: Option<DateTime<Utc>>,
    /// What was done to it: see the migration that makes the column.
    pub whatsapp_link_state: Option<String>,
}

/// The columns of a [`Link`].
const COLUMNS: &str = "user_id,whatsapp_phone,whatsapp_user_id,whatsapp_waba_id,whatsapp_identity_at,\
     whatsapp_number_at,whatsapp_link_state";

impl Users {
    /// Looks users up in `supabase`, with its own key.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        Self { supabase }
    }

    /// The user who linked this sender, see [`choose`].
    ///
    /// Numbers are looked for in any spelling: Meta sends digits, `user_preferences` holds E.164, and some countries'
    /// numbers have two forms.
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
                // In quotation marks, because a dot has a meaning here.
                let numbers = numbers.join(",");
                request.or(format!("whatsapp_user_id.eq.\"{user_id}\",whatsapp_phone.in.({numbers})"))
            }
        };
        let query =
            Query { request: request.limit(ROWS), caller: Caller::Key, prefer: None, timeout: TIMEOUT };
        let body = self.supabase.run(query).await?;
        let rows: Vec<Link> = serde_json::from_slice(&body).map_err(|_| LookupError::Unreadable)?;
        if rows.len() >= ROWS {
            // Behind so many rows there may be more, of somebody else.
            warn!(counter = Counter::AmbiguousNumbers.name(), "number linked by too many rows");
            return Ok(None);
        }
        Ok(choose(&rows, author))
    }

    /// Links what `author` says and the user's link does not say yet, if the link is still what the author was found
    /// by, and what is missing was not taken out on purpose. Whether it was linked.
    ///
    /// # Errors
    /// When Supabase does not confirm it, or the number or id belongs to somebody else.
    pub async fn learn(
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
                    "whatsapp_link_state": "learned_user_id"}),
            ),
            (Missing::Number, Some(number)) => (
                table.eq("whatsapp_user_id", id).is("whatsapp_phone", "null").or(untouched),
                json!({"whatsapp_phone": number.e164(), "whatsapp_waba_id": waba_id, "whatsapp_identity_at": at,
                    "whatsapp_link_state": "learned_number"}),
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

/// A number as `user_preferences` may hold it.
pub(crate) fn spellings(number: &PhoneNumber) -> Vec<String> {
    let both = |number: &PhoneNumber| [number.e164(), number.digits().to_owned()];
    let variant = number.variant();
    [Some(number), variant.as_ref()].into_iter().flatten().flat_map(both).collect()
}

/// Whose link it is, of the rows that name the author's user id or number: the user's whose user id it is, else whose
/// number it is as it is written, else whose it is in another spelling.
///
/// No user's, because to write one person's messages into another's history is worse than to write none, when
/// - user id and number name two users, or one of them does;
/// - the number is linked with another user id of the same business account: it has changed hands;
/// - the number was given to the user after the message was written, and no user id says that it is theirs.
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
        warn!(counter = Counter::AmbiguousNumbers.name(), %user_id, "unlinked: number and user id name several users");
        return None;
    }
    let may_learn = |row: &&Link| matches!(row.whatsapp_link_state.as_deref(), None | Some("changed"));
    if !by_user_id.is_empty() {
        let lacks_number = sender.number().is_some()
            && by_user_id.iter().all(|row| row.whatsapp_phone.is_none())
            && by_user_id.iter().all(may_learn);
        let lacks_account = waba_id.is_some() && by_user_id.iter().all(|row| row.whatsapp_waba_id.is_none());
        let missing = match (lacks_number, lacks_account) {
            (true, _) => Some(Missing::Number),
            (false, true) => Some(Missing::Account),
            (false, false) => None,
        };
        return Some(Linked { user_id, missing });
    }

    let others: Vec<&&Link> =
        by_number.iter().filter(|row| id.is_some() && row.whatsapp_user_id.is_some()).collect();
    let same_account = |row: &&&Link| {
        row.whatsapp_waba_id.is_none() || waba_id.is_none() || row.whatsapp_waba_id == *waba_id
    };
    if others.iter().any(same_account) {
        warn!(counter = Counter::ReassignedNumbers.name(), %user_id, "unlinked: number linked with another user id");
        return None;
    }
    // A number alone does not say whether it was written before the number had this owner.
    let later = |row: &&Link| {
        let times = row.whatsapp_number_at.zip(*written_at);
        times.is_some_and(|(linked, written)| written + CLOCKS_DIFFER < linked)
    };
    if by_number.iter().any(later) {
        warn!(counter = Counter::ReassignedNumbers.name(), %user_id, "unlinked: number linked after the message was written");
        return None;
    }
    if !others.is_empty() {
        // A person has another user id towards each business portfolio.
        warn!(counter = Counter::OtherUserIds.name(), %user_id, "found by number, and linked with another account's user id");
    }
    let lacks_user_id = id.is_some()
        && by_number.iter().all(|row| row.whatsapp_user_id.is_none())
        && by_number.iter().all(may_learn);
    Some(Linked { user_id, missing: lacks_user_id.then_some(Missing::UserId) })
}
