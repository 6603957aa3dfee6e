//! A delivery of either queue: what becomes of it, and one line in the log.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::logging::Masked;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::answer::Answered;
use crate::batch::{Handle, Outcome};
use crate::database::Database;
use crate::delivery::{Delivery, Work};
use crate::failure::Failure;
use crate::graph::{Messenger, PhoneNumberId};
use crate::queues::{Queue, Queues};
use crate::responder::Responder;

/// Deliveries after which a message that cannot be handled is set aside, so that its sender's later
/// messages are.
const POISON_AFTER: u32 = 3;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The function: what it talks to, and its settings.
pub struct Reply<D, M, Q, R> {
    /// Users and their history.
    pub database: D,
    /// How answers are sent.
    pub messenger: M,
    /// The queues that feed it.
    pub queues: Q,
    /// What to answer.
    pub responder: R,
    /// What a sender is told whose number belongs to nobody.
    pub registration_text: String,
    /// The business number that answers messages which do not say which number received them.
    pub phone_number_id: PhoneNumberId,
    /// The time of an answer.
    pub clock: Clock,
}

/// What became of a delivery, for the log.
#[derive(Default)]
struct Story {
    wamid: String,
    user_id: Option<Uuid>,
    outcome: &'static str,
    reason: Option<String>,
}

impl<D: Database, M: Messenger, Q: Queues, R: Responder> Handle for Reply<D, M, Q, R> {
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        let start = Instant::now();
        let mut story = Story::default();
        let result = self.follow(delivery, &mut story).await;
        let Story { wamid, user_id, outcome, reason } = story;
        let user_id = user_id.map(tracing::field::display);
        let duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        match result {
            Ok(()) => {
                info!(
                    counter = "handled_messages",
                    wamid, user_id, outcome, reason, duration_ms, "message handled"
                );
                Outcome::Done
            }
            Err(failure) => {
                let counter = failure.counter();
                error!(counter, wamid, user_id, outcome = "returned", reason = %failure, duration_ms, "message returned");
                self.again(delivery, &failure).await
            }
        }
    }

    async fn panicked(&self, delivery: &Delivery) -> Outcome {
        self.again(delivery, &Failure::Panic).await
    }

    async fn set_back(&self, delivery: &Delivery, delay: Duration) {
        if let Err(cause) = self.queues.set_back(delivery.queue, &delivery.receipt_handle, delay).await {
            let message_id = &delivery.message_id;
            warn!(counter = "failed_set_backs", message_id, %cause, "comes again after its visibility timeout");
        }
    }
}

impl<D: Database, M: Messenger, Q: Queues, R: Responder> Reply<D, M, Q, R> {
    async fn follow(&self, delivery: &Delivery, story: &mut Story) -> Result<(), Failure> {
        let work = delivery.work.as_ref().map_err(Clone::clone)?;
        story.wamid = work.wamid().unwrap_or_default().to_owned();
        match work {
            Work::Answer(message) => {
                let answered = self.answer(message, delivery.receive_count, &mut story.user_id).await?;
                (story.outcome, story.reason) = answered.describe(&message.content);
                if let Answered::Undeliverable(_) = answered {
                    let to = message.sender.as_ref().map(tracing::field::display);
                    warn!(
                        counter = "undeliverable_answers",
                        wamid = story.wamid,
                        to,
                        "answer refused for good"
                    );
                }
            }
            Work::Record(task) => {
                story.user_id = self.record_task(task).await?;
                story.outcome = if story.user_id.is_some() { "recorded" } else { "dropped" };
                story.reason =
                    story.user_id.is_none().then(|| format!("nobody linked {}", Masked(&task.sender)));
            }
        }
        Ok(())
    }

    /// When a message comes again. One that would fail again is set aside instead, and one that has been tried
    /// often enough is given up, if that can be done.
    async fn again(&self, delivery: &Delivery, failure: &Failure) -> Outcome {
        let message_id = &delivery.message_id;
        let wamid = delivery.work.as_ref().ok().and_then(Work::wamid);
        let Delivery { queue, receive_count, .. } = *delivery;
        if failure.is_poison() && queue == Queue::Inbound && receive_count >= POISON_AFTER {
            match self.queues.record_later(delivery.body.clone()).await {
                Ok(()) => {
                    error!(
                        counter = "set_aside_messages",
                        message_id, wamid, "set aside: its sender's later messages go on"
                    );
                    return Outcome::Done;
                }
                Err(cause) => warn!(message_id, wamid, %cause, "not set aside"),
            }
        } else if receive_count >= queue.tries() {
            match self.queues.give_up(delivery, &failure.to_string()).await {
                Ok(()) => {
                    error!(counter = "dead_letters", message_id, wamid, cause = %failure, "given up: a dead letter");
                    return Outcome::Done;
                }
                Err(cause) => warn!(message_id, wamid, %cause, "not given up"),
            }
        }
        Outcome::Return(failure.backoff().delay(message_id, receive_count))
    }
}
