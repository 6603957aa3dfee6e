//! `webhook` as Lambda runs it: the production handler over a model of its queue.

use std::sync::Arc;
use std::time::Duration;

use local_sqs::NewMessage;
use secrecy::SecretString;
use serde_json::json;
use tokio::time::timeout;
use webhook::Webhook;
use webhook::batches::Batch;
use webhook::entry::Entry;
use webhook::handshake::VerifyToken;
use webhook::queue::{Queue, QueueError};
use webhook::signature::{AppSecret, HEADER};

use super::Break;
use super::lambda::mortal;
use super::queues::{self, About};
use super::world::{State, World};
use local_sqs::deployed::INBOUND;

/// The function's timeout, as in the template.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call to the queue may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);

fn secret() -> AppSecret {
    AppSecret::new(&SecretString::from("simulation"))
}

/// A signed POST of `body`, as API Gateway hands it over.
#[must_use]
pub fn event(body: &str) -> String {
    let headers = json!({"content-type": "application/json", HEADER: secret().sign(body.as_bytes())});
    let mut event = shared_testing::event::http("$default", "POST", "/webhook", "", &headers);
    event["body"] = json!(body);
    event.to_string()
}

/// Invokes the function with a request that holds `what`. The status that Meta got, if any.
pub async fn invoke(world: &Arc<World>, what: &str, request: &str) -> Option<u16> {
    let (id, lives, answer_lost) = {
        let mut state = world.lock();
        let state = &mut *state;
        state.invocations += 1;
        let id = state.invocations;
        state.note(format_args!("webhook {id}"), format_args!("gets {what}"));
        let death = state.plan.rates.death;
        let lives = state.strikes(death / 2).then(|| state.chance.between(0, 6));
        let answer_lost = state.strikes(death / 4);
        if answer_lost {
            state.inject("webhook answer lost");
        }
        (id, lives, answer_lost)
    };
    let webhook = Webhook::new(
        secret(),
        VerifyToken::new(SecretString::from("simulation")),
        Inbound { world: world.clone(), id },
    );
    let request = shared::api::request(request).ok()?;
    let answer = timeout(TIMEOUT, mortal(webhook.handle(request), lives)).await;
    let Ok(Some(answer)) = answer else {
        let mut state = world.lock();
        state.inject("webhook died");
        state.note(format_args!("webhook {id}"), format_args!("dies"));
        return None;
    };
    Some(answer.status().as_u16()).filter(|_| !answer_lost)
}

/// The inbound queue, as `webhook` sees it.
struct Inbound {
    world: Arc<World>,
    id: u64,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Taken,
    Refused,
    SomeRefused,
    AnswerLost,
}

impl Queue for Inbound {
    async fn send(&self, batch: Batch) -> Result<(), QueueError> {
        let (fate, latency) = {
            let mut state = self.world.lock();
            let now = state.now;
            let rate = state.plan.rates.queue;
            let fate = if state.plan.queue_at(now) {
                Fate::Refused
            } else if state.strikes(rate) {
                state.chance.pick(Fate::Refused, &[Fate::SomeRefused, Fate::AnswerLost])
            } else {
                Fate::Taken
            };
            match fate {
                Fate::Taken => {}
                Fate::Refused => state.inject("SQS refuses a batch"),
                Fate::SomeRefused => state.inject("SQS refuses some entries"),
                Fate::AnswerLost => state.inject("SQS answer lost"),
            }
            (fate, state.chance.millis(5, 40))
        };
        let sent = batch.entries.len();
        let id = self.id;
        let call = self.world.call(latency, move |state| {
            let mut refused = 0;
            for entry in &batch.entries {
                let refuses = match fate {
                    Fate::Taken | Fate::AnswerLost => false,
                    Fate::Refused => true,
                    Fate::SomeRefused => state.chance.in_1000(500),
                };
                if refuses || !put(state, id, entry) {
                    refused += 1;
                }
            }
            refused
        });
        match timeout(CALL_TIMEOUT, call).await {
            _ if fate == Fate::AnswerLost => Err(QueueError::Call("no answer".to_owned())),
            Ok(0) => Ok(()),
            Ok(refused) if fate == Fate::SomeRefused => {
                Err(QueueError::Entries { refused, sent, code: "InternalError".to_owned() })
            }
            _ => Err(QueueError::Call("unavailable".to_owned())),
        }
    }
}

/// Puts an entry on the queue, as of the world's time. Whether the queue took it.
fn put(state: &mut State, id: u64, entry: &Entry) -> bool {
    let at = state.timestamp();
    let wamid = entry.subject.wamid.as_deref().unwrap_or_default();
    let mark = match queues::about(&entry.body) {
        About::Event(mark) if state.people.changes.contains_key(&mark) => Some(mark),
        _ => None,
    };
    let alone = mark.is_some() && state.breaks(Break::ChangesAlone);
    let group = if alone || state.breaks(Break::NoGroups) {
        entry.deduplication_id.clone()
    } else if state.breaks(Break::OneGroup) {
        "everybody".to_owned()
    } else if state.breaks(Break::StatusesInSenderGroup) && entry.subject.update == "status" {
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
                // Where it should be, wherever it is.
                state.people.accept_change(&mark, &entry.message_group_id);
            } else if entry.subject.update == "message" {
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

/// The envelope with the world's time in the place of the machine's, which `webhook` reads. The last three
/// digits, the position in the request, stay.
fn received_now(state: &State, body: &str) -> String {
    const TIME: usize = "2026-11-24T03:05:00.123".len();
    let kinds =
        ["message", "echo", "status", "event"].map(|kind| format!(r#"{{"v1":{{"{kind}":{{"received_at":""#));
    let found = kinds.iter().find_map(|before| Some((before, body.strip_prefix(before.as_str())?)));
    let Some((before, rest)) = found else { return body.to_owned() };
    let now = state.utc().format("%Y-%m-%dT%H:%M:%S%.3f");
    // A time on a full second is written without its fraction.
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
