//! Whose WhatsApp number or user id it is.

use std::time::Duration;

use postgrest::Builder;
use serde::Deserialize;
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

/// How many rows are read. A table of another program may have several of one user with the same number, and
/// a second owner must not stand behind them.
const ROWS: usize = 100;

/// Users and their linked numbers and user ids: the table `user_preferences`.
#[derive(Clone)]
pub struct Users {
    supabase: Supabase,
}

/// A lookup that gave no answer, which is not the same as nobody's number.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The request failed.
    #[error(transparent)]
    Supabase(#[from] SupabaseError),
    /// The answer is not what was asked for.
    #[error("the database's answer cannot be read")]
    Unreadable,
}

/// A user who is linked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Linked {
    /// The user.
    pub user_id: Uuid,
    /// Whether something is known about the sender now that is not linked yet.
    pub learns: bool,
}

impl From<Uuid> for Linked {
    /// A user of whom everything is known.
    fn from(user_id: Uuid) -> Self {
        Self { user_id, learns: false }
    }
}

#[derive(Deserialize)]
struct Row {
    /// Another program's table may leave it empty: such a row links nothing.
    user_id: Option<Uuid>,
    whatsapp_phone: Option<String>,
    whatsapp_user_id: Option<String>,
}

impl Users {
    /// Looks users up in `supabase`, with its own key.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        Self { supabase }
    }

    /// The user who linked this sender; `None` when nobody did, or several did: to write one person's
    /// messages into another's history is worse than to write none.
    ///
    /// By the user id if somebody has it, else by the number, in any spelling: Meta sends digits, `user_preferences`
    /// holds E.164, and some countries' numbers have two forms.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn find(&self, sender: &Sender) -> Result<Option<Linked>, LookupError> {
        let request =
            self.supabase.from("user_preferences").select("user_id,whatsapp_phone,whatsapp_user_id");
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
        let rows: Vec<Row> = serde_json::from_slice(&body).map_err(|_| LookupError::Unreadable)?;
        if rows.len() >= ROWS {
            // Behind so many rows there may be more, of somebody else.
            warn!(counter = "ambiguous_numbers", "number linked by too many rows");
            return Ok(None);
        }
        Ok(choose(&rows, sender))
    }

    /// Writes what `sender` says and the user's row does not yet say.
    ///
    /// # Errors
    /// When Supabase does not confirm it, or the number or id belongs to somebody else.
    pub async fn learn(&self, user_id: Uuid, sender: &Sender) -> Result<(), SupabaseError> {
        let number = sender.number().map(PhoneNumber::e164);
        let id = sender.user_id().map(|user_id| user_id.as_str().to_owned());
        for (column, value) in [("whatsapp_phone", number), ("whatsapp_user_id", id)] {
            let Some(value) = value else { continue };
            let row = serde_json::json!({ column: value }).to_string();
            let request = self.supabase.from("user_preferences").eq("user_id", user_id.to_string());
            let request = request.is(column, "null").update(row);
            self.write(request).await?;
        }
        Ok(())
    }

    /// Gives a user the number and id that they have now; what is not known stays as it is.
    ///
    /// # Errors
    /// When Supabase does not confirm it, or the number or id belongs to somebody else.
    pub async fn relink(&self, user_id: Uuid, current: &Sender) -> Result<(), SupabaseError> {
        let mut row = serde_json::Map::new();
        if let Some(number) = current.number() {
            row.insert("whatsapp_phone".to_owned(), number.e164().into());
        }
        if let Some(user_id) = current.user_id() {
            row.insert("whatsapp_user_id".to_owned(), user_id.as_str().into());
        }
        let row = serde_json::Value::from(row).to_string();
        let request = self.supabase.from("user_preferences").eq("user_id", user_id.to_string()).update(row);
        self.write(request).await
    }

    async fn write(&self, request: Builder) -> Result<(), SupabaseError> {
        let prefer = Some("return=minimal");
        let query = Query { request, caller: Caller::Key, prefer, timeout: WRITE_TIMEOUT };
        self.supabase.run(query).await?;
        Ok(())
    }
}

/// A number as `user_preferences` may hold it.
fn spellings(number: &PhoneNumber) -> Vec<String> {
    let both = |number: &PhoneNumber| [number.e164(), number.digits().to_owned()];
    let variant = number.variant();
    [Some(number), variant.as_ref()].into_iter().flatten().flat_map(both).collect()
}

/// Whose rows they are: the user id's, else the number's as it is written, else its other form's.
fn choose(rows: &[Row], sender: &Sender) -> Option<Linked> {
    let linked = |row: &Row| row.whatsapp_phone.as_deref().and_then(PhoneNumber::parse);
    let by_user_id =
        |row: &&Row| sender.user_id().is_some_and(|id| row.whatsapp_user_id.as_deref() == Some(id.as_str()));
    let by_number = |row: &&Row| sender.number().is_some() && linked(row).as_ref() == sender.number();
    let by_variant = |row: &&Row| {
        let variant = sender.number().and_then(PhoneNumber::variant);
        variant.is_some() && linked(row) == variant
    };
    let with_owner = || rows.iter().filter(|row| row.user_id.is_some());
    let ways: [Vec<&Row>; 3] = [
        with_owner().filter(by_user_id).collect(),
        with_owner().filter(by_number).collect(),
        with_owner().filter(by_variant).collect(),
    ];
    let found = ways.into_iter().find(|found| !found.is_empty())?;
    let user_id = found.first()?.user_id?;
    if found.iter().any(|row| row.user_id != Some(user_id)) {
        warn!(counter = "ambiguous_numbers", %user_id, "number linked by several users");
        return None;
    }
    let lacks_number = sender.number().is_some() && found.iter().all(|row| row.whatsapp_phone.is_none());
    let lacks_user_id = sender.user_id().is_some() && found.iter().all(|row| row.whatsapp_user_id.is_none());
    if !found.iter().any(by_user_id) && !lacks_user_id && sender.user_id().is_some() {
        // The number may have changed hands; or it is a user id towards another of our businesses.
        warn!(counter = "other_user_ids", %user_id, "found by number, and linked with another user id");
    }
    Some(Linked { user_id, learns: lacks_number || lacks_user_id })
}
