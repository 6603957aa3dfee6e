//! The reply to a turn: the responder's, which is stored before it is sent.

use std::pin::pin;
use std::time::Duration;

use shared::lambda::counter::Counter;
use shared::lambda::deadline::Deadline;
use shared::lambda::metrics::timed;
use shared::supabase::rows::Role;
use tokio::time::timeout;
use tracing::warn;
use uuid::Uuid;

use crate::budget::HANDOVER;
use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::failure::Failure;
use crate::function::Reply;
use crate::graph::{Messenger, SEND_TIMEOUT};
use crate::history::row_id;
use crate::incoming::Incoming;
use crate::lookup::Owner;
use crate::queues::QueueClient;
use crate::read_receipts::{RENEWAL, ReadReceipts, mark_read};
use crate::responder::{Answer, NoAnswer, Question, Responder, Response};
use crate::split;
use crate::stored_answers::{self, StoredAnswer};

impl<D: Database, M: Messenger, Q: QueueClient, R: Responder> Reply<D, M, Q, R> {
    /// Asks the responder for a reply to a turn, and meanwhile marks its message `addressed`, and with it the earlier ones,
    /// as read. A typing indicator is renewed before it fades.
    pub(crate) async fn respond(
        &self,
        turn: &[&Incoming],
        addressed: &Incoming,
        owner: Owner,
        attempt: Attempt,
    ) -> Result<Response, Failure> {
        let storing = if self.responder.is_pure() { Duration::ZERO } else { stored_answers::TIMEOUT };
        let deadline = attempt.deadline.keeping(storing + SEND_TIMEOUT + HANDOVER);
        let question = Question { messages: turn, user_id: owner.user_id(), tries: attempt.tries, deadline };
        let responding = deadline.run(Duration::MAX, self.responder.respond(question));
        let mut responding = pin!(timed("respond_ms", responding));
        let from = self.number_for(addressed);
        let renewal = if self.read_receipts == ReadReceipts::Typing { RENEWAL } else { Duration::MAX };
        let response = loop {
            // A read receipt must precede the reply, because sending the reply ends the typing indicator.
            let (responded, ()) = tokio::join!(
                timeout(renewal, &mut responding),
                mark_read(&self.messenger, self.read_receipts, addressed, from, attempt.deadline)
            );
            if let Ok(response) = responded {
                break response;
            }
        };
        match response {
            Ok(Ok(Response::Text(answer))) if answer.text.trim().is_empty() => Ok(Response::Nothing),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(cause)) => Err(Failure::NoAnswer(cause)),
            Err(_) => Err(Failure::NoAnswer(NoAnswer::from("the responder timed out"))),
        }
    }

    /// Stores the reply to a turn before it is sent, unless the responder would return it again. A database that is down must
    /// not stop the reply.
    pub(crate) async fn store(
        &self,
        turn: &[&Incoming],
        user_id: Option<Uuid>,
        answer: &Answer,
        deadline: Deadline,
    ) {
        let Some(last) = turn.last() else { return };
        // A retry may have other messages of the turn, whose reply would have other parts.
        let is_in_parts = turn.len() > 1 && !split::first(answer.text.trim()).1.is_empty();
        if self.responder.is_pure() && !is_in_parts {
            return;
        }
        let Answer { text, details } = answer.clone();
        let stored =
            StoredAnswer { message_id: row_id(&last.key, &Role::User), messages: turn.len(), text, details };
        let limit = deadline.keeping(SEND_TIMEOUT + HANDOVER);
        let storing = self.database.store_answer(user_id, &stored);
        if let Err(cause) = within(limit, stored_answers::TIMEOUT, storing).await {
            let wamid = last.short_wamid();
            warn!(counter = Counter::UnstoredAnswers.name(), wamid, %cause, "reply not stored before it is sent: a retry may say other words");
        }
    }
}
