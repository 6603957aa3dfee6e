//! The responders of the runs.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reply::details::Origin;
use reply::llm::retries::MAX_WAIT;
use reply::llm::settings::Rules;
use reply::llm::{Llm, NO_REPLY};
use reply::responder::{NoAnswer, Question, Responder, Response};

use crate::Defect;
use crate::actors::llm::{LanguageModel, Rows};
use crate::model::faults::Answers;
use crate::model::turns::TurnStep;
use crate::model::world::{State, World};

/// Answers in the way of the run, except poison and stubborn messages.
pub struct RunResponder {
    /// The world.
    pub world: Arc<World>,
    /// The invocation.
    pub invocation: u64,
    /// What answers.
    pub answers: Answers,
}

/// Panic payload for a poison message.
struct IntendedPanic;

impl Responder for RunResponder {
    fn is_pure(&self) -> bool {
        self.answers == Answers::Echo
    }

    async fn respond(&self, question: Question<'_>) -> Result<Response, NoAnswer> {
        let attempt = self.begin(question)?;
        let response = match self.answers {
            Answers::Llm => self.ask(question, attempt).await?,
            Answers::Echo | Answers::NumberedEcho => self.echo(question),
        };
        let state = &mut *self.world.lock();
        state.turns.steps.insert(self.invocation, TurnStep::Answered);
        if let Some(attempt) = state.attempts.get_mut(attempt) {
            match &response {
                Response::Text(answer) => attempt.words = Some(answer.text.clone()),
                Response::Silence(_) => attempt.is_silent = true,
                Response::Nothing => {}
            }
        }
        Ok(response)
    }
}

impl RunResponder {
    /// Notes the question in the attempt, and returns its number.
    fn begin(&self, question: Question<'_>) -> Result<Option<usize>, NoAnswer> {
        let wamids: Vec<_> =
            question.messages.iter().map(|message| message.key.as_str().to_owned()).collect();
        let has_word = |word| question.said().any(|said| said.starts_with(word));
        let state = &mut *self.world.lock();
        let attempt = wamids.last().and_then(|last| state.attempts.current(self.invocation, last));
        if let Some(attempt) = state.attempts.get_mut(attempt) {
            attempt.asked = wamids;
        }
        if has_word("poison") && !state.repaired {
            state.inject("panic");
            // Skips the panic hook, which would print the panic.
            std::panic::resume_unwind(Box::new(IntendedPanic));
        }
        if has_word("stubborn") && !state.repaired {
            state.inject("responder fails");
            return Err("no answer".into());
        }
        Ok(attempt)
    }

    /// Repeats the words of each message, with the number of the answer if a retry is to say other words.
    fn echo(&self, question: Question<'_>) -> Response {
        let words = words(question);
        if words.trim().is_empty() {
            return Response::Nothing;
        }
        let state = &mut *self.world.lock();
        state.turns.answers += 1;
        if self.answers == Answers::NumberedEcho || state.has_defect(Defect::ChangeWords) {
            return format!("{} {words}", state.turns.answers).into();
        }
        words.into()
    }

    /// Asks the language model, through the production code.
    async fn ask(&self, question: Question<'_>, attempt: Option<usize>) -> Result<Response, NoAnswer> {
        let Some((attempt, newest)) = attempt.zip(question.messages.last()) else {
            return Err("there is no attempt".into());
        };
        let (world, wamid) = (self.world.clone(), newest.key.as_str().to_owned());
        let (rules, repeats, started) = {
            let state = self.world.lock();
            let defaults = Rules::default();
            let rules = Rules {
                requires_history: state.llm.requires_history,
                fallback_text: defaults.fallback_text.filter(|_| state.llm.has_fallback),
                limits: state.llm.limits,
                ..defaults
            };
            (rules, state.has_defect(Defect::RetryForever), state.utc())
        };
        let (clock, received_at) = (world.clone(), newest.received_at);
        let llm = Llm {
            model: LanguageModel { world: world.clone(), attempt, wamid, words: words(question) },
            conversations: Rows { world, invocation: self.invocation, attempt },
            rules,
            clock: Arc::new(move || if repeats { received_at } else { clock.lock().utc() }),
        };
        let tries = if repeats { 1 } else { question.tries };
        let response = llm.respond(Question { tries, ..question }).await;
        judge(&mut self.world.lock(), question, attempt, started, &response);
        response
    }
}

/// Notes a decision that is wrong: a wait that is too long, a silence without a reason, a second notice of a limit.
fn judge(
    state: &mut State,
    question: Question<'_>,
    attempt: usize,
    started: DateTime<Utc>,
    response: &Result<Response, NoAnswer>,
) {
    let Some(last) = question.messages.last() else { return };
    let usage = state.llm.usage.get(&attempt).copied().unwrap_or_default();
    let is_told = usage.limit_notices > 0;
    let (wrong, is_wrong) = match response {
        Err(NoAnswer { wait, .. }) => {
            let newest = question.messages.iter().map(|message| message.received_at).max();
            let waited = newest.and_then(|newest| (started - newest).to_std().ok()).unwrap_or_default();
            // Waits are whole seconds.
            let end = waited + wait.unwrap_or_default();
            let is_late = waited >= MAX_WAIT || end > MAX_WAIT + Duration::from_secs(1);
            (&mut state.llm.late_retries, is_late)
        }
        Ok(Response::Nothing) => return,
        Ok(Response::Silence(NO_REPLY)) => (&mut state.llm.wrong_silences, state.llm.has_fallback),
        Ok(Response::Silence(_)) => {
            (&mut state.llm.wrong_silences, state.llm.limits.reached(&usage).is_none() || !is_told)
        }
        Ok(Response::Text(answer)) => {
            let source = answer.details.as_ref().map(|details| details.source);
            match source {
                Some(Origin::Fallback) => state.inject("fallback text"),
                Some(Origin::Limit) => state.inject("daily limit reached"),
                Some(Origin::Model) | None => {}
            }
            (&mut state.llm.beyond_limits, source == Some(Origin::Limit) && is_told)
        }
    };
    if is_wrong {
        wrong.push(last.key.as_str().to_owned());
    }
}

fn words(question: Question<'_>) -> String {
    question.said().collect::<Vec<_>>().join("\n")
}
