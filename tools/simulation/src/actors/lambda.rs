//! Lambda: polls the queues and invokes `reply` with batches in processes that may crash.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsMessage};
use local_sqs::deployed::INBOUND;
use local_sqs::{Receive, Received, queue_arn};
use reply::delivery::Delivery;
use reply::memory::Memory;
use reply::{Reply, batch};
use shared::lambda::deadline::Deadline;
use tokio::sync::Semaphore;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::Defect;
use crate::actors::bodies::{About, about, turn_of_task};
use crate::actors::crash::run_until_crash;
use crate::actors::database::Project;
use crate::actors::graph::Graph;
use crate::actors::holds;
use crate::actors::queues::InvocationQueues;
use crate::actors::responders::RunResponder;
use crate::actors::webhook::received_now;
use crate::model::attempts::{End, Holding};
use crate::model::faults::Answering;
use crate::model::turns::TurnStep;
use crate::model::world::{REGISTRATION_TEXT, World};

/// The timeout of `reply`, as in the template.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Wait time without a timer; a change ends it earlier.
const IDLE: Duration = Duration::from_secs(24 * 3600);

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
    let (id, steps, time, started) = {
        let mut state = world.lock();
        let state = &mut *state;
        state.invocations += 1;
        let id = state.invocations;
        let mut names = Vec::new();
        for message in &received {
            let what = about(message.body.as_str());
            names.push(format!("{what:?} (receive {})", message.receive_count));
            let (message_id, receives) = (message.message_id.to_string(), message.receive_count);
            if queue == INBOUND {
                state.turns.receives.insert(message_id.clone(), receives);
            }
            if let About::Message(wamid) | About::Record(wamid) = what {
                let turn = turn_of_task(message.body.as_str());
                state.attempts.receive(id, Holding::new(wamid, message_id, receives, turn));
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
        (id, steps, time, state.now)
    };
    // The most recently used idle process, as on Lambda, or a new one.
    let memory = {
        let mut state = world.lock();
        let free = state.processes.pop();
        if free.is_none() {
            state.started += 1;
        }
        free.filter(|_| !state.has_defect(Defect::ForgetTurns)).unwrap_or_default()
    };
    let result = process(world, queue, &received, id, memory.clone(), (time, steps)).await;

    let mut state = world.lock();
    let state = &mut *state;
    let Ok(Some(response)) = result else {
        let crash = TurnStep::crash(state.turns.steps.remove(&id));
        let how = if result.is_err() { "timed out" } else { crash };
        state.inject(how);
        state.cut += u64::from(result.is_err());
        state.note(format_args!("reply {id}"), format_args!("{how}"));
        state.attempts.finish(id, |_| End::Died);
        state.turns.hidden.remove(&id);
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
    let held = state.attempts.finish(id, |message_id| match () {
        () if returned.contains(message_id) => End::Returned,
        () if undeleted.contains(message_id) => End::Undeleted,
        () => End::Deleted,
    });
    state.turns.steps.remove(&id);
    if queue == INBOUND {
        holds::record(state, id, &received, &held, started);
    }
}

/// Handles a batch, in a process that may crash. `None` if it did.
async fn process(
    world: &Arc<World>,
    queue: &str,
    received: &[Received],
    invocation: u64,
    memory: Arc<Memory>,
    (time, steps): (Duration, Option<u64>),
) -> Result<Option<SqsBatchResponse>, Elapsed> {
    let (clock, read_receipts) = (world.clone(), world.lock().plan.read_receipts);
    let Answering { window, answers, .. } = world.lock().plan.answering;
    let window = window.as_millis().to_string();
    let (Ok(window), Ok(phone_number_id)) = (window.parse(), "106540352242921".parse()) else {
        return Ok(None);
    };
    let reply = Reply {
        database: Project { world: world.clone(), invocation },
        messenger: Graph { world: world.clone(), invocation },
        queues: InvocationQueues { world: world.clone(), invocation },
        responder: RunResponder { world: world.clone(), invocation, answers },
        registration_text: REGISTRATION_TEXT.to_owned(),
        read_receipts,
        answers_groups: false,
        phone_number_id,
        clock: Arc::new(move || clock.lock().utc()),
        window,
        memory,
    };
    let deliveries = received.iter().map(|message| delivery(world, queue, message)).collect();
    let unlimited = world.lock().has_defect(Defect::IgnoreDeadline);
    let deadline = if unlimited { Deadline::NONE } else { Deadline::after(time) };
    timeout(time, run_until_crash(batch::process(deliveries, deadline, &reply), steps)).await
}

/// A message in Lambda's format.
fn delivery(world: &World, queue: &str, message: &Received) -> Delivery {
    let (receives, body) = {
        let state = world.lock();
        let body = message.body.as_str().to_owned();
        let body = if state.has_defect(Defect::HoldForever) { received_now(&state, &body) } else { body };
        (holds::receive_count(&state, message), body)
    };
    let mut record = SqsMessage::default();
    record.message_id = Some(message.message_id.to_string());
    record.receipt_handle = Some(message.receipt_handle.clone());
    record.body = Some(body);
    record.event_source_arn = Some(queue_arn(queue));
    let (sent_at, first_received_at) = (message.sent_at.as_millis(), message.first_received_at.as_millis());
    record.attributes.extend([
        ("ApproximateReceiveCount".to_owned(), receives.to_string()),
        ("SentTimestamp".to_owned(), sent_at.to_string()),
        ("ApproximateFirstReceiveTimestamp".to_owned(), first_received_at.to_string()),
    ]);
    if let Some(group) = &message.group_id {
        record.attributes.insert("MessageGroupId".to_owned(), group.to_string());
    }
    record.into()
}
