//! Replies of a language model.
//!
//! | module | content |
//! |---|---|
//! | here | the decisions on a turn: ask, ask again later, or reply with the fallback text or the text of a limit |
//! | [`settings`], [`limits`], [`retries`] | the settings; a day's limits; the time until a retry |
//! | [`prompt`] | what the model is asked |
//! | [`conversation`] | the conversation so far, from the database |
//! | [`model`], [`usage`] | the interface to a model; tokens |
//! | [`client`], `completion`, [`error`] | a client of the API that most servers have: requests, answers, errors |
//!
//! An answer may have been paid for when its call fails or the process dies, and never else twice: it is stored before it is
//! sent. Nothing that was said is logged.

pub mod client;
mod completion;
pub mod conversation;
pub mod error;
pub mod limits;
pub mod model;
pub mod prompt;
pub mod retries;
pub mod settings;
pub mod usage;

use std::fmt::Display;
use std::time::Duration;

use shared::lambda::counter::Counter;
use shared::lambda::deadline::Deadline;
use shared::lambda::logging::plain;
use shared::lambda::metrics::{milliseconds_since, record_number, timed};
use shared::meta::lenient::storable_text;
use shared::text::head;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::details::{LlmDetails, Origin};
use crate::function::Clock;
use crate::incoming::Incoming;
use crate::responder::{Answer, NoAnswer, Question, Responder, Response};

use conversation::{Conversations, Said};
use error::{ErrorClass, ModelError};
use limits::DayUsage;
use model::{Completion, Model, Usage};
use prompt::Prompt;
use retries::Retries;
use settings::Rules;

/// The time before the end of the time for a responder at which a call of the model ends, so that its failure is decided on.
const MARGIN: Duration = Duration::from_millis(100);

/// The reason for messages without a reply when the fallback text is empty.
pub const NO_REPLY: &str = "no reply from the model";

/// The reason for messages without a reply after the text of a limit.
pub const LIMIT_REACHED: &str = "the daily limit of answers was reached";

/// The maximum length of a name of the model's server that is stored.
const MAX_NAME: usize = 100;

/// Replies with answers of a language model.
pub struct Llm<M, C> {
    /// The model.
    pub model: M,
    /// Conversations so far.
    pub conversations: C,
    /// What to ask, and what to do without an answer.
    pub rules: Rules,
    /// The current time.
    pub clock: Clock,
}

/// A turn that is being answered.
struct Turn<'a> {
    question: Question<'a>,
    /// Its last message.
    newest: &'a Incoming,
    retries: Retries,
    deadline: Deadline,
}

impl<M: Model, C: Conversations> Responder for Llm<M, C> {
    async fn respond(&self, question: Question<'_>) -> Result<Response, NoAnswer> {
        let expects_reply = question.messages.iter().any(|message| message.content.is_conversation());
        let Some(newest) = question.messages.last().filter(|_| expects_reply) else {
            return Ok(Response::Nothing);
        };
        let now = (self.clock)();
        let deadline = question.deadline.keeping(MARGIN).min(Deadline::after(self.rules.timeout));
        let turn = Turn { question, newest, retries: Retries::of(question, now), deadline };
        let (usage, earlier) = tokio::join!(self.usage(&turn), self.earlier(&turn));
        if let Some(usage) = usage
            && let Some(limit) = self.rules.limits.reached(&usage)
        {
            return Ok(self.limited(limit, &usage, &turn));
        }
        let earlier = match earlier {
            Ok(earlier) => earlier,
            Err(cause) if self.rules.requires_history => {
                let reason = format!("the conversation so far cannot be read: {cause}");
                let wait = turn.retries.retry_reading(newest.key.as_str());
                return self.without_answer(wait, reason, Usage::default(), &turn);
            }
            Err(cause) => {
                let (counter, wamid) = (Counter::MissingConversations.name(), newest.short_wamid());
                warn!(
                    counter,
                    wamid, cause, "the model answers without the conversation so far, which cannot be read"
                );
                Vec::new()
            }
        };
        let new: Vec<Said> = question.messages.iter().map(|message| Said::from(*message)).collect();
        let prompt = Prompt::new(&self.rules.instructions, now.date_naive(), &earlier, &new);
        match self.answer(prompt, &turn).await {
            Ok(answer) => Ok(Response::Text(answer)),
            Err(cause) => {
                let wait = match cause.class {
                    ErrorClass::Throttled
                    | ErrorClass::Server
                    | ErrorClass::Timeout
                    | ErrorClass::Connection => turn.retries.retry(newest.key.as_str(), cause.retry_after),
                    ErrorClass::Account => turn.retries.last_retry(),
                    ErrorClass::Context | ErrorClass::Unusable => None,
                };
                self.without_answer(wait, cause.to_string(), cause.usage, &turn)
            }
        }
    }
}

impl<M: Model, C: Conversations> Llm<M, C> {
    /// Returns what the day's answers come to, if there are limits and it is known: a database that is down must not stop
    /// the reply.
    async fn usage(&self, turn: &Turn<'_>) -> Option<DayUsage> {
        let user_id = turn.question.user_id.filter(|_| self.rules.limits.any())?;
        let usage = read(turn, self.conversations.usage(user_id)).await;
        let (counter, wamid) = (Counter::UncheckedLimits.name(), turn.newest.short_wamid());
        usage
            .inspect_err(|cause| {
                warn!(
                    counter,
                    wamid, cause, "limits not checked: it is unknown what this day's answers come to"
                )
            })
            .ok()
    }

    /// Returns the conversation so far. In a group, where others read the reply, there is none.
    async fn earlier(&self, turn: &Turn<'_>) -> Result<Vec<Said>, String> {
        if self.rules.history == 0 || turn.newest.group_id.is_some() {
            return Ok(Vec::new());
        }
        let user_id = turn.question.user_id.ok_or("the user is unknown")?;
        read(turn, self.conversations.latest(user_id, self.rules.history)).await
    }

    /// Asks the model; with half of the conversation so far, as often as it takes, if that is too long, and without it if the
    /// server refuses the request: the cause may be an earlier message, which would be in the next requests, too.
    async fn answer(&self, mut prompt: Prompt, turn: &Turn<'_>) -> Result<Answer, ModelError> {
        let start = Instant::now();
        let mut spent = Usage::default();
        let completion = loop {
            let cause = match self.ask(&prompt, turn).await {
                Ok(completion) => break completion,
                Err(cause) => cause,
            };
            spent = spent.plus(cause.usage);
            let shorter = match cause.class {
                ErrorClass::Context => prompt.halved(),
                ErrorClass::Unusable if cause.status.is_some() => prompt.alone(),
                _ => None,
            };
            prompt = shorter.ok_or(ModelError { usage: spent, ..cause })?;
        };
        let usage = spent.plus(completion.usage);
        let name = |name: &str| head(&storable_text(name), MAX_NAME).to_owned();
        let details = LlmDetails {
            source: Origin::Model,
            model: Some(name(completion.model.as_deref().unwrap_or_else(|| self.model.name()))),
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            ms: Some(milliseconds_since(start)),
            finish_reason: completion.finish_reason.as_deref().map(name),
        };
        Ok(Answer { text: completion.text, details: Some(details) })
    }

    /// Asks the model once, within the time that is left.
    async fn ask(&self, prompt: &Prompt, turn: &Turn<'_>) -> Result<Completion, ModelError> {
        let (start, messages) = (Instant::now(), prompt.messages());
        let left = turn.deadline.left().unwrap_or(self.rules.timeout);
        let asking = turn.deadline.run(left, self.model.complete(&messages, left));
        let answered = timed("llm_ms", asking).await.unwrap_or_else(|_| Err(ErrorClass::Timeout.into()));
        let (model, duration_ms, wamid) =
            (self.model.name(), milliseconds_since(start), turn.newest.short_wamid());
        let usage = match &answered {
            Ok(completion) => completion.usage,
            Err(cause) => cause.usage,
        };
        let Usage { input_tokens, output_tokens } = usage;
        if let Some(tokens) = input_tokens {
            record_number("llm_input_tokens", tokens);
        }
        if let Some(tokens) = output_tokens {
            record_number("llm_output_tokens", tokens);
        }
        match &answered {
            Ok(completion) => {
                let finish_reason = completion.finish_reason.as_deref().map(plain);
                info!(
                    wamid,
                    model, input_tokens, output_tokens, finish_reason, duration_ms, "the model answered"
                );
            }
            Err(cause) => {
                let counter = cause.class.counter().name();
                if cause.class == ErrorClass::Account {
                    error!(counter, wamid, model, %cause, input_tokens, output_tokens, duration_ms, "no answer of the model: an operator must act");
                } else {
                    warn!(counter, wamid, model, %cause, input_tokens, output_tokens, duration_ms, "no answer of the model");
                }
            }
        }
        answered
    }

    /// Decides on a turn without an answer: it is retried after `wait`, or gets the fallback text, if there is one.
    fn without_answer(
        &self,
        wait: Option<Duration>,
        reason: String,
        spent: Usage,
        turn: &Turn<'_>,
    ) -> Result<Response, NoAnswer> {
        if wait.is_some() {
            return Err(NoAnswer { reason, wait });
        }
        let (counter, wamid, tries) =
            (Counter::FallbackAnswers.name(), turn.newest.short_wamid(), turn.question.tries);
        warn!(
            counter,
            wamid, tries, reason, "no answer of the model: the reply is the fallback text, if there is one"
        );
        let Some(text) = self.rules.fallback_text.clone() else { return Ok(Response::Silence(NO_REPLY)) };
        let Usage { input_tokens, output_tokens } = spent;
        let details = LlmDetails { input_tokens, output_tokens, ..Origin::Fallback.into() };
        Ok(Response::Text(Answer { text, details: Some(details) }))
    }

    /// Returns the reply at a limit: one text a user and day, and then none.
    fn limited(&self, limit: &str, usage: &DayUsage, turn: &Turn<'_>) -> Response {
        let is_told = usage.limit_notices > 0;
        let (counter, wamid) = (Counter::LimitedAnswers.name(), turn.newest.short_wamid());
        let user_id = turn.question.user_id.map(tracing::field::display);
        warn!(
            counter,
            wamid, user_id, limit, is_told, "a daily limit of answers is reached: the model is not asked"
        );
        if is_told {
            return Response::Silence(LIMIT_REACHED);
        }
        Response::Text(Answer { text: self.rules.limit_text.clone(), details: Some(Origin::Limit.into()) })
    }
}

/// Reads from the database, within the time for a turn.
async fn read<T, E: Display>(
    turn: &Turn<'_>,
    reading: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match turn.deadline.run(Duration::MAX, reading).await {
        Ok(read) => read.map_err(|cause| cause.to_string()),
        Err(_) => Err("the database did not respond in time".to_owned()),
    }
}
