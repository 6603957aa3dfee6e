//! Rows: written now, or as a task when the database takes them again. The rest of a long answer is such a task,
//! too.

use shared::deadline::Deadline;
use shared::envelope::{Envelope, Exchange, Line, MAX_BODY, RecordTask, Unsent, V1};
use shared::logging::ShortWamid;
use shared::metrics::{milliseconds_since, timed};
use shared::text::head;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::failure::Failure;
use crate::graph::{Messenger, Recipient};
use crate::handler::Reply;
use crate::history::{self, RecordError};
use crate::incoming::UNNAMED;
use crate::queues::{self, QueueError, Queues};
use crate::responder::Responder;
use crate::send::{HANDOVER, HowFar, Owner, Route, Sent, Stop};
use crate::users::{self, Author};

/// Where rows went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stored {
    /// They are written.
    Rows,
    /// They are on the record queue.
    Later,
    /// Nowhere, for this reason.
    Dropped(&'static str),
}

/// Why rows of a user who is gone are dropped.
const DELETED: Stored = Stored::Dropped("the user was deleted");

impl<D: Database, M: Messenger, Q: Queues, R: Responder> Reply<D, M, Q, R> {
    /// Writes an exchange's rows, or puts them on the record queue.
    ///
    /// # Errors
    /// When neither takes them.
    pub(crate) async fn record(
        &self,
        user_id: Option<Uuid>,
        author: &Author,
        exchange: Exchange,
        deadline: Deadline,
    ) -> Result<Stored, Failure> {
        let wamid = ShortWamid::field(&exchange.wamid);
        if let Some(user_id) = user_id {
            let start = Instant::now();
            match timed("insert_ms", self.write(user_id, &exchange, deadline)).await {
                Ok(Stored::Rows) => {
                    let duration_ms = milliseconds_since(start);
                    info!(wamid, %user_id, duration_ms, "rows written");
                    return Ok(Stored::Rows);
                }
                Ok(stored) => return Ok(stored),
                Err(cause) => {
                    error!(counter = "deferred_records", wamid, %user_id, %cause, "rows not written yet");
                }
            }
        } else {
            error!(counter = "deferred_records", wamid, "rows not written yet: the user is not known yet");
        }
        self.record_later(user_id, author, exchange, None, deadline).await?;
        Ok(Stored::Later)
    }

    /// Writes an exchange's rows, unless their user was deleted: then they are dropped.
    async fn write(
        &self,
        user_id: Uuid,
        exchange: &Exchange,
        deadline: Deadline,
    ) -> Result<Stored, RecordError> {
        let writing = self.database.record(user_id, exchange);
        match within(deadline.keeping(HANDOVER), history::TIMEOUT, writing).await {
            Ok(()) => Ok(Stored::Rows),
            Err(cause) if cause.is_user_deleted() => {
                let wamid = ShortWamid::field(&exchange.wamid);
                warn!(counter = "dropped_records", wamid, %user_id, "rows dropped: the user was deleted");
                Ok(DELETED)
            }
            Err(cause) => Err(cause),
        }
    }

    /// Puts a record task on its queue.
    ///
    /// # Errors
    /// When the queue does not take it. Then the message must come again: a second answer is better than a lost
    /// row.
    pub(crate) async fn record_later(
        &self,
        user_id: Option<Uuid>,
        author: &Author,
        exchange: Exchange,
        unsent: Option<Unsent>,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let wamid = exchange.wamid.clone();
        let Author { sender, waba_id, written_at } = author.clone();
        let task = RecordTask { user_id, sender, waba_id, written_at, unsent, exchange };
        let queued = match task_that_fits(task) {
            Ok(body) => queues::within(deadline, self.queues.record_later(body)).await,
            Err(error) => Err(QueueError(error.to_string())),
        };
        queued.map_err(|cause| {
            let wamid = ShortWamid::field(&wamid);
            error!(counter = "second_echo_risk", wamid, %cause, "answered, and will be answered again");
            Failure::Unrecorded(cause)
        })
    }

    /// Sends what a record task has still to send, and writes its rows: whose they are, and where they went.
    pub(crate) async fn record_task(
        &self,
        task: &RecordTask,
        attempt: Attempt,
    ) -> Result<(Option<Uuid>, Stored), Failure> {
        if let Some(unsent) = &task.unsent {
            return Ok((task.user_id, self.finish_answer(task, unsent, attempt).await?));
        }
        let user_id = match task.user_id {
            Some(user_id) => Some(user_id),
            None => {
                // By the rules of a look-up at once: the number may have another owner by now.
                let author = author(task);
                let finding = self.database.find_user(&author);
                within(attempt.deadline, users::TIMEOUT, finding).await?.map(|linked| linked.user_id)
            }
        };
        let stored = match user_id {
            Some(user_id) => self.write(user_id, &task.exchange, attempt.deadline).await?,
            None => Stored::Dropped("nobody linked the sender"),
        };
        Ok((user_id, stored))
    }

    /// Sends the rest of an answer. The rows are written after it: they are what says that all was sent.
    async fn finish_answer(
        &self,
        task: &RecordTask,
        unsent: &Unsent,
        attempt: Attempt,
    ) -> Result<Stored, Failure> {
        let RecordTask { user_id, sender, exchange, .. } = task;
        let key = exchange.wamid.as_str();
        let wamid = ShortWamid::field(key);
        let author = author(task);
        let Attempt { receive_count, deadline } = attempt;
        match within(deadline.keeping(HANDOVER), users::TIMEOUT, self.database.is_recorded(key)).await {
            Ok(true) => return Ok(Stored::Rows),
            Ok(false) => {}
            Err(cause) => {
                warn!(counter = "unchecked_answers", wamid, %cause, "perhaps sent before, sending it all the same");
            }
        }
        if receive_count > 1 {
            info!(counter = "repeated_attempts", wamid, receive_count, "delivered before, and not recorded");
        }
        let from = unsent.from.parse().unwrap_or_else(|_| self.phone_number_id.clone());
        let to = unsent.group_id.as_deref().map_or(Recipient::Person(sender), Recipient::Group);
        let quotes = Some(key).filter(|key| !key.starts_with(UNNAMED));
        let route = Route { from: &from, to, wamid: quotes };
        let Sent { wamids, how_far } = self.send(route, &unsent.text, deadline).await;
        let mut exchange = exchange.clone();
        exchange.answer_wamids.extend(wamids);
        let refused = match how_far {
            HowFar::Whole => None,
            // The number has sent the parts before these.
            HowFar::Nothing(cause) if self.is_worth_a_retry(&cause, &from, Owner::Unknown, attempt).await => {
                return Err(Failure::NotSent(cause));
            }
            HowFar::Nothing(cause) => Some((unsent.text.as_str(), Stop::Error(cause))),
            HowFar::Partly(rest, stop) if stop.is_final() => Some((rest, stop)),
            HowFar::Partly(rest, stop) => {
                warn!(counter = "deferred_answers", wamid, cause = %stop, "the rest of the answer is sent later");
                let unsent = Unsent { text: rest.to_owned(), ..unsent.clone() };
                self.record_later(*user_id, &author, exchange, Some(unsent), deadline).await?;
                return Ok(Stored::Later);
            }
        };
        if let Some((rest, cause)) = refused {
            error!(counter = "undeliverable_answers", wamid, %cause, "the rest of the answer is refused for good");
            if let Some(answer) = &mut exchange.answer {
                answer.content = received(&answer.content, rest).to_owned();
            }
        }
        self.record(*user_id, &author, exchange, deadline).await
    }
}

fn author(task: &RecordTask) -> Author {
    let RecordTask { sender, waba_id, written_at, .. } = task;
    Author { sender: sender.clone(), waba_id: waba_id.clone(), written_at: *written_at }
}

/// What the person has of an answer whose `rest` was not sent.
pub(crate) fn received<'a>(answer: &'a str, rest: &str) -> &'a str {
    answer.trim_end().strip_suffix(rest.trim_end()).unwrap_or(answer).trim_end()
}

/// The body of a task, which loses its raw message if SQS would not take it with that, and then the end of what was
/// said.
fn task_that_fits(mut task: RecordTask) -> Result<String, serde_json::Error> {
    /// Characters of each side that always fit, escaped as they may be.
    const MAX_CHARACTERS: usize = 40_000;
    let write = |task: &RecordTask| Envelope::V1(V1::Record(Box::new(task.clone()))).to_body();
    let body = write(&task)?;
    if body.len() <= MAX_BODY {
        return Ok(body);
    }
    let wamid = ShortWamid::field(&task.exchange.wamid);
    error!(counter = "cut_updates", wamid, bytes = body.len(), "too large for the record queue: cut");
    task.exchange.payload = Some(serde_json::json!({"cut": {"bytes": body.len(), "kept": 0}}).to_string());
    let body = write(&task)?;
    if body.len() <= MAX_BODY {
        return Ok(body);
    }
    let cut = |line: &mut Line| line.content = head(&line.content, MAX_CHARACTERS).to_owned();
    cut(&mut task.exchange.question);
    task.exchange.answer.as_mut().map(cut);
    if let Some(unsent) = &mut task.unsent {
        unsent.text = head(&unsent.text, MAX_CHARACTERS).to_owned();
    }
    write(&task)
}
