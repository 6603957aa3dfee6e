//! Rows: written now, or as a task when the database takes them again. The rest of a long answer is such a task,
//! too.

use shared::envelope::{Envelope, Exchange, Line, MAX_BODY, RecordTask, Unsent, V1};
use shared::logging::ShortWamid;
use shared::metrics::{milliseconds_since, timed};
use shared::sender::Sender;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::database::Database;
use crate::failure::Failure;
use crate::graph::{Class, Messenger, Recipient};
use crate::handler::Reply;
use crate::incoming::UNNAMED;
use crate::queues::{QueueError, Queues};
use crate::responder::Responder;
use crate::send::{HowFar, Route, Sent};

impl<D: Database, M: Messenger, Q: Queues, R: Responder> Reply<D, M, Q, R> {
    /// Writes an exchange's rows, or puts them on the record queue.
    ///
    /// # Errors
    /// When neither takes them.
    pub(crate) async fn record(
        &self,
        user_id: Option<Uuid>,
        sender: &Sender,
        exchange: Exchange,
    ) -> Result<(), Failure> {
        let wamid = ShortWamid::field(&exchange.wamid);
        if let Some(user_id) = user_id {
            let start = Instant::now();
            match timed("insert_ms", self.database.record(user_id, &exchange)).await {
                Ok(()) => {
                    let duration_ms = milliseconds_since(start);
                    info!(wamid, %user_id, duration_ms, "rows written");
                    return Ok(());
                }
                Err(cause) => {
                    error!(counter = "deferred_records", wamid, %user_id, %cause, "rows not written yet");
                }
            }
        } else {
            error!(counter = "deferred_records", wamid, "rows not written yet: the user is not known yet");
        }
        self.record_later(user_id, sender, exchange, None).await
    }

    /// Puts a record task on its queue.
    ///
    /// # Errors
    /// When the queue does not take it. Then the message must come again: a second answer is better than a lost
    /// row.
    pub(crate) async fn record_later(
        &self,
        user_id: Option<Uuid>,
        sender: &Sender,
        exchange: Exchange,
        unsent: Option<Unsent>,
    ) -> Result<(), Failure> {
        let wamid = exchange.wamid.clone();
        let task = RecordTask { user_id, sender: sender.clone(), unsent, exchange };
        let queued = match task_that_fits(task) {
            Ok(body) => self.queues.record_later(body).await,
            Err(error) => Err(QueueError(error.to_string())),
        };
        queued.map_err(|cause| {
            let wamid = ShortWamid::field(&wamid);
            error!(counter = "second_echo_risk", wamid, %cause, "answered, and will be answered again");
            Failure::Unrecorded(cause)
        })
    }

    /// Sends what a record task has still to send, and writes its rows. Whose they are, or `None` when nobody
    /// linked the sender.
    pub(crate) async fn record_task(&self, task: &RecordTask) -> Result<Option<Uuid>, Failure> {
        if let Some(unsent) = &task.unsent {
            return self.finish_answer(task, unsent).await;
        }
        let user_id = match task.user_id {
            Some(user_id) => Some(user_id),
            None => self.database.find_user(&task.sender).await?.map(|linked| linked.user_id),
        };
        if let Some(user_id) = user_id {
            self.database.record(user_id, &task.exchange).await?;
        }
        Ok(user_id)
    }

    /// Sends the rest of an answer. The rows are written after it: they are what says that all was sent.
    async fn finish_answer(&self, task: &RecordTask, unsent: &Unsent) -> Result<Option<Uuid>, Failure> {
        let RecordTask { user_id, sender, exchange, .. } = task;
        let key = exchange.wamid.as_str();
        let wamid = ShortWamid::field(key);
        match self.database.is_recorded(key).await {
            Ok(true) => return Ok(*user_id),
            Ok(false) => {}
            Err(cause) => {
                warn!(counter = "unchecked_answers", wamid, %cause, "perhaps sent before, sending it all the same");
            }
        }
        let from = unsent.from.parse().unwrap_or_else(|_| self.phone_number_id.clone());
        let to = unsent.group_id.as_deref().map_or(Recipient::Person(sender), Recipient::Group);
        let quotes = Some(key).filter(|key| !key.starts_with(UNNAMED));
        let Sent { wamids, how_far } =
            self.send(Route { from: &from, to, wamid: quotes }, &unsent.text).await?;
        let mut exchange = exchange.clone();
        exchange.answer_wamids.extend(wamids);
        let rest = match &how_far {
            HowFar::Partly(rest, _) => rest,
            HowFar::Refused(_) | HowFar::Whole => unsent.text.as_str(),
        };
        match how_far {
            HowFar::Whole => {}
            HowFar::Partly(rest, cause) if cause.class() != Class::Final => {
                let unsent = Unsent { text: rest.to_owned(), ..unsent.clone() };
                self.record_later(*user_id, sender, exchange, Some(unsent)).await?;
                return Ok(*user_id);
            }
            HowFar::Refused(cause) | HowFar::Partly(_, cause) => {
                error!(counter = "undeliverable_answers", wamid, %cause, "the rest of the answer is refused for good");
                if let Some(answer) = &mut exchange.answer {
                    answer.content = received(&answer.content, rest).to_owned();
                }
            }
        }
        self.record(*user_id, sender, exchange).await?;
        Ok(*user_id)
    }
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
    let cut = |line: &mut Line| line.content = line.content.chars().take(MAX_CHARACTERS).collect();
    cut(&mut task.exchange.question);
    task.exchange.answer.as_mut().map(cut);
    if let Some(unsent) = &mut task.unsent {
        unsent.text = unsent.text.chars().take(MAX_CHARACTERS).collect();
    }
    write(&task)
}
