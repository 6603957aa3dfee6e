//! Sending of a text outside a user's conversation: the registration text, and the questions and answers of linking.
//! None of it is recorded.

use crate::database::Database;
use crate::delivery::Attempt;
use crate::failure::Failure;
use crate::graph::{Button, Messenger, PhoneNumberId, Recipient};
use crate::history::notice_id;
use crate::incoming::Incoming;
use crate::lookup::{Owner, sent_before};
use crate::memory::RecentConversations;
use crate::outcome::{Handled, Outcome};
use crate::read_receipts::{ReadReceipts, mark_read};
use crate::refusal::OwnNumbers;
use crate::send::{Outbox, Progress, Route};

/// The reason why a message in a reply loop is not answered.
pub(crate) const SILENCED: &str = "its sender seems to be automatic: too many replies within five minutes";

/// Sends notices to the senders of messages.
pub(crate) struct Notices<'a, D, M> {
    pub(crate) outbox: Outbox<'a, M>,
    pub(crate) own_numbers: OwnNumbers<'a, D>,
    pub(crate) conversations: &'a RecentConversations,
    pub(crate) read_receipts: ReadReceipts,
}

impl<D: Database, M: Messenger> Notices<'_, D, M> {
    /// Sends a text of one part in answer to a message, unless its sender seems to be automatic. Returns `sent` if it was
    /// sent.
    pub(crate) async fn send(
        &self,
        message: &Incoming,
        from: &PhoneNumberId,
        text: &str,
        buttons: &[Button<'_>],
        sent: Handled,
        attempt: Attempt,
    ) -> Result<Handled, Failure> {
        let conversations = self.conversations;
        let conversation = conversations.key(from, &message.sender);
        if conversations.is_loop(conversation) {
            conversations.add_turn(conversation, message.sent_at, None);
            return Ok(Outcome::Silenced.because(SILENCED));
        }
        let (database, key) = (self.own_numbers.database, &message.key);
        let answer_id = notice_id(key);
        let sent_before = sent_before(database, key, answer_id, attempt.is_repeated, attempt).await;
        mark_read(self.outbox.messenger, self.read_receipts, message, from, attempt.deadline).await;
        let to = Recipient::Person(&message.sender);
        let route = Route { from, to, wamid: key.wamid(), buttons, answer_id, part: 1, sent: &sent_before };
        let send_started_at = (self.outbox.clock)();
        match self.outbox.send(route, text, attempt.deadline).await.progress {
            Progress::Complete | Progress::Partial(..) => {
                conversations.add_turn(conversation, message.sent_at, Some(send_started_at));
                Ok(sent)
            }
            Progress::Failed(cause)
                if self.own_numbers.may_retry(&cause, from, Owner::Unlinked, attempt).await =>
            {
                Err(Failure::NotSent(cause))
            }
            Progress::Failed(refusal) => Ok(Outcome::Undeliverable.because(refusal.to_string())),
        }
    }
}
