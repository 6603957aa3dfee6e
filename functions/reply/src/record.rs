//! Rows: written now, or as a task when the database takes them again. The rest of a long answer is such a task,
//! too.

use shared::envelope::{Envelope, Exchange, RecordTask, Unsent, V1};
use tracing::{error, warn};
use uuid::Uuid;

use crate::database::Database;
use crate::failure::Failure;
use crate::graph::{Class, Messenger};
use crate::handler::Reply;
use crate::incoming::Sender;
use crate::queues::{QueueError, Queues};
use crate::responder::Responder;
use crate::send::{Route, Sent};

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
        let wamid = &exchange.wamid;
        if wamid.is_empty() {
            // Without it there is nothing to derive the rows' ids from, and every delivery would add rows.
            error!(counter = "unrecorded_messages", "rows not written: the message has no wamid");
            return Ok(());
        }
        if let Some(user_id) = user_id {
            match self.database.record(user_id, &exchange).await {
                Ok(()) => return Ok(()),
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
        let task = RecordTask { user_id, sender: sender.id().to_owned(), unsent, exchange };
        let body = Envelope::V1(V1::Record(task)).to_body().map_err(|error| QueueError(error.to_string()));
        let queued = match body {
            Ok(body) => self.queues.record_later(body).await,
            Err(error) => Err(error),
        };
        queued.map_err(|cause| {
            error!(counter = "second_echo_risk", wamid, %cause, "answered, and will be answered again");
            Failure::Unrecorded(cause)
        })
    }

    /// Sends what a record task has still to send, and writes its rows. Whose they are, or `None` when nobody
    /// linked the number.
    pub(crate) async fn record_task(&self, task: &RecordTask) -> Result<Option<Uuid>, Failure> {
        let sender = Sender::parse(&task.sender);
        if let (Some(unsent), Some(sender)) = (&task.unsent, &sender) {
            return self.finish_answer(task, unsent, sender).await;
        }
        let user_id = match (task.user_id, sender) {
            (Some(user_id), _) => Some(user_id),
            (None, Some(sender)) => self.database.find_user(&sender).await?,
            (None, None) => None,
        };
        if let Some(user_id) = user_id {
            self.database.record(user_id, &task.exchange).await?;
        }
        Ok(user_id)
    }

    /// Sends the rest of an answer. The rows are written after it: they are what says that all was sent.
    async fn finish_answer(
        &self,
        task: &RecordTask,
        unsent: &Unsent,
        sender: &Sender,
    ) -> Result<Option<Uuid>, Failure> {
        let wamid = task.exchange.wamid.as_str();
        match self.database.is_recorded(wamid).await {
            Ok(true) => return Ok(task.user_id),
            Ok(false) => {}
            Err(cause) => {
                warn!(counter = "unchecked_answers", wamid, %cause, "perhaps sent before, sending it all the same");
            }
        }
        let from = unsent.from.parse().unwrap_or_else(|_| self.phone_number_id.clone());
        match self.send(Route { from: &from, to: sender, wamid }, &unsent.text).await? {
            Sent::Whole => {}
            Sent::Partly(rest, cause) if cause.class() != Class::Final => {
                let unsent = Unsent { text: rest.to_owned(), ..unsent.clone() };
                let exchange = task.exchange.clone();
                self.record_later(task.user_id, sender, exchange, Some(unsent)).await?;
                return Ok(task.user_id);
            }
            Sent::Refused(cause) | Sent::Partly(_, cause) => {
                error!(counter = "undeliverable_answers", wamid, %cause, "the rest of the answer is refused for good");
            }
        }
        self.record(task.user_id, sender, task.exchange.clone()).await?;
        Ok(task.user_id)
    }
}
