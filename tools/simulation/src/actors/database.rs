//! Supabase: rows by id, outages, and the clients' own timeouts.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reply::database::Database;
use reply::events::ChangeResult;
use reply::graph::PhoneNumberId;
use reply::history::{RecordError, rows};
use reply::incoming::{Event, Incoming, Status};
use reply::links::{self, Claim, Claimed, Confirmed, Tap};
use reply::statuses::{Applied, SentPart};
use reply::stored_answers::StoredAnswer;
use reply::users::{Author, Linked, LookupError, Missing};
use shared::meta::envelope::Exchange;
use shared::meta::sender::PhoneNumber;
use shared::supabase::SupabaseError;
use shared::supabase::rows::Role;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::Defect;
use crate::actors::{bodies, follow, linking, tables};
use crate::model::attempts::{Lookup, Stored};
use crate::model::faults::Outage;
use crate::model::strangers::{Message, Step};
use crate::model::turns;
use crate::model::world::{State, World};

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

    async fn recorded(&self, message_ids: &[Uuid]) -> Result<HashSet<Uuid>, LookupError> {
        let (attempt, asked) = {
            let state = &mut *self.world.lock();
            let wamids = state.attempts.named(self.invocation, message_ids, &Role::User);
            let attempt = state.attempts.begin(self.invocation, &wamids, state.now);
            if state.has_defect(Defect::SkipAnsweredCheck) {
                return Ok(HashSet::new());
            }
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                attempt.queried = true;
            }
            (attempt, message_ids.iter().copied().zip(wamids).collect::<Vec<_>>())
        };
        let found = self.lookup(move |state| {
            let is_forgotten = state.has_defect(Defect::ForgetJoined);
            let users = state.rows.values().filter(|row| row.row.role == Role::User);
            let rows: BTreeMap<&str, &str> =
                users.map(|row| (row.wamid.as_str(), row.turn.as_str())).collect();
            let there = |(_, wamid): &&(Uuid, String)| rows.contains_key(wamid.as_str());
            let found = |asked: &&(Uuid, String)| {
                there(asked) && !(is_forgotten && rows.get(asked.1.as_str()) != Some(&asked.1.as_str()))
            };
            let there: HashSet<&String> = asked.iter().filter(there).map(|(_, wamid)| wamid).collect();
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                for member in &mut attempt.messages {
                    member.row_there = there.contains(&member.wamid);
                }
            }
            asked.iter().filter(found).cloned().collect::<Vec<_>>()
        });
        let found = found.await;
        let state = &mut *self.world.lock();
        state.turns.steps.insert(self.invocation, turns::TurnStep::LookedUp);
        if let (Some(attempt), Ok(found)) = (state.attempts.get_mut(attempt), &found) {
            let is_found = |wamid: &String| found.iter().any(|(_, found)| found == wamid);
            attempt.messages.iter_mut().for_each(|member| member.response = Some(is_found(&member.wamid)));
        }
        Ok(found?.into_iter().map(|(id, _)| id).collect())
    }

    async fn sent_parts(&self, answer_ids: &[Uuid]) -> Result<Vec<SentPart>, LookupError> {
        let attempt = {
            let state = &mut *self.world.lock();
            let wamids = state.attempts.named(self.invocation, answer_ids, &Role::Assistant);
            let attempt = wamids.last().and_then(|wamid| state.attempts.current(self.invocation, wamid));
            if state.has_defect(Defect::SkipStatusCheck) {
                return Ok(Vec::new());
            }
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                attempt.statuses = Lookup::Unanswered;
            }
            attempt
        };
        let asked = answer_ids.to_vec();
        let found = self.lookup(move |state| {
            // Of all sends, whatever the database knows of their callback data.
            let with_status: HashSet<&str> =
                state.statuses.rows.values().map(|status| status.wamid.as_str()).collect();
            let sends = state.sends.iter().filter(|send| asked.contains(&send.callback.answer_id));
            let shown: BTreeSet<String> = sends
                .filter(|send| with_status.contains(send.id.as_str()))
                .map(|send| send.id.clone())
                .collect();
            let parts = state.statuses.rows.values().filter_map(|status| {
                let callback = status.callback.filter(|callback| asked.contains(&callback.answer_id))?;
                let (answer_id, part) = (callback.answer_id, callback.part);
                Some(SentPart { answer_id, part, wamid: status.wamid.clone() })
            });
            (parts.collect(), shown)
        });
        let (parts, shown) = found.await?;
        if let Some(attempt) = self.world.lock().attempts.get_mut(attempt) {
            attempt.statuses = Lookup::Answered(shown);
        }
        Ok(parts)
    }

    async fn stored_answers(&self, message_ids: &[Uuid]) -> Result<Vec<StoredAnswer>, LookupError> {
        let attempt = {
            let state = &mut *self.world.lock();
            let wamids = state.attempts.named(self.invocation, message_ids, &Role::User);
            let attempt = wamids.last().and_then(|wamid| state.attempts.current(self.invocation, wamid));
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                attempt.stored_answers = Lookup::Unanswered;
            }
            attempt
        };
        let asked = message_ids.to_vec();
        let found = self.lookup(move |state| {
            let stored = asked.iter().filter_map(|id| Some((*id, state.turns.stored.get(id)?.clone())));
            stored.collect::<BTreeMap<Uuid, turns::StoredAnswer>>()
        });
        let found = found.await?;
        let state = &mut *self.world.lock();
        let is_hidden = state.has_defect(Defect::ForgetStoredAnswers);
        let answers = found.iter().filter(|_| !is_hidden);
        let answers = answers.map(|(id, stored)| {
            let turns::StoredAnswer { text, messages, details, .. } = stored.clone();
            StoredAnswer { message_id: *id, messages, text, details }
        });
        let answers = answers.collect();
        if let Some(attempt) = state.attempts.get_mut(attempt) {
            attempt.stored_answers = Lookup::Answered(found);
        }
        Ok(answers)
    }

    async fn store_answer(&self, _user_id: Option<Uuid>, answer: &StoredAnswer) -> Result<(), LookupError> {
        let StoredAnswer { message_id, messages, text, details } = answer.clone();
        let (attempt, wamid) = {
            let state = &mut *self.world.lock();
            let wamid = state.attempts.named(self.invocation, &[message_id], &Role::User).pop();
            let wamid = wamid.unwrap_or_default();
            let attempt = state.attempts.current(self.invocation, &wamid);
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                attempt.kept = Some(false);
            }
            (attempt, wamid)
        };
        let storing = self.request(reply::users::TIMEOUT, true, move |state| {
            state.note("database", format_args!("stores the answer to {wamid}"));
            let is_late = state.rows.values().any(|row| row.row.role == Role::User && row.wamid == wamid);
            let stored = turns::StoredAnswer { wamid, messages, text, details, is_late };
            state.turns.stored.insert(message_id, stored);
        });
        let stored = storing.await;
        let state = &mut *self.world.lock();
        state.turns.steps.insert(self.invocation, turns::TurnStep::Stored);
        if let (Some(attempt), Ok(())) = (state.attempts.get_mut(attempt), &stored) {
            attempt.kept = Some(true);
        }
        Ok(stored?)
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
        let (invocation, key) = (self.invocation, exchange.key.as_str().to_owned());
        let attempt = {
            let state = &mut *self.world.lock();
            let attempt = state.attempts.current(invocation, &key);
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                attempt.asked = bodies::turn(exchange);
            }
            attempt
        };
        let rows = rows(user_id, exchange);
        let turn = key.clone();
        let written =
            self.request(WRITE_TIMEOUT, true, move |state| tables::add_rows(state, rows, &turn)).await;
        let mut state = self.world.lock();
        state.turns.steps.insert(invocation, turns::TurnStep::Recorded);
        if let Err(error) = &written {
            let reply = format_args!("reply {invocation}");
            state.note(reply, format_args!("{key}: rows not confirmed: {error}"));
        }
        if let (Some(attempt), Ok(())) = (state.attempts.get_mut(attempt), &written) {
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
            state.attempts.begin(self.invocation, std::slice::from_ref(&step.message.wamid), state.now);
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
