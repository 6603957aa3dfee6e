//! The choice of a reply: [`Responder`], the place for a program of your own, and two simple ones. The language model is
//! [`Llm`](crate::llm::Llm).

use std::fmt;
use std::time::Duration;

use shared::lambda::deadline::Deadline;
use uuid::Uuid;

use crate::details::LlmDetails;
use crate::incoming::Incoming;

/// The messages of a turn, to be answered together, for the responder.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The messages, oldest first, of any type: [`Content::said`](crate::incoming::Content::said) returns the words of one.
    /// There are several only with `REPLY_WINDOW`.
    pub messages: &'a [&'a Incoming],
    /// The user that the messages belong to; `None` if the lookup failed.
    pub user_id: Option<Uuid>,
    /// The number of attempts at the turn so far, including this one.
    pub tries: u32,
    /// The time by which the responder is stopped.
    pub deadline: Deadline,
}

impl<'a> Question<'a> {
    /// Returns the user's words in each message that has some: a text, a choice's title, a caption.
    pub fn said(self) -> impl Iterator<Item = &'a str> {
        self.messages.iter().filter_map(|message| message.content.said())
    }
}

/// The decision on a turn.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Response {
    /// This text is sent; in parts, if it has more than 4096 characters. White space only counts as [`Response::Nothing`].
    Text(Answer),
    /// The messages expect no reply: they are recorded.
    Nothing,
    /// The messages get no reply for this reason, which is recorded with them (`unanswered_because`).
    Silence(&'static str),
}

/// A reply.
#[derive(Clone, Eq, PartialEq)]
pub struct Answer {
    /// The text. Personal data.
    pub text: String,
    /// How it came about, for its row.
    pub details: Option<LlmDetails>,
}

impl fmt::Debug for Answer {
    /// Omits the text, which is personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("details", &self.details).finish_non_exhaustive()
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self { text, details: None }
    }
}

impl From<String> for Response {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

/// There is no reply now: the messages are returned to the queue and retried.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct NoAnswer {
    /// The reason. It is logged: it must not contain the user's words.
    pub reason: String,
    /// The time until the retry, in whole seconds; `None` for the usual backoff.
    pub wait: Option<Duration>,
}

impl From<String> for NoAnswer {
    fn from(reason: String) -> Self {
        Self { reason, wait: None }
    }
}

impl From<&str> for NoAnswer {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

/// Decides on the reply to a turn.
pub trait Responder: Send + Sync {
    /// Returns whether the reply depends on nothing but the question, and is found at once. Otherwise it is stored before it
    /// is sent, so that a retry says the same words, and the responder has [`RESPONDER`](crate::budget::RESPONDER) to
    /// answer.
    fn is_pure(&self) -> bool {
        false
    }

    /// Returns the decision.
    ///
    /// # Errors
    /// When the messages must be retried later.
    fn respond(&self, question: Question<'_>) -> impl Future<Output = Result<Response, NoAnswer>> + Send;
}

/// Repeats the words of each message, on a line of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Responder for Echo {
    fn is_pure(&self) -> bool {
        true
    }

    async fn respond(&self, question: Question<'_>) -> Result<Response, NoAnswer> {
        let words: Vec<_> = question.said().collect();
        Ok(if words.is_empty() { Response::Nothing } else { words.join("\n").into() })
    }
}

/// Answers nothing: all messages are recorded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Responder for Silent {
    fn is_pure(&self) -> bool {
        true
    }

    async fn respond(&self, _: Question<'_>) -> Result<Response, NoAnswer> {
        Ok(Response::Nothing)
    }
}

// Compiles the example of the document.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/RESPONDERS.md")]
struct Document;
