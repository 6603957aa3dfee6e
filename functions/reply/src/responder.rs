//! The choice of a reply. Today an echo; an LLM replaces it by implementing [`Responder`].

use std::convert::Infallible;
use std::fmt::Display;

use uuid::Uuid;

use crate::incoming::Incoming;

/// A message to be answered, for the responder.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The message, of any type: [`Content::said`](crate::incoming::Content::said) returns its words.
    pub message: &'a Incoming,
    /// The user that the message belongs to; `None` if the lookup failed.
    pub user_id: Option<Uuid>,
}

/// Decides on the reply to a message.
pub trait Responder: Send + Sync {
    /// The reason why there is no reply now. The message is returned to the queue and retried.
    /// Its text is logged: it must not contain the user's words.
    type Error: Display + Send;

    /// Returns the reply, or `None` if the message is to be recorded and not answered. A reply of more than 4096
    /// characters is sent in parts.
    ///
    /// # Errors
    /// When the message must be retried later.
    fn respond(
        &self,
        question: Question<'_>,
    ) -> impl Future<Output = Result<Option<String>, Self::Error>> + Send;
}

/// Repeats the words of a message: its text, the title of a choice, a caption.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Responder for Echo {
    type Error = Infallible;

    async fn respond(&self, question: Question<'_>) -> Result<Option<String>, Infallible> {
        Ok(question.message.content.said().map(str::to_owned))
    }
}

// Compiles the example of the document.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/RESPONDERS.md")]
struct Document;
