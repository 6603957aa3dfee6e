//! The decisions of the language model's responder, with models of the model and of the database.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reply::details::{LlmDetails, Origin};
use reply::incoming::Incoming;
use reply::llm::conversation::{Conversations, Said};
use reply::llm::error::{ErrorClass, ModelError};
use reply::llm::limits::{DayUsage, Limits};
use reply::llm::model::{ChatMessage, ChatRole, Completion, Model, Usage};
use reply::llm::settings::{FALLBACK_TEXT, LIMIT_TEXT, Rules};
use reply::llm::{LIMIT_REACHED, Llm, NO_REPLY};
use reply::responder::{Answer, NoAnswer, Question, Responder, Response};
use reply::users::LookupError;
use serde_json::{Value, json};
use shared::lambda::deadline::Deadline;
use shared_testing::logs::Logs;
use uuid::Uuid;

use crate::support::*;

const USER_ID: Uuid = Uuid::from_u128(7);

type Asked = Vec<(ChatRole, String)>;

/// Returns the given results one after the other, the last one again and again; and records what it was asked.
#[derive(Clone, Default)]
struct FakeModel {
    results: Arc<Mutex<VecDeque<Result<Completion, ModelError>>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    takes: Duration,
}

impl FakeModel {
    fn returning(results: impl IntoIterator<Item = Result<Completion, ModelError>>) -> Self {
        let results = Arc::new(Mutex::new(results.into_iter().collect()));
        Self { results, ..Self::default() }
    }

    /// What it was asked in each call, without the instructions.
    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("a lock").clone()
    }
}

impl Model for FakeModel {
    fn name(&self) -> &str {
        "small"
    }

    async fn complete(&self, messages: &[ChatMessage], _: Duration) -> Result<Completion, ModelError> {
        let asked = messages.iter().skip(1).map(|message| (message.role, message.content.clone())).collect();
        self.asked.lock().expect("a lock").push(asked);
        tokio::time::sleep(self.takes).await;
        let mut results = self.results.lock().expect("a lock");
        match results.len() {
            0 => Ok(completion("Hi!")),
            1 => results[0].clone(),
            _ => results.pop_front().expect("a result"),
        }
    }
}

/// The rows of each user; `None` while the database is away.
#[derive(Clone, Default)]
struct FakeConversations {
    rows: Option<Vec<Said>>,
    usage: Option<DayUsage>,
}

impl Conversations for FakeConversations {
    async fn latest(&self, user_id: Uuid, most: usize) -> Result<Vec<Said>, LookupError> {
        assert_eq!(user_id, USER_ID);
        let rows = self.rows.as_ref().ok_or(LookupError::Unreadable)?;
        Ok(rows[rows.len().saturating_sub(most)..].to_vec())
    }

    async fn usage(&self, user_id: Uuid) -> Result<DayUsage, LookupError> {
        assert_eq!(user_id, USER_ID);
        self.usage.ok_or(LookupError::Unreadable)
    }
}

fn completion(text: &str) -> Completion {
    let usage = Usage { input_tokens: Some(12), output_tokens: Some(3) };
    Completion { text: text.to_owned(), model: None, usage, finish_reason: Some("stop".to_owned()) }
}

fn said(number: u128, by: ChatRole, text: &str) -> Said {
    Said { id: Uuid::from_u128(number), by, text: text.to_owned(), wamids: Vec::new(), quotes: None }
}

/// A conversation of so many messages.
fn rows(count: u128) -> FakeConversations {
    let by = |n: u128| if n.is_multiple_of(2) { ChatRole::Assistant } else { ChatRole::User };
    let rows = (1..=count).map(|n| said(n, by(n), &n.to_string())).collect();
    FakeConversations { rows: Some(rows), usage: Some(DayUsage::default()) }
}

fn received_at() -> DateTime<Utc> {
    "2025-06-08T20:59:43.500Z".parse().expect("a time")
}

fn incoming(message: &Value) -> Incoming {
    delivery(envelope(message), 1).message().expect("a message").clone()
}

/// Asks for a reply to a message, at the given time after its receipt.
async fn respond_to(
    message: &Value,
    model: &FakeModel,
    conversations: FakeConversations,
    rules: Rules,
    (tries, after): (u32, TimeDelta),
) -> Result<Response, NoAnswer> {
    let now = received_at() + after;
    let llm = Llm { model: model.clone(), conversations, rules, clock: Arc::new(move || now) };
    assert!(!llm.is_pure());
    let message = incoming(message);
    let messages = [&message];
    let question = Question {
        messages: &messages,
        user_id: Some(USER_ID),
        tries,
        deadline: Deadline::after(Duration::from_secs(80)),
    };
    llm.respond(question).await
}

async fn respond(
    model: &FakeModel,
    rules: Rules,
    tries: u32,
    after: TimeDelta,
) -> Result<Response, NoAnswer> {
    respond_to(&text(), model, rows(4), rules, (tries, after)).await
}

fn failing(class: ErrorClass) -> FakeModel {
    FakeModel::returning([Err(class.into())])
}

fn fallback(spent: Usage) -> Result<Response, NoAnswer> {
    let Usage { input_tokens, output_tokens } = spent;
    let details = LlmDetails { input_tokens, output_tokens, ..Origin::Fallback.into() };
    Ok(Response::Text(Answer { text: FALLBACK_TEXT.to_owned(), details: Some(details) }))
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_the_details_of_its_making() {
    let model = FakeModel { takes: Duration::from_millis(900), ..FakeModel::default() };
    let response = respond(&model, Rules::default(), 1, TimeDelta::zero()).await;
    let Ok(Response::Text(Answer { text, details: Some(details) })) = response else {
        panic!("{response:?}")
    };
    assert_eq!(text, "Hi!");
    assert_eq!(
        serde_json::to_value(&details).expect("JSON"),
        json!({"source": "model", "model": "small", "input_tokens": 12, "output_tokens": 3, "ms": 900, "finish_reason": "stop"})
    );
    let (user, assistant) = (ChatRole::User, ChatRole::Assistant);
    let expected: Asked = [(user, "1"), (assistant, "2"), (user, "3"), (assistant, "4"), (user, "Hello")]
        .map(|(role, text)| (role, text.to_owned()))
        .to_vec();
    assert_eq!(model.asked(), [expected]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_try_is_retried_until_the_third_or_two_minutes_have_passed() {
    let passing = [ErrorClass::Throttled, ErrorClass::Server, ErrorClass::Timeout, ErrorClass::Connection];
    for class in passing {
        for (tries, range) in [(1, 2..=4), (2, 8..=16)] {
            let response = respond(&failing(class), Rules::default(), tries, TimeDelta::seconds(20)).await;
            let Err(NoAnswer { wait: Some(wait), reason }) = response else {
                panic!("{class:?} {response:?}")
            };
            assert!(range.contains(&wait.as_secs()), "{class:?} {tries} {wait:?}");
            assert!(!reason.is_empty());
        }
        for (tries, after) in [(3, 20), (1, 120), (2, 4000)] {
            let response = respond(&failing(class), Rules::default(), tries, TimeDelta::seconds(after)).await;
            assert_eq!(response, fallback(Usage::default()), "{class:?} {tries} {after}");
        }
        // Not beyond the two minutes.
        let response = respond(&failing(class), Rules::default(), 2, TimeDelta::milliseconds(117_500)).await;
        assert_eq!(response.map_err(|cause| cause.wait), Err(Some(Duration::from_secs(3))), "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_that_the_server_names_is_waited_for_within_the_two_minutes() {
    for (named, after, wait) in [(30, 0, 30), (600, 50, 70), (0, 0, 1)] {
        let error =
            ModelError { retry_after: Some(Duration::from_secs(named)), ..ErrorClass::Throttled.into() };
        let model = FakeModel::returning([Err(error)]);
        let response = respond(&model, Rules::default(), 1, TimeDelta::seconds(after)).await;
        assert_eq!(response.map_err(|cause| cause.wait), Err(Some(Duration::from_secs(wait))), "{named}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_account_is_tried_once_more_at_the_end_of_the_two_minutes() {
    let logs = Logs::capture();
    let response = respond(&failing(ErrorClass::Account), Rules::default(), 3, TimeDelta::seconds(1)).await;
    assert_eq!(response.map_err(|cause| cause.wait), Err(Some(Duration::from_secs(119))));
    assert_eq!(logs.counted(), [("ERROR".to_owned(), "llm_errors_account".to_owned())]);
    let response = respond(&failing(ErrorClass::Account), Rules::default(), 4, TimeDelta::seconds(120)).await;
    assert_eq!(response, fallback(Usage::default()));
    let counted = logs.counted().into_iter().map(|(_, counter)| counter).collect::<Vec<_>>();
    assert_eq!(counted, ["llm_errors_account", "fallback_answers"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_used_is_replaced_at_once_and_what_it_cost_is_recorded() {
    let spent = Usage { input_tokens: Some(90), output_tokens: Some(8) };
    let model = FakeModel::returning([Err(ModelError::unusable("the model refused to answer", spent))]);
    assert_eq!(respond(&model, Rules::default(), 1, TimeDelta::zero()).await, fallback(spent));
    let silent = Rules { fallback_text: None, ..Rules::default() };
    assert_eq!(respond(&model, silent, 1, TimeDelta::zero()).await, Ok(Response::Silence(NO_REPLY)));
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_is_too_long_is_asked_about_with_half_of_it_until_it_fits() {
    let model = FakeModel::returning([Err(ErrorClass::Context.into()), Ok(completion("Hi!"))]);
    let response = respond(&model, Rules::default(), 1, TimeDelta::zero()).await;
    assert!(matches!(response, Ok(Response::Text(Answer { ref text, .. })) if text == "Hi!"), "{response:?}");
    assert_eq!(model.asked().iter().map(Vec::len).collect::<Vec<_>>(), [5, 3]);

    let model = failing(ErrorClass::Context);
    assert_eq!(respond(&model, Rules::default(), 1, TimeDelta::zero()).await, fallback(Usage::default()));
    assert_eq!(
        model.asked().iter().map(Vec::len).collect::<Vec<_>>(),
        [5, 3, 3, 1],
        "at last the turn alone"
    );
    let alone = Rules { history: 0, ..Rules::default() };
    let model = failing(ErrorClass::Context);
    assert_eq!(respond(&model, alone, 1, TimeDelta::zero()).await, fallback(Usage::default()));
    assert_eq!(model.asked(), [[(ChatRole::User, "Hello".to_owned())]], "there is no half of nothing");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_is_made_once_more_without_the_conversation() {
    let refused = || Err(ModelError { status: Some(400), ..ErrorClass::Unusable.into() });
    let model = FakeModel::returning([refused(), Ok(completion("Hi!"))]);
    let response = respond(&model, Rules::default(), 1, TimeDelta::zero()).await;
    assert!(matches!(response, Ok(Response::Text(Answer { ref text, .. })) if text == "Hi!"), "{response:?}");
    assert_eq!(model.asked()[1], [(ChatRole::User, "Hello".to_owned())]);

    let model = FakeModel::returning([refused()]);
    assert_eq!(respond(&model, Rules::default(), 1, TimeDelta::zero()).await, fallback(Usage::default()));
    assert_eq!(model.asked().len(), 2, "the turn alone is refused, too");
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_timeout() {
    let model = FakeModel { takes: Duration::from_secs(600), ..FakeModel::default() };
    let start = tokio::time::Instant::now();
    let rules = Rules { timeout: Duration::from_secs(20), ..Rules::default() };
    let response = respond(&model, rules, 1, TimeDelta::zero()).await;
    assert!(matches!(response, Err(NoAnswer { wait: Some(_), .. })), "{response:?}");
    assert_eq!(start.elapsed(), Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn without_the_database_the_turn_alone_is_answered_unless_the_conversation_is_required() {
    let away = || FakeConversations::default();
    let model = FakeModel::default();
    let logs = Logs::capture();
    let response = respond_to(&text(), &model, away(), Rules::default(), (1, TimeDelta::zero())).await;
    assert!(matches!(response, Ok(Response::Text(_))), "{response:?}");
    assert_eq!(model.asked(), [[(ChatRole::User, "Hello".to_owned())]]);
    assert_eq!(logs.counted(), [("WARN".to_owned(), "missing_conversations".to_owned())]);

    let required = || Rules { requires_history: true, ..Rules::default() };
    let model = FakeModel::default();
    let response = respond_to(&text(), &model, away(), required(), (9, TimeDelta::seconds(100))).await;
    assert_eq!(
        response.map_err(|cause| cause.wait),
        Err(Some(Duration::from_secs(20))),
        "whatever the tries"
    );
    let response = respond_to(&text(), &model, away(), required(), (10, TimeDelta::seconds(120))).await;
    assert_eq!(response, fallback(Usage::default()));
    assert!(model.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn at_a_limit_there_is_one_notice_and_then_silence() {
    let limits = Limits { user_answers: Some(5), ..Limits::default() };
    let rules = || Rules { limits, ..Rules::default() };
    let used = |user_answers, limit_notices| {
        let usage = Some(DayUsage { user_answers, limit_notices, ..DayUsage::default() });
        FakeConversations { usage, ..rows(2) }
    };
    let model = FakeModel::default();
    let ask = async |conversations| {
        respond_to(&text(), &model, conversations, rules(), (1, TimeDelta::zero())).await
    };
    assert!(matches!(ask(used(4, 0)).await, Ok(Response::Text(answer)) if answer.text == "Hi!"));
    let notice = Answer { text: LIMIT_TEXT.to_owned(), details: Some(Origin::Limit.into()) };
    assert_eq!(ask(used(5, 0)).await, Ok(Response::Text(notice)));
    assert_eq!(ask(used(5, 1)).await, Ok(Response::Silence(LIMIT_REACHED)));
    let logs = Logs::capture();
    let unknown = FakeConversations { usage: None, ..rows(2) };
    assert!(matches!(ask(unknown).await, Ok(Response::Text(answer)) if answer.text == "Hi!"));
    assert_eq!(logs.counted(), [("WARN".to_owned(), "unchecked_limits".to_owned())]);
    assert_eq!(model.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn in_a_group_the_conversation_so_far_is_not_shown() {
    let mut message = text();
    message["group_id"] = json!("group-1");
    let model = FakeModel::default();
    let response = respond_to(&message, &model, rows(4), Rules::default(), (1, TimeDelta::zero())).await;
    assert!(response.is_ok());
    assert_eq!(model.asked(), [[(ChatRole::User, "Hello".to_owned())]]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_expects_no_reply_gets_none_and_one_without_words_is_named() {
    let mut reaction = json!({"from": "16505551234", "id": "wamid.R", "timestamp": "1749416383", "type": "reaction",
        "reaction": {"message_id": "wamid.1", "emoji": "👍"}});
    let model = FakeModel::default();
    let ask = async |message: &Value| {
        respond_to(message, &model, rows(0), Rules::default(), (1, TimeDelta::zero())).await
    };
    assert_eq!(ask(&reaction).await, Ok(Response::Nothing));
    assert!(model.asked().is_empty());
    reaction["type"] = json!("audio");
    reaction["audio"] = json!({"id": "1", "voice": true});
    assert!(matches!(ask(&reaction).await, Ok(Response::Text(_))));
    assert_eq!(model.asked(), [[(ChatRole::User, "[voice message]".to_owned())]]);
}
