//! Pages of the history, as Supabase returns them to `messages`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use messages::history::{HistoryError, PageRows, Pages};
use messages::page::Page;
use secrecy::{ExposeSecret, SecretString};
use shared::supabase::rows::MessageResponse;
use uuid::Uuid;

use crate::Defect;
use crate::model::world::{Row, World};

/// The table behind row-level security: the token is the owner's id.
pub struct Table {
    /// The world.
    pub world: Arc<World>,
}

impl Pages for Table {
    async fn page(&self, token: &SecretString, page: &Page) -> Result<PageRows, HistoryError> {
        let owner = Uuid::parse_str(token.expose_secret()).map_err(|_| HistoryError::Unreadable)?;
        let before = page.before.as_ref().map(|cursor| place(&cursor.to_string()));
        let before = before.map(|place| place.ok_or(HistoryError::Unreadable)).transpose()?;
        let state = self.world.lock();
        let before = before.filter(|_| !state.has_defect(Defect::IgnoreCursor));
        let mut rows: Vec<_> = state
            .rows
            .iter()
            .map(|(id, row)| (row.row.created_at, *id, row))
            .filter(|(at, id, row)| {
                row.row.user_id == owner && before.is_none_or(|before| (*at, *id) < before)
            })
            .collect();
        rows.sort_by_key(|(at, id, _)| std::cmp::Reverse((*at, *id)));
        let messages: Option<Vec<_>> =
            rows.iter().take(page.limit).map(|(_, id, row)| shown(*id, row)).collect();
        Ok(PageRows { messages: messages.ok_or(HistoryError::Unreadable)?, more: rows.len() > page.limit })
    }
}

/// A row in PostgREST's format.
fn shown(id: Uuid, row: &Row) -> Option<MessageResponse> {
    let columns = serde_json::to_value(&row.row).ok()?;
    let shown: MessageResponse = serde_json::from_value(columns).ok()?;
    Some(MessageResponse { id, status: row.status.clone(), ..shown })
}

/// Position of a cursor: base64url of 8 bytes of microseconds and 16 bytes of id.
fn place(cursor: &str) -> Option<(DateTime<Utc>, Uuid)> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (micros, id) = bytes.split_first_chunk::<8>()?;
    Some((DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?, Uuid::from_slice(id).ok()?))
}
