//! `webhook` on Lambda: the production handler over a model of its queue.

use std::sync::Arc;
use std::time::Duration;

use local_sqs::NewMessage;
use secrecy::SecretString;
use serde_json::json;
use shared::lambda::names::UpdateKind;
use tokio::time::timeout;
use webhook::Webhook;
use webhook::batches::Batch;
use webhook::entry::Entry;
use webhook::handshake::VerifyToken;
use webhook::queue::{Queue, QueueError};
use webhook::signature::{AppSecret, HEADER};

use crate::Defect;
use crate::actors::bodies::{self, About};
use crate::actors::crash::run_until_crash;
use crate::model::world::{State, World};
use local_sqs::deployed::INBOUND;

/// The function's timeout, as in the template.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of a call to the queue.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);

fn secret() -> AppSecret {
    AppSecret::new(&SecretString::from("simulation"))
}

/// A signed POST of `body`, as an API Gateway event.
#[must_use]
pub fn event(body: &str) -> String {
    let headers = json!({"content-type": "application/json", HEADER: secret().sign(body.as_bytes())});
    let mut event = shared_testing::event::http("$default", "POST", "/webhook", "", &headers);
    event["body"] = json!(body);
    event.to_string()
}

/// Invokes the function with a request and returns the status that Meta got, if any.
pub async fn invoke(world: &Arc<World>, what: &str, request: &str) -> Option<u16> {
    let (id, steps, answer_lost) = {
        let mut state = world.lock();
        let state = &mut *state;
        state.invocations += 1;
        let id = state.invocations;
        state.note(format_args!("webhook {id}"), format_args!("gets {what}"));
        let death = state.plan.rates.death;
        let steps = state.draw_fault(death / 2).then(|| state.chance.between(0, 6));
        let answer_lost = state.draw_fault(death / 4);
        if answer_lost {
            state.inject("webhook response lost");
        }
        (id, steps, answer_lost)
    };
    let webhook = Webhook::new(
        secret(),
        VerifyToken::new(SecretString::from("simulation")),
        Inbound { world: world.clone(), id },
    );
    let request = shared::lambda::api::request(request).ok()?;
    let answer = timeout(TIMEOUT, run_until_crash(webhook.handle(request), steps)).await;
    let Ok(Some(answer)) = answer else {
        let mut state = world.lock();
        state.inject("webhook crashed");
        state.note(format_args!("webhook {id}"), format_args!("crashes"));
        return None;
    };
    Some(answer.status().as_u16()).filter(|_| !answer_lost)
}

/// The inbound queue for one invocation of `webhook`.
struct Inbound {
    world: Arc<World>,
    id: u64,
}

/// Outcome of a call.
#[derive(Clone, Copy, PartialEq)]
enum RequestOutcome {
    Taken,
    Refused,
    SomeRefused,
    AnswerLost,
}

impl Queue for Inbound {
    async fn send(&self, batch: Batch) -> Result<(), QueueError> {
        let (outcome, latency) = {
            let mut state = self.world.lock();
            let now = state.now;
            let rate = state.plan.rates.queue;
            let outcome = if state.plan.queue_at(now) {
                RequestOutcome::Refused
            } else if state.draw_fault(rate) {
                state
                    .chance
                    .pick(RequestOutcome::Refused, &[RequestOutcome::SomeRefused, RequestOutcome::AnswerLost])
            } else {
                RequestOutcome::Taken
            };
            match outcome {
                RequestOutcome::Taken => {}
                RequestOutcome::Refused => state.inject("SQS refuses a batch"),
                RequestOutcome::SomeRefused => state.inject("SQS refuses some entries"),
                RequestOutcome::AnswerLost => state.inject("SQS response lost"),
            }
            (outcome, state.chance.millis(5, 40))
        };
        let sent = batch.entries.len();
        let id = self.id;
        let call = self.world.call(latency, move |state| {
            let mut refused = 0;
            for entry in &batch.entries {
                let refuses = match outcome {
                    RequestOutcome::Taken | RequestOutcome::AnswerLost => false,
                    RequestOutcome::Refused => true,
                    RequestOutcome::SomeRefused => state.chance.in_1000(500),
                };
                if refuses || !put(state, id, entry) {
                    refused += 1;
                }
            }
            refused
        });
        match timeout(CALL_TIMEOUT, call).await {
            _ if outcome == RequestOutcome::AnswerLost => Err(QueueError::Call("no answer".to_owned())),
            Ok(0) => Ok(()),
            Ok(refused) if outcome == RequestOutcome::SomeRefused => {
                Err(QueueError::Entries { refused, sent, code: "InternalError".to_owned() })
            }
            _ => Err(QueueError::Call("unavailable".to_owned())),
        }
    }
}

/// Adds an entry to the queue, at the world's time. Returns whether the queue accepted it.
fn put(state: &mut State, id: u64, entry: &Entry) -> bool {
    let at = state.timestamp();
    let wamid = entry.subject.wamid.as_deref().unwrap_or_default();
    let mark = match bodies::about(&entry.body) {
        About::Event(mark) if state.people.changes.contains_key(&mark) => Some(mark),
        _ => None,
    };
    let alone = mark.is_some() && state.has_defect(Defect::ChangesInOwnGroup);
    let group = if alone || state.has_defect(Defect::NoGroups) {
        entry.deduplication_id.clone()
    } else if state.has_defect(Defect::OneGroup) {
        "all".to_owned()
    } else if state.has_defect(Defect::StatusesInSenderGroup) && entry.subject.update == UpdateKind::Status {
        let send = state.sends.iter().find(|send| send.id == wamid);
        let group = send.and_then(|send| state.people.questions.get(&send.wamid)?.group.clone());
        group.unwrap_or_else(|| entry.message_group_id.clone())
    } else {
        entry.message_group_id.clone()
    };
    let body = received_now(state, &entry.body);
    let message = NewMessage::fifo(body, group.as_str(), &entry.deduplication_id);
    match state.broker.send(at, INBOUND, &message) {
        Ok(sent) => {
            let now = state.now;
            if let Some(mark) = mark {
                // Recorded with its correct group, even if a defect changed the group.
                state.people.accept_change(&mark, &entry.message_group_id);
            } else if entry.subject.update == UpdateKind::Message {
                state.people.accept(wamid, &group, sent.message_id.to_string(), now);
            }
            state.note(format_args!("webhook {id}"), format_args!("{} is on the queue", entry.subject));
            true
        }
        Err(error) => {
            state.note("inbound", format_args!("refuses an entry: {error}"));
            false
        }
    }
}

/// Replaces the machine's time in the envelope by the world's time. The last three digits, the position in
/// the request, stay.
pub(super) fn received_now(state: &State, body: &str) -> String {
    const TIME: usize = "2026-11-24T03:05:00.123".len();
    let kinds =
        ["message", "echo", "status", "event"].map(|kind| format!(r#"{{"v1":{{"{kind}":{{"received_at":""#));
    let found = kinds.iter().find_map(|before| Some((before, body.strip_prefix(before.as_str())?)));
    let Some((before, rest)) = found else { return body.to_owned() };
    let now = state.utc().format("%Y-%m-%dT%H:%M:%S%.3f");
    // A full second has no fraction in the envelope.
    match rest.split_once('Z') {
        Some((time, rest)) => format!(
            "{before}{now}{}Z{rest}",
            match time.get(TIME..) {
                Some(position) if position.len() == 3 => position,
                _ => "000",
            }
        ),
        None => body.to_owned(),
    }
}
