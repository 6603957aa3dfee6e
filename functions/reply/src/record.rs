//! Rows: written now, or as a task when the database takes them again.

use shared::counter::Counter;
use shared::deadline::Deadline;
use shared::envelope::{Envelope, Exchange, Line, MAX_BODY, RecordTask, Unsent, V1};
use shared::logging::ShortWamid;
use shared::metrics::{milliseconds_since, timed};
use shared::text::head;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::budget::HANDOVER;
use crate::database::{Database, within};
use crate::failure::Failure;
use crate::history::{self, RecordError};
use crate::queues::{self, QueueClient, QueueError};
use crate::users::Author;

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

/// What writes rows.
pub(crate) struct Recorder<'a, D, Q> {
    pub(crate) database: &'a D,
    pub(crate) queues: &'a Q,
}

impl<D: Database, Q: QueueClient> Recorder<'_, D, Q> {
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
        let wamid = ShortWamid::field(exchange.key.as_str());
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
                    error!(counter = Counter::DeferredRecords.name(), wamid, %user_id, %cause, "rows not written yet");
                }
            }
        } else {
            let counter = Counter::DeferredRecords.name();
            error!(counter, wamid, "rows not written yet: the user is not known yet");
        }
        self.record_later(user_id, author, exchange, None, deadline).await?;
        Ok(Stored::Later)
    }

    /// Writes an exchange's rows, unless their user was deleted: then they are dropped.
    pub(crate) async fn write(
        &self,
        user_id: Uuid,
        exchange: &Exchange,
        deadline: Deadline,
    ) -> Result<Stored, RecordError> {
        let writing = self.database.record(user_id, exchange);
        match within(deadline.keeping(HANDOVER), history::TIMEOUT, writing).await {
            Ok(()) => Ok(Stored::Rows),
            Err(cause) if cause.is_user_deleted() => {
                let wamid = ShortWamid::field(exchange.key.as_str());
                warn!(counter = Counter::DroppedRecords.name(), wamid, %user_id, "rows dropped: the user was deleted");
                Ok(DELETED)
            }
            Err(cause) => Err(cause),
        }
    }

    /// Puts a record task on its queue.
    ///
    /// # Errors
    /// When the queue does not take it. Then the message must be redelivered: a second answer is better than a lost
    /// row.
    pub(crate) async fn record_later(
        &self,
        user_id: Option<Uuid>,
        author: &Author,
        exchange: Exchange,
        unsent: Option<Unsent>,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let key = exchange.key.clone();
        let Author { sender, waba_id, written_at } = author.clone();
        let task = RecordTask { user_id, sender, waba_id, written_at, unsent, exchange };
        let queued = match body_that_fits(task) {
            Ok(body) => queues::within(deadline, self.queues.record_later(body)).await,
            Err(error) => Err(QueueError(error.to_string())),
        };
        queued.map_err(|cause| {
            let wamid = ShortWamid::field(key.as_str());
            error!(counter = Counter::SecondEchoRisk.name(), wamid, %cause, "answered, and will be answered again");
            Failure::Unrecorded(cause)
        })
    }
}

/// What the person has of an answer whose `rest` was not sent.
pub(crate) fn received<'a>(answer: &'a str, rest: &str) -> &'a str {
    answer.trim_end().strip_suffix(rest.trim_end()).unwrap_or(answer).trim_end()
}

/// The body of a task, which loses its raw message if SQS would not take it with that, and then the end of what was
/// said.
fn body_that_fits(mut task: RecordTask) -> Result<String, serde_json::Error> {
    /// Characters of each side that always fit, escaped as they may be.
    const MAX_CHARACTERS: usize = 40_000;
    let write = |task: &RecordTask| Envelope::V1(V1::Record(Box::new(task.clone()))).to_body();
    let body = write(&task)?;
    if body.len() <= MAX_BODY {
        return Ok(body);
    }
    let wamid = ShortWamid::field(task.exchange.key.as_str());
    let counter = Counter::CutUpdates.name();
    error!(counter, wamid, bytes = body.len(), "too large for the record queue: truncated");
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
