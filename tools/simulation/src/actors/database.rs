//! Supabase: rows by id, outages, and the clients' own timeouts.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use messages::history::{HistoryError, PageRows, Pages};
use messages::page::Page;
use reply::database::Database;
use reply::events::ChangeResult;
use reply::graph::PhoneNumberId;
use reply::history::{RecordError, rows};
use reply::incoming::{Event, Incoming, Status};
use reply::links::{Claim, Claimed, Confirmed, Tap};
use reply::statuses::Applied;
use reply::users::{Author, Linked, LookupError, Missing};
use secrecy::{ExposeSecret, SecretString};
use shared::meta::envelope::Exchange;
use shared::meta::sender::PhoneNumber;
use shared::meta::wamid::MessageKey;
use shared::supabase::SupabaseError;
use shared::supabase::rows::{MessageResponse, Role};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::Defect;
use crate::actors::{follow, tables};
use crate::model::attempts::Stored;
use crate::model::faults::Outage;
use crate::model::world::{Row, State, World};

/// Timeout of a write, as in `reply`.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The project for one invocation.
pub struct Project {
    /// The world.
    pub world: Arc<World>,
    /// The invocation.
    pub invocation: u64,
}

impl Project {
    /// Sends a read, or a write if `writes`, with the client's timeout, and returns the response.
    async fn request<T: std::marker::Send + 'static>(
        &self,
        limit: Duration,
        writes: bool,
        effect: impl FnOnce(&mut State) -> T + std::marker::Send + 'static,
    ) -> Result<T, SupabaseError> {
        let (outage, latency) = {
            let mut state = self.world.lock();
            let state = &mut *state;
            let rate = state.plan.rates.database;
            let mut outage = state.plan.database_at(state.now);
            if outage.is_none() && state.draw_fault(rate) {
                let others = [Outage::Silent, Outage::Slow, Outage::AfterEffect];
                outage = Some(state.chance.pick(Outage::Down, &others));
            }
            match outage {
                Some(Outage::Down) => state.inject("database down"),
                Some(Outage::Silent) => state.inject("database silent"),
                Some(Outage::Slow) => state.inject("database slow"),
                Some(Outage::AfterEffect) if writes => state.inject("database fails after the commit"),
                Some(Outage::AfterEffect) => state.inject("database fails while it answers"),
                None => {}
            }
            let slow = outage == Some(Outage::Slow);
            let latency = if slow { state.chance.millis(500, 9_000) } else { state.chance.millis(5, 60) };
            (outage, latency)
        };
        match outage {
            Some(Outage::Down) => {
                sleep(latency).await;
                Err(SupabaseError::Unreachable)
            }
            Some(Outage::Silent) => {
                sleep(limit).await;
                Err(SupabaseError::Timeout)
            }
            Some(Outage::AfterEffect) => {
                self.world.call(latency, effect).await;
                Err(SupabaseError::Rejected { status: 500, code: None })
            }
            Some(Outage::Slow) | None => {
                let answer = timeout(limit, self.world.call(latency, effect)).await;
                answer.map_err(|_| SupabaseError::Timeout)
            }
        }
    }

    /// Sends a query that an answer waits for.
    async fn lookup<T: std::marker::Send + 'static>(
        &self,
        effect: impl FnOnce(&mut State) -> T + std::marker::Send + 'static,
    ) -> Result<T, LookupError> {
        Ok(self.request(reply::users::TIMEOUT, false, effect).await?)
    }
}

impl Database for Project {
    async fn find_user(&self, author: &Author) -> Result<Option<Linked>, LookupError> {
        let author = author.clone();
        let world = self.world.clone();
        let find = move |state: &mut State| {
            let found = state.people.links.find(&author, state.defect);
            follow::lookup(&world, state, found);
            found
        };
        self.lookup(find).await
    }

    async fn is_recorded(&self, key: &MessageKey) -> Result<bool, LookupError> {
        let (invocation, wamid) = (self.invocation, key.as_str().to_owned());
        {
            let mut state = self.world.lock();
            let now = state.now;
            state.attempts.begin(invocation, &wamid, now);
            if state.has_defect(Defect::SkipAnsweredCheck) {
                return Ok(false);
            }
        }
        if let Some(attempt) = self.world.lock().attempts.current_mut(invocation, &wamid) {
            attempt.queried = true;
        }
        let asked = wamid.clone();
        let found = self.lookup(move |state| {
            let there = state.rows.values().any(|row| row.wamid == asked);
            if let Some(attempt) = state.attempts.current_mut(invocation, &asked) {
                attempt.rows_there = there;
            }
            there
        });
        let found = found.await;
        if let Some(attempt) = self.world.lock().attempts.current_mut(invocation, &wamid) {
            attempt.response = found.as_ref().ok().copied();
        }
        found
    }

    async fn has_answers_from(&self, user_id: Uuid, number: &PhoneNumberId) -> Result<bool, LookupError> {
        let number = number.to_string();
        self.lookup(move |state| {
            let mut of_user = state.rows.values().map(|row| &row.row).filter(|row| row.user_id == user_id);
            of_user.any(|row| row.role == Role::Assistant && row.phone_number_id.as_deref() == Some(&number))
        })
        .await
    }

    async fn record(&self, user_id: Uuid, exchange: &Exchange) -> Result<(), RecordError> {
        let (invocation, wamid) = (self.invocation, exchange.key.as_str().to_owned());
        let rows = rows(user_id, exchange);
        let written = self.request(WRITE_TIMEOUT, true, move |state| {
            let random_ids = state.has_defect(Defect::RandomRowIds);
            for row in rows {
                let random = (u128::from(state.chance.between(0, u64::MAX)) << 64) | 1;
                let id = if random_ids { Uuid::from_u128(random) } else { row.id };
                state.note("database", format_args!("{} of {wamid}", row.role.as_str()));
                // Existing rows are unchanged.
                if state.rows.contains_key(&id) {
                    continue;
                }
                let is_answer = row.role == Role::Assistant;
                state.rows.insert(id, Row { row, wamid: wamid.clone(), status: None });
                if is_answer {
                    tables::apply_earlier(state, id);
                }
            }
        });
        let written = written.await;
        let mut state = self.world.lock();
        if let Err(error) = &written {
            let reply = format_args!("reply {invocation}");
            state.note(reply, format_args!("{}: rows not confirmed: {error}", exchange.key.as_str()));
        }
        if let Some(attempt) = state.attempts.current_mut(invocation, exchange.key.as_str())
            && written.is_ok()
        {
            attempt.stored = Stored::Rows;
        }
        Ok(written?)
    }

    async fn record_echo(&self, user_id: Uuid, echo: &Incoming) -> Result<(), RecordError> {
        let echo = echo.clone();
        let written = self.request(WRITE_TIMEOUT, true, move |state| tables::add_echo(state, user_id, &echo));
        Ok(written.await?)
    }

    async fn complete_link(
        &self,
        user_id: Uuid,
        missing: Missing,
        author: &Author,
        at: DateTime<Utc>,
    ) -> Result<bool, RecordError> {
        if self.world.lock().has_defect(Defect::NeverCompleteLinks) {
            return Ok(false);
        }
        let author = author.clone();
        let complete = move |state: &mut State| {
            let defect = state.defect;
            let completed = state.people.links.complete(user_id, missing, &author, at, defect);
            state.note("database", format_args!("completes {user_id} with {missing:?}: {completed}"));
            if completed {
                follow::link_completed(state, user_id);
            }
            completed
        };
        Ok(self.request(WRITE_TIMEOUT, true, complete).await?)
    }

    async fn record_status(&self, status: &Status) -> Result<Applied, RecordError> {
        let refused = {
            let state = &mut *self.world.lock();
            let refused = state.plan.rejects_statuses && state.faulty();
            if refused {
                state.inject("database refuses a status");
            }
            refused.then(|| state.chance.millis(5, 60))
        };
        if let Some(latency) = refused {
            sleep(latency).await;
            // As before the migration that creates the table.
            return Err(SupabaseError::Rejected { status: 404, code: None }.into());
        }
        let status = status.clone();
        Ok(self.request(WRITE_TIMEOUT, true, move |state| tables::add_status(state, &status)).await?)
    }

    async fn claim_link(&self, _: &Claim<'_>) -> Result<Claimed, LookupError> {
        Ok(Claimed::Unknown { answer: false })
    }

    async fn confirm_link(&self, _: &Tap<'_>) -> Result<Confirmed, LookupError> {
        Ok(Confirmed::Expired)
    }

    async fn claim_registration(
        &self,
        _: &PhoneNumberId,
        _: &Incoming,
        _: Option<&PhoneNumber>,
    ) -> Result<bool, LookupError> {
        Ok(true)
    }

    async fn registration_sent(&self, _: &PhoneNumberId, _: &Incoming) -> Result<(), LookupError> {
        Ok(())
    }

    async fn store_event(&self, event: &Event) -> Result<Vec<ChangeResult>, RecordError> {
        let event = event.clone();
        Ok(self.request(WRITE_TIMEOUT, true, move |state| follow::store(state, &event)).await?)
    }
}

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
