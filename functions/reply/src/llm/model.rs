//! The interface to a language model, implemented by a client of its API and by a model of it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::error::ModelError;

pub use super::usage::Usage;

/// A message of a conversation, as the model gets it.
#[derive(Clone, Eq, PartialEq, Serialize)]
pub struct ChatMessage {
    /// The author.
    pub role: ChatRole,
    /// The text. Personal data, unless the role is [`ChatRole::System`].
    pub content: String,
}

/// The author of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChatRole {
    /// The operator: the instructions.
    System,
    /// The person.
    User,
    /// The business: what the person was told.
    Assistant,
}

impl fmt::Debug for ChatMessage {
    /// Omits the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatMessage").field("role", &self.role).finish_non_exhaustive()
    }
}

/// An answer of the model.
#[derive(Clone, Eq, PartialEq)]
pub struct Completion {
    /// The text, not blank. Personal data.
    pub text: String,
    /// The name of the model that answered, if its server returned one.
    pub model: Option<String>,
    /// The tokens spent.
    pub usage: Usage,
    /// The reason for the end of the text: `stop`, `length`, …
    pub finish_reason: Option<String>,
}

impl fmt::Debug for Completion {
    /// Omits the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text: _, model, usage, finish_reason } = self;
        let mut debug = f.debug_struct("Completion");
        debug.field("model", model).field("usage", usage).field("finish_reason", finish_reason);
        debug.finish_non_exhaustive()
    }
}

/// Answers conversations.
pub trait Model: Send + Sync {
    /// Returns the name of the model.
    fn name(&self) -> &str;

    /// Returns the answer to a conversation: the instructions, then the messages, oldest first.
    ///
    /// There is no idempotency key: after an error the answer may have been paid for.
    ///
    /// # Errors
    /// See [`ModelError`].
    fn complete(
        &self,
        messages: &[ChatMessage],
        timeout: Duration,
    ) -> impl Future<Output = Result<Completion, ModelError>> + Send;
}
