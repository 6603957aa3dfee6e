//! Rows: written now, or as a task when the database takes them again.

use shared::envelope::{Envelope, Exchange, RecordTask, V1};
use tracing::{error, warn};
use uuid::Uuid;

use crate::database::Database;
use crate::failure::Failure;
use crate::graph::Messenger;
use crate::handler::Reply;
use crate::incoming::Sender;
use crate::queues::{QueueError, Queues};
use crate::responder::Responder;

impl<D: Database, M: Messenger, Q: Queues, R: Responder> Reply<D, M, Q, R> {
    /// Writes an exchange's rows, or puts them on the record queue. Where even that fails the message must
    /// come again: a second answer is better than a lost row.
    pub(crate) async fn record(
        &self,
        user_id: Option<Uuid>,
        sender: &Sender,
        exchange: Exchange,
    ) -> Result<(), Failure> {
        if exchange.wamid.is_empty() {
            // Without it there is nothing to derive the rows' ids from, and every delivery would add rows.
            error!(counter = "unrecorded_messages", "rows not written: the message has no wamid");
            return Ok(());
        }
        let wamid = exchange.wamid.clone();
        if let Some(user_id) = user_id {
            match self.database.record(user_id, &exchange).await {
                Ok(()) => return Ok(()),
                Err(cause) => {
                    warn!(counter = "deferred_records", wamid, %user_id, %cause, "rows not written yet")
                }
            }
        } else {
            warn!(counter = "deferred_records", wamid, "rows not written yet: the user is not known yet");
        }
        let task = RecordTask { user_id, sender: sender.id().to_owned(), exchange };
        let body = Envelope::V1(V1::Record(task)).to_body().map_err(|error| QueueError(error.to_string()));
        let queued = match body {
            Ok(body) => self.queues.record_later(body).await,
            Err(error) => Err(error),
        };
        queued.map_err(|cause| {
            warn!(counter = "second_echo_risk", wamid, %cause, "answered, and will be answered again");
            Failure::Unrecorded(cause)
        })
    }

    /// Writes the rows of a record task. Whose they are, or `None` when nobody linked the number.
    pub(crate) async fn record_task(&self, task: &RecordTask) -> Result<Option<Uuid>, Failure> {
        let user_id = match (task.user_id, Sender::parse(&task.sender)) {
            (Some(user_id), _) => Some(user_id),
            (None, Some(sender)) => self.database.find_user(&sender).await?,
            (None, None) => None,
        };
        if let Some(user_id) = user_id {
            self.database.record(user_id, &task.exchange).await?;
        }
        Ok(user_id)
    }
}
