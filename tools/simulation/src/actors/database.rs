//! Supabase: rows by id, outages, and the clients' own timeouts.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reply::database::Database;
use reply::events::ChangeResult;
use reply::graph::PhoneNumberId;
use reply::history::{RecordError, rows};
use reply::incoming::{Event, Incoming, Status};
use reply::links::{self, Claim, Claimed, Confirmed, Tap};
use reply::statuses::Applied;
use reply::users::{Author, Linked, LookupError, Missing};
use shared::meta::envelope::Exchange;
use shared::meta::sender::PhoneNumber;
use shared::meta::wamid::MessageKey;
use shared::supabase::SupabaseError;
use shared::supabase::rows::Role;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::Defect;
use crate::actors::{follow, linking, tables};
use crate::model::attempts::Stored;
use crate::model::faults::Outage;
use crate::model::strangers::{Message, Step};
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
    pub(super) async fn request<T: std::marker::Send + 'static>(
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

    async fn claim_link(&self, claim: &Claim<'_>) -> Result<Claimed, LookupError> {
        let (code, step) = (claim.code.clone(), Step::of(claim.from, claim.message));
        Ok(self.request(links::TIMEOUT, true, move |state| linking::claim(state, &code, &step)).await?)
    }

    async fn confirm_link(&self, tap: &Tap<'_>) -> Result<Confirmed, LookupError> {
        let Tap { link_id, accept, from, message } = *tap;
        let step = Step::of(from, message);
        {
            // Without a lookup.
            let state = &mut *self.world.lock();
            state.attempts.begin(self.invocation, &step.message.wamid, state.now);
        }
        let confirm = move |state: &mut State| linking::confirm(state, link_id, accept, &step);
        Ok(self.request(links::TIMEOUT, true, confirm).await?)
    }

    async fn claim_registration(
        &self,
        from: &PhoneNumberId,
        message: &Incoming,
        business_number: Option<&PhoneNumber>,
    ) -> Result<bool, LookupError> {
        let (message, with_number) = (Message::of(from, message), business_number.is_some());
        let wamid = message.wamid.clone();
        let stored = |permitted| {
            if let Some(attempt) = self.world.lock().attempts.current_mut(self.invocation, &wamid) {
                attempt.registration = Some(permitted);
            }
        };
        // The caller's knowledge if it stops waiting.
        stored(false);
        let claim = move |state: &mut State| linking::claim_text(state, &message, with_number);
        let permitted = self.request(links::TIMEOUT, true, claim).await?;
        stored(permitted);
        Ok(permitted)
    }

    async fn registration_sent(&self, from: &PhoneNumberId, message: &Incoming) -> Result<(), LookupError> {
        let message = Message::of(from, message);
        let sent = move |state: &mut State| state.codes.strangers.text_sent(&message);
        Ok(self.request(links::TIMEOUT, true, sent).await?)
    }

    async fn store_event(&self, event: &Event) -> Result<Vec<ChangeResult>, RecordError> {
        let event = event.clone();
        Ok(self.request(WRITE_TIMEOUT, true, move |state| follow::store(state, &event)).await?)
    }
}
