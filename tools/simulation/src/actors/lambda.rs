//! Lambda: polls the queues and invokes `reply` with batches in processes that may crash.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::SqsMessage;
use local_sqs::{Receive, Received, queue_arn};
use reply::delivery::Delivery;
use reply::responder::{Question, Responder};
use reply::{Reply, batch};
use shared::lambda::deadline::Deadline;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::Defect;
use crate::actors::crash::run_until_crash;
use crate::actors::database::Project;
use crate::actors::graph::Graph;
use crate::actors::queues::{About, InvocationQueues, about};
use crate::model::attempts::End;
use crate::model::world::{REGISTRATION_TEXT, World};

/// The timeout of `reply`, as in the template.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Wait time without a timer; a change ends it earlier.
const IDLE: Duration = Duration::from_secs(24 * 3600);

/// Echoes every message, except poison and stubborn ones.
struct EchoResponder(Arc<World>);

/// Panic payload for a poison message.
struct IntendedPanic;

impl Responder for EchoResponder {
    type Error = &'static str;

    async fn respond(&self, question: Question<'_>) -> Result<Option<String>, &'static str> {
        let Some(text) = question.message.content.said() else { return Ok(None) };
        let repaired = self.0.lock().repaired;
        if text.starts_with("poison") && !repaired {
            self.0.lock().inject("panic");
            // Skips the panic hook, which would print the panic.
            std::panic::resume_unwind(Box::new(IntendedPanic));
        }
        if text.starts_with("stubborn") && !repaired {
            self.0.lock().inject("responder fails");
            return Err("no answer");
        }
        Ok(Some(text.to_owned()))
    }
}

/// Starts an event source mapping, which runs until the end of the run.
pub fn map(world: &Arc<World>, queue: &'static str, batch_size: usize, concurrency: usize) {
    let world = world.clone();
    let slots = Arc::new(Semaphore::new(concurrency));
    tokio::spawn(async move {
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let batch = loop {
                let changed = world.changed.notified();
                let next = {
                    let mut state = world.lock();
                    let state = &mut *state;
                    let at = state.timestamp();
                    let most = if state.plan.full_batches {
                        batch_size
                    } else {
                        usize::try_from(state.chance.between(1, batch_size as u64)).unwrap_or(1)
                    };
                    let receive = Receive { maximum: most, visibility_timeout: None };
                    let batch = state.broker.receive(at, queue, &receive).unwrap_or_default();
                    if !batch.is_empty() {
                        state.busy += 1;
                        break batch;
                    }
                    state.broker.next_event().map_or(IDLE, |next| next.since(at))
                };
                let _ = timeout(next.max(Duration::from_millis(1)), changed).await;
            };
            let world = world.clone();
            tokio::spawn(async move {
                invoke(&world, queue, batch).await;
                world.done();
                drop(slot);
            });
        }
    });
}

/// Invokes `reply` with a batch and deletes the handled messages.
async fn invoke(world: &Arc<World>, queue: &'static str, received: Vec<Received>) {
    let (id, steps, time) = {
        let mut state = world.lock();
        let state = &mut *state;
        state.invocations += 1;
        let id = state.invocations;
        let mut names = Vec::new();
        for message in &received {
            let what = about(message.body.as_str());
            names.push(format!("{what:?} (receive {})", message.receive_count));
            if let About::Message(wamid) | About::Record(wamid) = what {
                state.attempts.receive(id, &wamid, &message.message_id.to_string());
            }
        }
        state.note(format_args!("reply {id}"), format_args!("gets {} from {queue}", names.join(", ")));
        let death = state.plan.rates.death;
        let steps = state.draw_fault(death).then(|| state.chance.between(0, 16));
        let short_deadline = state.plan.rates.short_deadline;
        let time = if state.draw_fault(short_deadline) {
            state.inject("short deadline");
            state.chance.millis(1_000, 60_000)
        } else {
            TIMEOUT
        };
        (id, steps, time)
    };
    let (clock, read_receipts) = (world.clone(), world.lock().plan.read_receipts);
    // The most recently used idle process, as on Lambda, or a new one.
    let memory = {
        let mut state = world.lock();
        let free = state.processes.pop();
        if free.is_none() {
            state.started += 1;
        }
        free.filter(|_| !state.has_defect(Defect::ForgetTurns)).unwrap_or_default()
    };
    let reply = Reply {
        database: Project { world: world.clone(), invocation: id },
        messenger: Graph { world: world.clone(), invocation: id },
        queues: InvocationQueues { world: world.clone(), invocation: id },
        responder: EchoResponder(world.clone()),
        registration_text: REGISTRATION_TEXT.to_owned(),
        read_receipts,
        answers_groups: false,
        phone_number_id: match "106540352242921".parse() {
            Ok(id) => id,
            Err(_) => return,
        },
        clock: Arc::new(move || clock.lock().utc()),
        memory: memory.clone(),
    };
    let deliveries = received.iter().map(|message| delivery(queue, message)).collect();
    let unlimited = world.lock().has_defect(Defect::IgnoreDeadline);
    let deadline = if unlimited { Deadline::NONE } else { Deadline::after(time) };
    let result = timeout(time, run_until_crash(batch::process(deliveries, deadline, &reply), steps)).await;

    let mut state = world.lock();
    let state = &mut *state;
    let Ok(Some(response)) = result else {
        let how = if result.is_err() { "timed out" } else { "process crashed" };
        state.inject(how);
        state.cut += u64::from(result.is_err());
        state.note(format_args!("reply {id}"), format_args!("{how}"));
        state.attempts.finish(id, |_| End::Died);
        return;
    };
    state.processes.push(memory);
    let mut returned: HashSet<_> =
        response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    if state.has_defect(Defect::AcknowledgeErrors) {
        returned.clear();
    }
    let mut undeleted = HashSet::new();
    let at = state.timestamp();
    for message in &received {
        let message_id = message.message_id.to_string();
        if returned.contains(&message_id) {
            continue;
        }
        let rate = state.plan.rates.undeleted;
        if state.draw_fault(rate) {
            state.inject("handled message not deleted");
            undeleted.insert(message_id);
        } else if state.broker.delete(at, queue, &message.receipt_handle).is_err() {
            undeleted.insert(message_id);
        }
    }
    state.note(
        format_args!("reply {id}"),
        format_args!("ends: {} returned, {} not deleted", returned.len(), undeleted.len()),
    );
    state.attempts.finish(id, |message_id| match () {
        () if returned.contains(message_id) => End::Returned,
        () if undeleted.contains(message_id) => End::Undeleted,
        () => End::Deleted,
    });
}

/// A message in Lambda's format.
fn delivery(queue: &str, message: &Received) -> Delivery {
    let mut record = SqsMessage::default();
    record.message_id = Some(message.message_id.to_string());
    record.receipt_handle = Some(message.receipt_handle.clone());
    record.body = Some(message.body.as_str().to_owned());
    record.event_source_arn = Some(queue_arn(queue));
    record.attributes.insert("ApproximateReceiveCount".to_owned(), message.receive_count.to_string());
    if let Some(group) = &message.group_id {
        record.attributes.insert("MessageGroupId".to_owned(), group.to_string());
    }
    record.into()
}
