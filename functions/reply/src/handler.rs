//! A delivery of either queue: what becomes of it, and one line in the log.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared::deadline::Deadline;
use shared::logging::{ShortWamid, plain};
use shared::metrics::milliseconds_since;
use shared::sender::Sender;
use shared::trace;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::answer::Answered;
use crate::batch::{Handle, Outcome};
use crate::database::{Database, within};
use crate::delivery::{Attempt, Delivery, Work};
use crate::failure::Failure;
use crate::graph::{Messenger, PhoneNumberId};
use crate::history::{self, RecordError};
use crate::incoming::{Event, Incoming};
use crate::memory::Memory;
use crate::queues::{self, Queue, Queues};
use crate::record::Stored;
use crate::responder::Responder;
use crate::seen::ReadReceipts;
use crate::send::HANDOVER;
use crate::statuses::{self, Applied};
use crate::users::Linked;

/// Deliveries after which a message that cannot be handled is set aside, so that its sender's later
/// messages are.
const POISON_AFTER: u32 = 3;

/// How long after it was put on the inbound queue a message that is returned counts as overdue.
const OVERDUE: TimeDelta = TimeDelta::minutes(10);

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
    /// Whether messages are marked as read.
    pub read_receipts: ReadReceipts,
    /// Whether messages of groups are answered, in the group.
    pub answers_groups: bool,
    /// The business number that answers messages which do not say which number received them.
    pub phone_number_id: PhoneNumberId,
    /// The time of an answer.
    pub clock: Clock,
    /// What the process remembers.
    pub memory: Arc<Memory>,
}

/// What became of a delivery, for the log.
#[derive(Default)]
struct Story {
    user_id: Option<Uuid>,
    outcome: &'static str,
    reason: Option<String>,
}

impl<D: Database, M: Messenger, Q: Queues, R: Responder> Handle for Reply<D, M, Q, R> {
    async fn handle(&self, delivery: &Delivery, deadline: Deadline) -> Outcome {
        let start = Instant::now();
        let mut story = Story::default();
        let result = self.follow(delivery, deadline, &mut story).await;
        let Story { user_id, outcome, reason } = story;
        let user_id = user_id.map(tracing::field::display);
        let duration_ms = milliseconds_since(start);
        let work = delivery.work.as_ref().ok();
        let (update, wamid, name) =
            work.map_or(("unknown", None, None), |work| (work.update(), work.wamid(), work.name()));
        let wamid = wamid.map(ShortWamid::field);
        match result {
            Ok(()) => {
                let counter = match (update, outcome) {
                    (_, "answered") => "answered_messages",
                    (_, "registration_sent") => "registration_texts",
                    (_, "silenced") => "silenced_messages",
                    ("message", "recorded") => "recorded_messages",
                    ("echo", _) => "handled_echoes",
                    ("status", _) => "handled_statuses",
                    ("event", _) => "handled_events",
                    _ => "handled_messages",
                };
                let trace_id = trace::current();
                info!(
                    counter,
                    trace_id, update, wamid, name, user_id, outcome, reason, duration_ms, "{update} handled"
                );
                Outcome::Done
            }
            Err(failure) => {
                let counter = failure.counter();
                let outcome = "returned";
                error!(counter, update, wamid, name, user_id, outcome, reason = %failure, duration_ms, "{update} returned");
                self.again(delivery, &failure, deadline).await
            }
        }
    }

    async fn panicked(&self, delivery: &Delivery, deadline: Deadline) -> Outcome {
        self.again(delivery, &Failure::Panic, deadline).await
    }

    async fn set_back(&self, delivery: &Delivery, delay: Duration, deadline: Deadline) {
        self.note_overdue(delivery);
        let setting_back = self.queues.set_back(delivery.queue, &delivery.receipt_handle, delay);
        if let Err(cause) = queues::within(deadline, setting_back).await {
            let message_id = &delivery.message_id;
            warn!(counter = "failed_set_backs", message_id, %cause, "comes again after its visibility timeout");
        }
    }
}

impl<D: Database, M: Messenger, Q: Queues, R: Responder> Reply<D, M, Q, R> {
    /// Counts a message that is returned and has waited for long: CloudWatch's `ApproximateAgeOfOldestMessage` leaves out
    /// those that were received several times.
    fn note_overdue(&self, delivery: &Delivery) {
        let waited = delivery.sent_at.map(|sent_at| (self.clock)() - sent_at);
        if let Some(waited) = waited
            && delivery.queue == Queue::Inbound
            && waited > OVERDUE
        {
            let wamid = delivery.work.as_ref().ok().and_then(Work::wamid).map(ShortWamid::field);
            let (message_id, waited_s) = (&delivery.message_id, waited.num_seconds());
            warn!(counter = "overdue_messages", message_id, wamid, waited_s, "returned, and overdue");
        }
    }

    async fn follow(
        &self,
        delivery: &Delivery,
        deadline: Deadline,
        story: &mut Story,
    ) -> Result<(), Failure> {
        let limit = deadline.keeping(HANDOVER);
        let attempt = Attempt { receive_count: delivery.receive_count, deadline };
        match delivery.work.as_ref().map_err(Clone::clone)? {
            Work::Answer(message) => match (&message.event, &message.sender) {
                (Some(event), _) => self.keep(event, delivery, deadline, story).await,
                (None, Some(sender)) => {
                    let answered = self.answer(message, sender, attempt, &mut story.user_id).await?;
                    (story.outcome, story.reason) = answered.describe();
                    if let Answered::Undeliverable(_) = answered {
                        let (wamid, to) = (message.wamid.as_deref().map(ShortWamid::field), sender);
                        warn!(counter = "undeliverable_answers", wamid, %to, "answer refused for good");
                    }
                    Ok(())
                }
                // A message without a sender is an event.
                (None, None) => Ok(()),
            },
            Work::Echo(echo) => match (&echo.event, &echo.sender) {
                (Some(event), _) => self.keep(event, delivery, deadline, story).await,
                (None, Some(recipient)) => {
                    match within(limit, 2 * history::TIMEOUT, self.record_echo(echo, recipient)).await {
                        Ok(Some(user_id)) => {
                            (story.outcome, story.user_id) = ("recorded", Some(user_id));
                            story.reason = Some("the business wrote it".to_owned());
                            Ok(())
                        }
                        Ok(None) => {
                            story.outcome = "ignored";
                            story.reason =
                                Some("the business wrote it to an unlinked number or user id".to_owned());
                            Ok(())
                        }
                        Err(cause) => self.defer(delivery, deadline, story, cause).await,
                    }
                }
                // One without a recipient is an event.
                (None, None) => Ok(()),
            },
            Work::Status(status) => {
                match within(limit, history::TIMEOUT, self.database.record_status(status)).await {
                    Ok(applied) => {
                        if applied != Applied::Before {
                            statuses::count(status);
                        }
                        (story.outcome, story.reason) = match applied {
                            Applied::ToRow => ("applied", None),
                            Applied::NoRow => ("kept", Some("the message has no row, or not yet".to_owned())),
                            Applied::Before => ("applied_before", None),
                        };
                        Ok(())
                    }
                    Err(cause) => self.defer(delivery, deadline, story, cause).await,
                }
            }
            Work::Event(event) => self.keep(event, delivery, deadline, story).await,
            Work::Record(task) => {
                let (user_id, stored) = self.record_task(task, attempt).await?;
                story.user_id = user_id;
                (story.outcome, story.reason) = match stored {
                    Stored::Rows => ("recorded", None),
                    Stored::Later => ("deferred", None),
                    Stored::Dropped(reason) => ("dropped", Some(format!("{reason}: {}", task.sender))),
                };
                Ok(())
            }
        }
    }

    /// Writes the row of a message that the business wrote itself to `recipient`. Whose history it is in; `None` when the
    /// recipient is unlinked and nothing is written.
    async fn record_echo(&self, echo: &Incoming, recipient: &Sender) -> Result<Option<Uuid>, RecordError> {
        let Some(Linked { user_id, .. }) = self.database.find_user(&echo.author(recipient)).await? else {
            return Ok(None);
        };
        match self.database.record_echo(user_id, echo).await {
            Err(cause) if cause.is_user_deleted() => Ok(None),
            written => written.map(|()| Some(user_id)),
        }
    }

    /// Keeps an event, and does what it says about who a person is.
    ///
    /// # Errors
    /// When the database does not take a change of identity: the person's messages, which are in the same group, wait
    /// with it, because they would be those of somebody unlinked.
    async fn keep(
        &self,
        event: &Event,
        delivery: &Delivery,
        deadline: Deadline,
        story: &mut Story,
    ) -> Result<(), Failure> {
        let keeping = self.database.keep_event(event);
        let followed = match within(deadline.keeping(HANDOVER), history::TIMEOUT, keeping).await {
            Ok(followed) => followed,
            Err(cause) if !event.changes.is_empty() => return Err(Failure::Identity(cause)),
            Err(cause) => return self.defer(delivery, deadline, story, cause).await,
        };
        let name = plain(&event.name);
        info!(counter = "kept_events", name, "event kept");
        for one in &followed {
            story.user_id = one.user_id.or(story.user_id);
            story.reason = Some(one.say().to_owned());
        }
        story.outcome = "event_kept";
        Ok(())
    }

    /// What the database does not take now waits on the record queue, where it keeps no message from being answered.
    async fn defer(
        &self,
        delivery: &Delivery,
        deadline: Deadline,
        story: &mut Story,
        cause: RecordError,
    ) -> Result<(), Failure> {
        if delivery.queue == Queue::Records {
            return Err(cause.into());
        }
        let deferring = self.queues.record_later(delivery.body.clone());
        queues::within(deadline, deferring).await.map_err(Failure::Unrecorded)?;
        warn!(counter = "deferred_updates", %cause, "not written yet");
        (story.outcome, story.reason) = ("deferred", Some(cause.to_string()));
        Ok(())
    }

    /// When a message comes again. One that would fail again is set aside instead, and one that was received often
    /// enough, or that nothing would repair, is given up, if that can be done.
    async fn again(&self, delivery: &Delivery, failure: &Failure, deadline: Deadline) -> Outcome {
        let message_id = &delivery.message_id;
        let wamid = delivery.work.as_ref().ok().and_then(Work::wamid).map(ShortWamid::field);
        let Delivery { queue, receive_count, .. } = *delivery;
        if failure.is_poison() && queue == Queue::Inbound && receive_count >= POISON_AFTER {
            match queues::within(deadline, self.queues.record_later(delivery.body.clone())).await {
                Ok(()) => {
                    error!(
                        counter = "set_aside_messages",
                        message_id, wamid, "set aside: its sender's later messages go on"
                    );
                    return Outcome::Done;
                }
                Err(cause) => warn!(message_id, wamid, %cause, "not set aside"),
            }
        } else if failure.is_permanent() || receive_count >= queue.tries() {
            match queues::within(deadline, self.queues.give_up(delivery, &failure.to_string())).await {
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
