//! Lookup of the user of a turn, of the rows of its messages, and of its reply if an earlier attempt may have sent it.

use std::collections::{BTreeMap, HashSet};

use futures::future::OptionFuture;
use shared::lambda::counter::Counter;
use shared::lambda::logging::ShortWamid;
use shared::lambda::metrics::timed;
use shared::meta::wamid::{MessageKey, Wamid};
use shared::supabase::rows::Role;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::budget::HANDOVER;
use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::history::row_id;
use crate::incoming::Incoming;
use crate::memory::UnrecordedReply;
use crate::responder::Answer;
use crate::statuses::SentPart;
use crate::stored_answers::StoredAnswer;
use crate::users::{self, Author, Linked, LookupError};

/// The owner of the history that a message belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    /// This user.
    User(Linked),
    /// None: the sender is unlinked.
    Unlinked,
    /// Unknown, because the lookup failed.
    Unknown,
}

impl Owner {
    /// Returns the user, if one is known.
    pub(crate) fn user_id(self) -> Option<Uuid> {
        match self {
            Self::User(linked) => Some(linked.user_id),
            Self::Unlinked | Self::Unknown => None,
        }
    }
}

/// What the database knows of a turn.
#[derive(Debug)]
pub(crate) struct Found {
    /// The owner of its messages; of the last one, if they differ.
    pub(crate) owner: Owner,
    /// Whether the first message belongs to another owner: the number was linked in between.
    pub(crate) changes_owner: bool,
    /// The keys of the messages whose rows are written, which implies that they were answered.
    pub(crate) recorded: HashSet<MessageKey>,
    /// What earlier attempts have sent and stored.
    pub(crate) earlier: Earlier,
}

/// What earlier attempts have sent and stored, as far as the database and this process know.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    sent: Vec<SentPart>,
    known: Vec<KnownAnswer>,
    /// Whether a reply may be stored that could not be read.
    pub(crate) misses_stored: bool,
}

/// A reply of an earlier attempt.
#[derive(Debug)]
pub(crate) struct KnownAnswer {
    /// The id of the row of the turn's last message.
    message_id: Uuid,
    /// The number of messages in the turn.
    messages: usize,
    /// The reply.
    pub(crate) answer: Answer,
    /// Whether the database has it, and not only this process.
    pub(crate) is_stored: bool,
}

impl From<StoredAnswer> for KnownAnswer {
    fn from(stored: StoredAnswer) -> Self {
        let StoredAnswer { message_id, messages, text, details } = stored;
        Self { message_id, messages, answer: Answer { text, details }, is_stored: true }
    }
}

/// The parts of a reply that were sent, by their number, with their wamids.
pub(crate) type SentParts = BTreeMap<u32, Wamid>;

impl Earlier {
    /// Adds a reply that only this process knows.
    pub(crate) fn add(&mut self, reply: UnrecordedReply) {
        let UnrecordedReply { key, answer, messages, wamids } = reply;
        let (answer_id, is_sent) = (row_id(&key, &Role::Assistant), !wamids.is_empty());
        self.sent.extend((1..).zip(wamids).map(|(part, wamid)| SentPart { answer_id, part, wamid }));
        let message_id = row_id(&key, &Role::User);
        // What was sent comes before what is stored, and that before what was not sent.
        let position = if is_sent { self.known.len() } else { 0 };
        self.known.insert(position, KnownAnswer { message_id, messages, answer, is_stored: false });
    }

    /// Returns the number of these messages, from the oldest, that an earlier attempt answered, or was about to answer with
    /// a stored reply; `None` if no attempt is known.
    pub(crate) fn answered(&self, messages: &[&Incoming]) -> Option<usize> {
        let is_known = |end: &usize| {
            let mut known = messages.get(end - 1).into_iter().flat_map(|last| self.known(&last.key));
            known.any(|known| known.messages == *end)
        };
        self.sent_to(messages).or_else(|| (1..=messages.len()).rev().find(is_known))
    }

    /// Returns the number of these messages, from the oldest, that an earlier attempt has sent a reply to.
    pub(crate) fn sent_to(&self, messages: &[&Incoming]) -> Option<usize> {
        messages.iter().position(|message| !self.parts_to(&message.key).is_empty()).map(|last| last + 1)
    }

    /// Returns the sent parts of the reply to the turn that ends with this message.
    pub(crate) fn parts_to(&self, last: &MessageKey) -> SentParts {
        self.parts(row_id(last, &Role::Assistant))
    }

    /// Returns the sent parts of the answer with this id.
    fn parts(&self, answer_id: Uuid) -> SentParts {
        let parts = self.sent.iter().filter(|sent| sent.answer_id == answer_id);
        parts.map(|sent| (sent.part, sent.wamid.clone())).collect()
    }

    /// Returns the known reply to the turn of so many messages that ends with this one.
    ///
    /// The queue may return a part of a turn, whose other messages were answered by themselves since: then the reply is not
    /// known, unless a part of it was sent.
    pub(crate) fn known_to(&self, last: &MessageKey, messages: usize) -> Option<&KnownAnswer> {
        let is_sent = !self.parts_to(last).is_empty();
        self.known(last).find(|known| is_sent || known.messages == messages)
    }

    /// Returns the known replies to turns that end with this message: what this process has sent, what is stored, and what
    /// this process could not send.
    fn known(&self, last: &MessageKey) -> impl Iterator<Item = &KnownAnswer> {
        let message_id = row_id(last, &Role::User);
        self.known.iter().rev().filter(move |known| known.message_id == message_id)
    }
}

/// Looks up a turn. Replies of earlier attempts are only looked up if there may be some, and stored ones only if replies
/// are stored.
///
/// A failed lookup must not prevent the reply: a duplicate reply is better than none.
pub(crate) async fn lookup(
    database: &impl Database,
    turn: &[&Incoming],
    author: &Author,
    attempt: Attempt,
    stores_answers: bool,
) -> Found {
    let limit = attempt.deadline.keeping(HANDOVER);
    let keys: Vec<&MessageKey> = turn.iter().map(|message| &message.key).collect();
    let (questions, answers) = (ids(&keys, &Role::User), ids(&keys, &Role::Assistant));
    // Within the tolerance for clocks, a link counts for all of them.
    let spans =
        |first: &&&Incoming| author.written_at > first.author().written_at.map(|at| at + users::CLOCK_SKEW);
    let first = turn.first().filter(spans).map(|first| first.author());
    let lookups = async {
        tokio::join!(
            biased;
            within(limit, users::TIMEOUT, database.find_user(author)),
            OptionFuture::from(first.as_ref().map(|first| within(
                limit,
                users::TIMEOUT,
                database.find_user(first)
            ))),
            within(limit, users::TIMEOUT, database.recorded(&questions)),
            OptionFuture::from(attempt.is_repeated.then(|| within(
                limit,
                users::TIMEOUT,
                database.sent_parts(&answers)
            ))),
            OptionFuture::from((attempt.is_repeated && stores_answers).then(|| within(
                limit,
                users::TIMEOUT,
                database.stored_answers(&questions)
            ))),
        )
    };
    let (user, first_user, recorded, sent, stored) = timed("lookup_ms", lookups).await;
    let wamid = keys.last().and_then(|key| key.wamid()).map(Wamid::as_str);
    let changes_owner = match (&user, first_user) {
        (Ok(user), Some(Ok(first))) => user.map(|user| user.user_id) != first.map(|first| first.user_id),
        _ => false,
    };
    let owner = match user {
        Ok(Some(linked)) => Owner::User(linked),
        Ok(None) => Owner::Unlinked,
        Err(cause) => {
            let wamid = wamid.map(ShortWamid::field);
            error!(counter = Counter::FailedLookups.name(), wamid, %cause, "user lookup failed; replying anyway");
            Owner::Unknown
        }
    };
    let recorded = known(recorded, wamid).unwrap_or_default();
    let recorded: HashSet<_> =
        keys.into_iter().filter(|key| recorded.contains(&row_id(key, &Role::User))).cloned().collect();
    if recorded.len() < turn.len() {
        log_repeated(wamid, attempt);
    }
    let sent = sent.and_then(|sent| known(sent, wamid)).unwrap_or_default();
    let misses_stored = matches!(stored, Some(Err(_)));
    let stored = stored.and_then(|stored| known(stored, wamid)).unwrap_or_default();
    let known = stored.into_iter().map(KnownAnswer::from).collect();
    Found { owner, changes_owner, recorded, earlier: Earlier { sent, known, misses_stored } }
}

/// Returns the parts of the answer with this id, to this message, that an earlier attempt has sent, if there may be one.
pub(crate) async fn sent_before(
    database: &impl Database,
    key: &MessageKey,
    answer_id: Uuid,
    is_repeated: bool,
    attempt: Attempt,
) -> SentParts {
    if !is_repeated {
        return SentParts::new();
    }
    let limit = attempt.deadline.keeping(HANDOVER);
    let sent = within(limit, users::TIMEOUT, database.sent_parts(&[answer_id])).await;
    let sent = known(sent, Some(key.as_str())).unwrap_or_default();
    Earlier { sent, ..Earlier::default() }.parts(answer_id)
}

/// Returns whether the rows of a record task with an unsent rest are written, and the parts of its reply that were sent,
/// unless the number of its first part is unknown.
pub(crate) async fn lookup_task(
    database: &impl Database,
    key: &MessageKey,
    has_number: bool,
    attempt: Attempt,
) -> (bool, SentParts) {
    let limit = attempt.deadline.keeping(HANDOVER);
    let question = ids(&[key], &Role::User);
    let (recorded, sent) = tokio::join!(
        within(limit, users::TIMEOUT, database.recorded(&question)),
        sent_before(database, key, row_id(key, &Role::Assistant), has_number, attempt),
    );
    let wamid = Some(key.as_str());
    let is_recorded = known(recorded, wamid).is_some_and(|recorded| !recorded.is_empty());
    if !is_recorded {
        log_repeated(wamid, attempt);
    }
    (is_recorded, sent)
}

/// Returns the ids of the rows with this role.
fn ids(keys: &[&MessageKey], role: &Role) -> Vec<Uuid> {
    keys.iter().map(|key| row_id(key, role)).collect()
}

/// Returns the result of a lookup of earlier attempts; a failed one finds nothing.
fn known<T>(found: Result<T, LookupError>, wamid: Option<&str>) -> Option<T> {
    let wamid = wamid.map(ShortWamid::field);
    found
        .inspect_err(|cause| {
            warn!(counter = Counter::UncheckedAnswers.name(), wamid, %cause, "lookup of rows failed: it is unknown whether the message was answered before; replying anyway");
        })
        .ok()
}

/// Counts an attempt at messages without rows that is not the first: an earlier one returned them, or its process died.
fn log_repeated(wamid: Option<&str>, attempt: Attempt) {
    let Attempt { receive_count, tries, .. } = attempt;
    if tries > 1 {
        let (counter, wamid) = (Counter::RepeatedAttempts.name(), wamid.map(ShortWamid::field));
        info!(counter, wamid, receive_count, "redelivered message has no rows yet");
    }
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
