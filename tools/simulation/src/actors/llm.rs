//! The language model, and the conversations in the database that it is asked with.

use std::sync::Arc;
use std::time::Duration;

use reply::details::Origin;
use reply::llm::conversation::{Conversations, Said};
use reply::llm::error::{ErrorClass, ModelError};
use reply::llm::limits::DayUsage;
use reply::llm::model::{ChatMessage, ChatRole, Completion, Model, Usage};
use reply::users::{LookupError, TIMEOUT};
use shared::supabase::rows::{MessageCreate, Role};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::Defect;
use crate::actors::database::Project;
use crate::model::llm::{Call, LlmFault, details};
use crate::model::world::{State, World};

/// The model for one attempt.
pub struct LanguageModel {
    /// The world.
    pub world: Arc<World>,
    /// The attempt.
    pub attempt: usize,
    /// Wamid of the last message of the turn.
    pub wamid: String,
    /// The words of the turn.
    pub words: String,
}

impl Model for LanguageModel {
    fn name(&self) -> &'static str {
        "model"
    }

    async fn complete(&self, _: &[ChatMessage], limit: Duration) -> Result<Completion, ModelError> {
        let (started, fault, latency) = {
            let state = &mut *self.world.lock();
            let is_faulty = state.faulty();
            let fault = state.llm.fault(state.now, is_faulty);
            if let Some(fault) = fault {
                state.inject(fault.name());
            }
            let latency = match fault {
                Some(LlmFault::Slow) => state.llm.chance.millis(8_000, 60_000),
                None | Some(LlmFault::AnswerLost | LlmFault::Unusable) => state.llm.chance.millis(300, 8_000),
                Some(_) => state.llm.chance.millis(10, 500),
            };
            (state.now, fault, latency)
        };
        let answered = timeout(limit, self.answer(fault, latency)).await;
        let state = &mut *self.world.lock();
        if let Some(attempt) = state.attempts.get_mut(Some(self.attempt)) {
            attempt.model_ms += state.now - started;
        }
        let (call, completion) = answered.unwrap_or_else(|_| Err(ErrorClass::Timeout.into()))?;
        if let Some(call) = state.llm.calls.get_mut(call) {
            call.is_returned = true;
        }
        Ok(completion)
    }
}

impl LanguageModel {
    /// Returns the answer, and the number of the call.
    async fn answer(
        &self,
        fault: Option<LlmFault>,
        latency: Duration,
    ) -> Result<(usize, Completion), ModelError> {
        let class = match fault {
            None | Some(LlmFault::Slow) => return Ok(self.pay(latency).await),
            Some(LlmFault::AnswerLost) => {
                self.pay(latency).await;
                return Err(ErrorClass::Connection.into());
            }
            Some(LlmFault::Unusable) => {
                let (_, completion) = self.pay(latency).await;
                return Err(ModelError::unusable("the answer is empty", completion.usage));
            }
            Some(LlmFault::Silent) => {
                sleep(Duration::from_secs(3600)).await;
                ErrorClass::Timeout
            }
            Some(LlmFault::Throttled) => ErrorClass::Throttled,
            Some(LlmFault::Server) => ErrorClass::Server,
            Some(LlmFault::Unreachable) => ErrorClass::Connection,
            Some(LlmFault::TooLong) => ErrorClass::Context,
            Some(LlmFault::Account) => ErrorClass::Account,
        };
        sleep(latency).await;
        let named = class == ErrorClass::Throttled;
        let retry_after = named.then(|| self.world.lock().llm.chance.millis(500, 200_000));
        Err(ModelError { retry_after, ..class.into() })
    }

    /// Returns an answer, which is paid for even if its caller has crashed meanwhile.
    async fn pay(&self, latency: Duration) -> (usize, Completion) {
        let (attempt, wamid, words) = (self.attempt, self.wamid.clone(), self.words.clone());
        let answering = self.world.call(latency, move |state| {
            state.turns.answers += 1;
            state.note("model", format_args!("answers {wamid}"));
            let usage = state.llm.usage.get(&attempt);
            if usage.is_some_and(|usage| state.llm.limits.reached(usage).is_some()) {
                state.llm.beyond_limits.push(wamid.clone());
            }
            state.llm.calls.push(Call { attempt, wamid, is_returned: false });
            let usage = Usage { input_tokens: Some(100), output_tokens: Some(10) };
            let text = format!("{} {words}", state.turns.answers);
            let finish_reason = Some("stop".to_owned());
            (state.llm.calls.len() - 1, Completion { text, model: None, usage, finish_reason })
        });
        answering.await
    }
}

/// The conversations, for one attempt.
pub struct Rows {
    /// The world.
    pub world: Arc<World>,
    /// The invocation.
    pub invocation: u64,
    /// The attempt.
    pub attempt: usize,
}

impl Rows {
    async fn read<T: Send + 'static>(
        &self,
        effect: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Result<T, LookupError> {
        let project = Project { world: self.world.clone(), invocation: self.invocation };
        Ok(project.request(TIMEOUT, false, effect).await?)
    }
}

impl Conversations for Rows {
    async fn latest(&self, user_id: Uuid, most: usize) -> Result<Vec<Said>, LookupError> {
        self.read(move |state| {
            let mut rows: Vec<&MessageCreate> = of_user(state, user_id).collect();
            rows.sort_unstable_by_key(|row| (row.created_at, row.id));
            rows.iter().rev().take(most).rev().map(|row| said(row)).collect()
        })
        .await
    }

    async fn usage(&self, user_id: Uuid) -> Result<DayUsage, LookupError> {
        let attempt = self.attempt;
        let usage = self.read(move |state| day_usage(state, user_id)).await?;
        let state = &mut *self.world.lock();
        state.llm.usage.insert(attempt, usage);
        Ok(if state.has_defect(Defect::IgnoreLimits) { DayUsage::default() } else { usage })
    }
}

fn of_user(state: &State, user_id: Uuid) -> impl Iterator<Item = &MessageCreate> {
    state.rows.values().map(|row| &row.row).filter(move |row| row.user_id == user_id)
}

fn said(row: &MessageCreate) -> Said {
    let by = if row.role == Role::User { ChatRole::User } else { ChatRole::Assistant };
    let wamids = row.wamids.iter().flatten().map(|wamid| wamid.as_str().to_owned()).collect();
    Said { id: row.id, by, text: row.content.clone(), wamids, quotes: None }
}

/// What this day's answers come to, like the database's function.
fn day_usage(state: &State, user_id: Uuid) -> DayUsage {
    let today = state.utc().date_naive();
    let mut usage = DayUsage::default();
    for row in state.rows.values().map(|row| &row.row).filter(|row| row.created_at.date_naive() == today) {
        let Some(details) = details(row) else { continue };
        let of_user = u64::from(row.user_id == user_id);
        usage.output_tokens += details.output_tokens.unwrap_or_default() as f64;
        match details.source {
            Origin::Model | Origin::Fallback => {
                usage.answers += 1;
                usage.user_answers += of_user;
            }
            Origin::Limit => usage.limit_notices += of_user,
        }
    }
    usage
}
