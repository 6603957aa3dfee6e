//! The choice of a reply. Today an echo; an LLM replaces it by implementing [`Responder`].

use std::convert::Infallible;
use std::fmt::Display;

use uuid::Uuid;

use crate::incoming::Incoming;

/// The messages of a turn, to be answered together, for the responder.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The messages, oldest first, of any type: [`Content::said`](crate::incoming::Content::said) returns the words of one.
    /// There are several only with `REPLY_WINDOW`.
    pub messages: &'a [&'a Incoming],
    /// The user that the messages belong to; `None` if the lookup failed.
    pub user_id: Option<Uuid>,
}

impl<'a> Question<'a> {
    /// Returns the user's words in each message that has some: a text, a choice's title, a caption.
    pub fn said(self) -> impl Iterator<Item = &'a str> {
        self.messages.iter().filter_map(|message| message.content.said())
    }
}

/// Decides on the reply to a turn.
pub trait Responder: Send + Sync {
    /// The reason why there is no reply now. The messages are returned to the queue and retried.
    /// Its text is logged: it must not contain the user's words.
    type Error: Display + Send;

    /// Whether the reply depends on nothing but the question. Otherwise it is stored before it is sent, so that a retry
    /// says the same words.
    const IS_PURE: bool = false;

    /// Returns the reply, or `None` if the messages are to be recorded and not answered. A reply of more than 4096
    /// characters is sent in parts.
    ///
    /// # Errors
    /// When the messages must be retried later.
    fn respond(
        &self,
        question: Question<'_>,
    ) -> impl Future<Output = Result<Option<String>, Self::Error>> + Send;
}

/// Repeats the words of each message, on a line of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Responder for Echo {
    type Error = Infallible;

    const IS_PURE: bool = true;

    async fn respond(&self, question: Question<'_>) -> Result<Option<String>, Infallible> {
        let words: Vec<_> = question.said().collect();
        Ok((!words.is_empty()).then(|| words.join("\n")))
    }
}

// Compiles the example of the document.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/RESPONDERS.md")]
struct Document;
