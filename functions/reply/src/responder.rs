//! What to answer. Today an echo; an LLM takes its place by implementing [`Responder`].

use std::convert::Infallible;
use std::fmt::Display;

use uuid::Uuid;

use crate::incoming::Incoming;

/// What a responder is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The message, of whatever type: [`Content::said`](crate::incoming::Content::said) is what it says in words.
    pub message: &'a Incoming,
    /// Whose history it belongs to; `None` while the database does not answer.
    pub user_id: Option<Uuid>,
}

/// Decides on the answer to a message.
pub trait Responder: Send + Sync {
    /// Why there is no answer now. The message returns to the queue and is asked again.
    /// The text is logged: it must not repeat what the person wrote.
    type Error: Display + Send;

    /// The answer, or `None` to stay silent: the message is then recorded and not answered. More than 4096 characters
    /// are sent in parts.
    ///
    /// # Errors
    /// When the message should be asked again later.
    fn respond(
        &self,
        question: Question<'_>,
    ) -> impl Future<Output = Result<Option<String>, Self::Error>> + Send;
}

/// Says what it was told in words: a text, what was chosen, a caption.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Responder for Echo {
    type Error = Infallible;

    async fn respond(&self, question: Question<'_>) -> Result<Option<String>, Infallible> {
        Ok(question.message.content.said().map(str::to_owned))
    }
}
