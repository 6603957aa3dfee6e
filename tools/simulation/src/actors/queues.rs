//! The queues of the template, and the calls of `reply`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use local_sqs::deployed::{
    INBOUND, INBOUND_DEAD_LETTERS, MAX_INBOUND_RECEIVES, MAX_RECORD_RECEIVES, RECORD_DEAD_LETTERS, RECORDS,
};
use local_sqs::{AttributeMap, Broker, NewMessage, SqsError, Timestamp, queue_arn};
use reply::delivery::{Delivery, Source};
use reply::queues::{QueueClient, QueueError};
use tokio::time::sleep;

use crate::Defect;
use crate::actors::bodies::{About, about, turn_of_task};
use crate::actors::{follow, holds};
use crate::model::attempts::Stored;
use crate::model::turns;
use crate::model::world::{State, World};

/// Every source queue with its dead-letter queue and maximum receive count.
pub const PAIRS: [(&str, &str, u32); 2] = [
    (INBOUND, INBOUND_DEAD_LETTERS, MAX_INBOUND_RECEIVES),
    (RECORDS, RECORD_DEAD_LETTERS, MAX_RECORD_RECEIVES),
];

/// Creates the queues with the template's attributes.
///
/// # Errors
/// If the broker rejects one of them.
pub fn create(broker: &mut Broker, now: Timestamp) -> Result<(), SqsError> {
    for (name, dead_letters, receives) in PAIRS {
        let mut attributes = vec![("MessageRetentionPeriod", "1209600".to_owned())];
        if name.ends_with(".fifo") {
            attributes.extend([
                ("FifoQueue", "true".to_owned()),
                ("DeduplicationScope", "messageGroup".to_owned()),
                ("FifoThroughputLimit", "perMessageGroupId".to_owned()),
            ]);
        }
        broker.create_queue(now, dead_letters, &map(&attributes))?;
        let target = queue_arn(dead_letters);
        let redrive = serde_json::json!({"deadLetterTargetArn": target, "maxReceiveCount": receives});
        attributes.extend([("VisibilityTimeout", "540".to_owned()), ("RedrivePolicy", redrive.to_string())]);
        broker.create_queue(now, name, &map(&attributes))?;
    }
    Ok(())
}

fn map(attributes: &[(&str, String)]) -> AttributeMap {
    attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// The queues for one invocation.
pub struct InvocationQueues {
    /// The world.
    pub world: Arc<World>,
    /// The invocation.
    pub invocation: u64,
}

/// Outcome of a call.
#[derive(Clone, Copy, PartialEq)]
enum QueueCallOutcome {
    Taken,
    Refused,
    AnswerLost,
}

impl InvocationQueues {
    async fn call<T: std::marker::Send + 'static>(
        &self,
        effect: impl FnOnce(&mut State) -> Result<T, SqsError> + std::marker::Send + 'static,
    ) -> Result<T, QueueError> {
        let (outcome, latency) = {
            let mut state = self.world.lock();
            let state = &mut *state;
            let rate = state.plan.rates.queue;
            let outcome = if state.plan.queue_at(state.now) {
                QueueCallOutcome::Refused
            } else if state.draw_fault(rate) {
                state.chance.pick(QueueCallOutcome::Refused, &[QueueCallOutcome::AnswerLost])
            } else {
                QueueCallOutcome::Taken
            };
            match outcome {
                QueueCallOutcome::Taken => {}
                QueueCallOutcome::Refused => state.inject("SQS refuses a call"),
                QueueCallOutcome::AnswerLost => state.inject("SQS response lost"),
            }
            (outcome, state.chance.millis(5, 40))
        };
        if outcome == QueueCallOutcome::Refused {
            // The client retries for three seconds at most.
            sleep(latency * 75).await;
            return Err(QueueError("unavailable".to_owned()));
        }
        let answer = self.world.call(latency, effect).await;
        if outcome == QueueCallOutcome::AnswerLost {
            return Err(QueueError("no answer".to_owned()));
        }
        answer.map_err(|error| QueueError(error.to_string()))
    }
}

impl QueueClient for InvocationQueues {
    async fn change_visibility(
        &self,
        source: Source,
        receipt_handle: &str,
        delay: Duration,
    ) -> Result<(), QueueError> {
        let name = match source {
            Source::Inbound => INBOUND,
            Source::Records => RECORDS,
        };
        let (handle, invocation) = (receipt_handle.to_owned(), self.invocation);
        let hidden = delay.is_zero() && self.world.lock().has_defect(Defect::HideFollowers);
        let delay = if hidden { Duration::from_secs(3600) } else { delay };
        {
            let state = &mut *self.world.lock();
            holds::hides(state, invocation);
            state.turns.hidden.entry(invocation).or_default().insert(handle.clone(), delay);
        }
        self.call(move |state| {
            let at = state.timestamp();
            let reply = format_args!("reply {invocation}");
            state.note(reply, format_args!("hides a message for {} s", delay.as_secs()));
            state.broker.change_visibility(at, name, &handle, delay)
        })
        .await
    }

    async fn record_later(&self, body: String, delay: Duration) -> Result<(), QueueError> {
        let what = about(&body);
        let dropped = {
            let state = &mut *self.world.lock();
            match what {
                About::Status(..) if state.plan.rejects_statuses && state.faulty() => {
                    state.inject("SQS refuses a status");
                    return Err(QueueError("unavailable".to_owned()));
                }
                About::Record(_) => state.has_defect(Defect::DropRecordTasks),
                About::Status(..) => state.has_defect(Defect::DropRefusedStatuses),
                About::Event(_) => state.has_defect(Defect::DropRefusedEvents),
                About::Message(_) | About::Echo(_) | About::Unreadable => false,
            }
        };
        let (attempt, turn) = match &what {
            About::Record(wamid) => {
                (self.world.lock().attempts.current(self.invocation, wamid), turn_of_task(&body))
            }
            _ => (None, Vec::new()),
        };
        if let Some(attempt) = self.world.lock().attempts.get_mut(attempt) {
            attempt.asked = turn;
        }
        let stored = |stored| {
            if let Some(attempt) = self.world.lock().attempts.get_mut(attempt) {
                attempt.stored = stored;
                if stored == Stored::Task {
                    attempt.unconfirmed_tasks = attempt.unconfirmed_tasks.saturating_sub(1);
                }
            }
        };
        // The caller's knowledge if it stops waiting.
        stored(Stored::Neither);
        let (asked, invocation) = (what.clone(), self.invocation);
        let queued = self.call(move |state| {
            let at = state.timestamp();
            state.note(format_args!("reply {invocation}"), format_args!("record queue: {asked:?}"));
            if let About::Message(wamid) = &asked
                && let Some(question) = state.people.questions.get_mut(wamid)
            {
                question.out_of_order = true;
            }
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                attempt.unconfirmed_tasks += 1;
            }
            if !dropped {
                let delay_seconds = u32::try_from(delay.as_secs()).ok().filter(|seconds| *seconds > 0);
                state.broker.send(at, RECORDS, &NewMessage { delay_seconds, ..NewMessage::new(body) })?;
            }
            Ok(())
        });
        let queued = queued.await;
        self.world.lock().turns.steps.insert(invocation, turns::TurnStep::Recorded);
        if queued.is_ok() {
            stored(Stored::Task);
        }
        queued
    }

    async fn check_records(&self) -> Result<(), QueueError> {
        self.world.lock().attempts.check_queue(self.invocation);
        self.call(|_| Ok(())).await
    }

    async fn dead_letter(&self, delivery: &Delivery, cause: &str) -> Result<(), QueueError> {
        let Delivery { source, message_id, body, .. } = delivery;
        let (name, letter) = match source {
            Source::Inbound => {
                let group = delivery.group.as_deref().unwrap_or_default();
                (INBOUND_DEAD_LETTERS, NewMessage::fifo(body.as_str(), group, message_id))
            }
            Source::Records => (RECORD_DEAD_LETTERS, NewMessage::new(body.as_str())),
        };
        if self.world.lock().has_defect(Defect::NeverDeadLetter) {
            return Err(QueueError("deliberate defect".to_owned()));
        }
        let (what, cause, invocation) = (about(body), cause.to_owned(), self.invocation);
        let (id, source) = (message_id.clone(), *source);
        let is_exhausted = delivery.receive_count >= source.max_receives();
        self.call(move |state| {
            if let About::Message(wamid) = &what
                && source == Source::Inbound
                && is_exhausted
            {
                let count = |of: &BTreeMap<String, u32>| of.get(&id).copied().unwrap_or_default();
                let (receives, holds) = (count(&state.turns.receives), count(&state.turns.holds));
                if receives.saturating_sub(holds) < source.max_receives() {
                    state.turns.early_letters.insert(wamid.clone());
                }
            }
            let at = state.timestamp();
            let reply = format_args!("reply {invocation}");
            state.note(reply, format_args!("dead-letters {what:?}: {cause}"));
            if let About::Event(mark) = &what {
                follow::dead_letter(state, mark);
            }
            if let About::Message(wamid) = &what
                && let Some(question) = state.people.questions.get_mut(wamid)
            {
                question.out_of_order = true;
            }
            state.broker.send(at, name, &letter)?;
            Ok(())
        })
        .await
    }
}
