//! Rows: written now, or deferred as a record task until the database accepts them.

use std::time::Duration;

use shared::lambda::counter::Counter;
use shared::lambda::deadline::Deadline;
use shared::lambda::logging::ShortWamid;
use shared::lambda::metrics::{milliseconds_since, timed};
use shared::meta::envelope::{Envelope, Exchange, Line, MAX_BODY, RecordTask, Truncation, Unsent, V1};
use shared::text::head;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::budget::HANDOVER;
use crate::database::{Database, within};
use crate::failure::Failure;
use crate::history::{self, RecordError};
use crate::queues::{self, QueueClient, QueueError};
use crate::send::Stop;
use crate::users::Author;

/// The outcome of writing rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WriteOutcome {
    /// The rows are written.
    Written,
    /// The rows are on the record queue.
    Deferred,
    /// The rows are discarded, for this reason.
    Dropped(&'static str),
}

/// Rows of a deleted user.
const DELETED: WriteOutcome = WriteOutcome::Dropped("the user was deleted");

/// Writes rows.
pub(crate) struct Recorder<'a, D, Q> {
    pub(crate) database: &'a D,
    pub(crate) queues: &'a Q,
}

impl<D: Database, Q: QueueClient> Recorder<'_, D, Q> {
    /// Writes an exchange's rows, or puts them on the record queue.
    ///
    /// # Errors
    /// When both refuse them.
    pub(crate) async fn record(
        &self,
        user_id: Option<Uuid>,
        author: &Author,
        exchange: Exchange,
        deadline: Deadline,
    ) -> Result<WriteOutcome, Failure> {
        let wamid = ShortWamid::field(exchange.key.as_str());
        if let Some(user_id) = user_id {
            let start = Instant::now();
            match timed("insert_ms", self.write(user_id, &exchange, deadline)).await {
                Ok(WriteOutcome::Written) => {
                    let duration_ms = milliseconds_since(start);
                    info!(wamid, %user_id, duration_ms, "rows written");
                    return Ok(WriteOutcome::Written);
                }
                Ok(other) => return Ok(other),
                Err(cause) => {
                    error!(counter = Counter::DeferredRecords.name(), wamid, %user_id, %cause, "rows not written; putting them on the record queue");
                }
            }
        } else {
            let counter = Counter::DeferredRecords.name();
            error!(
                counter,
                wamid, "rows not written, because their user is unknown; putting them on the record queue"
            );
        }
        self.record_later(user_id, author, exchange, None, deadline).await?;
        Ok(WriteOutcome::Deferred)
    }

    /// Writes an exchange's rows. Rows of a deleted user are dropped.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub(crate) async fn write(
        &self,
        user_id: Uuid,
        exchange: &Exchange,
        deadline: Deadline,
    ) -> Result<WriteOutcome, RecordError> {
        let writing = self.database.record(user_id, exchange);
        match within(deadline.keeping(HANDOVER), history::TIMEOUT, writing).await {
            Ok(()) => Ok(WriteOutcome::Written),
            Err(cause) if cause.is_user_deleted() => {
                let wamid = ShortWamid::field(exchange.key.as_str());
                warn!(counter = Counter::DroppedRecords.name(), wamid, %user_id, "rows dropped: the user was deleted");
                Ok(DELETED)
            }
            Err(cause) => Err(cause),
        }
    }

    /// Puts a record task on its queue, with the rest of the reply that was not sent, and the reason, if there is one.
    ///
    /// # Errors
    /// When the queue refuses it. Then the message must be redelivered: a duplicate reply, if one was sent, is better than
    /// a lost row.
    pub(crate) async fn record_later(
        &self,
        user_id: Option<Uuid>,
        author: &Author,
        exchange: Exchange,
        unsent: Option<(Unsent, &Stop)>,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let delay = unsent.as_ref().map_or(Duration::ZERO, |(_, stop)| stop.delay());
        let unsent = unsent.map(|(unsent, _)| unsent);
        let key = exchange.key.clone();
        let is_sent = exchange.answer.is_some() || !exchange.answer_wamids.is_empty();
        let Author { sender, waba_id, written_at } = author.clone();
        let task = RecordTask { user_id, sender, waba_id, written_at, unsent, exchange };
        let queued = match body_that_fits(task) {
            Ok(body) => queues::within(deadline, self.queues.record_later(body, delay)).await,
            Err(error) => Err(QueueError(error.to_string())),
        };
        queued.map_err(|cause| {
            if !is_sent {
                return Failure::Unrecordable(cause);
            }
            let wamid = ShortWamid::field(key.as_str());
            error!(counter = Counter::DuplicateReplyRisk.name(), wamid, %cause, "reply sent, but the rows are neither written nor queued: the reply will be sent again, unless an earlier attempt is known to have sent it");
            Failure::Unrecorded(cause)
        })
    }
}

/// Returns the part of a reply that the user received, without the `rest` that was not sent.
pub(crate) fn received<'a>(answer: &'a str, rest: &str) -> &'a str {
    answer.trim_end().strip_suffix(rest.trim_end()).unwrap_or(answer).trim_end()
}

/// Returns the body of a task. If it exceeds the limit of SQS, the raw message is removed first, and then the texts are
/// truncated.
fn body_that_fits(mut task: RecordTask) -> Result<String, serde_json::Error> {
    /// The number of characters of all texts together that always fits, even if all of them must be escaped.
    const MAX_CHARACTERS: usize = 120_000;
    let write = |task: &RecordTask| {
        let task = Box::new(task.clone());
        // A kind of its own: an older version would read only the last message, and delete the task.
        let is_turn = !task.exchange.earlier.is_empty();
        Envelope::V1(if is_turn { V1::Turn(task) } else { V1::Record(task) }).to_body()
    };
    let body = write(&task)?;
    if body.len() <= MAX_BODY {
        return Ok(body);
    }
    let wamid = ShortWamid::field(task.exchange.key.as_str());
    let counter = Counter::TruncatedUpdates.name();
    error!(counter, wamid, bytes = body.len(), "record task too large for the record queue: truncated");
    let truncation = serde_json::json!({"truncation": Truncation { bytes: body.len(), kept: 0 }}).to_string();
    for earlier in &mut task.exchange.earlier {
        earlier.asked.payload = Some(truncation.clone());
    }
    task.exchange.asked.payload = Some(truncation);
    let body = write(&task)?;
    if body.len() <= MAX_BODY {
        return Ok(body);
    }
    // The last message, the reply and its rest, and the earlier messages.
    let limit = MAX_CHARACTERS / (3 + task.exchange.earlier.len());
    let truncate = |line: &mut Line| line.content = head(&line.content, limit).to_owned();
    task.exchange.earlier.iter_mut().for_each(|earlier| truncate(&mut earlier.asked.question));
    truncate(&mut task.exchange.asked.question);
    task.exchange.answer.as_mut().map(truncate);
    if let Some(unsent) = &mut task.unsent {
        unsent.text = head(&unsent.text, limit).to_owned();
    }
    write(&task)
}
