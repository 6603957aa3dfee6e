//! The responder that `REPLY_RESPONDER` names.

use std::str::FromStr;

use crate::llm::Llm;
use crate::llm::client::ChatCompletions;
use crate::llm::conversation::StoredConversations;
use crate::responder::{Echo, NoAnswer, Question, Responder, Response, Silent};

/// The name of a responder: `REPLY_RESPONDER`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ResponderName {
    /// Repeats what a person writes.
    #[default]
    Echo,
    /// A language model answers.
    Llm,
    /// Answers nothing.
    Silent,
}

/// A string that is not `echo`, `llm` or `silent`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected echo, llm or silent")]
pub struct ResponderNameError;

impl FromStr for ResponderName {
    type Err = ResponderNameError;

    fn from_str(text: &str) -> Result<Self, ResponderNameError> {
        match text {
            "echo" => Ok(Self::Echo),
            "llm" => Ok(Self::Llm),
            "silent" => Ok(Self::Silent),
            _ => Err(ResponderNameError),
        }
    }
}

/// One of the responders.
pub enum AnyResponder {
    /// See [`Echo`].
    Echo,
    /// See [`Llm`].
    Llm(Box<Llm<ChatCompletions, StoredConversations>>),
    /// See [`Silent`].
    Silent,
}

impl Responder for AnyResponder {
    fn is_pure(&self) -> bool {
        match self {
            Self::Echo => Echo.is_pure(),
            Self::Llm(llm) => llm.is_pure(),
            Self::Silent => Silent.is_pure(),
        }
    }

    async fn respond(&self, question: Question<'_>) -> Result<Response, NoAnswer> {
        match self {
            Self::Echo => Echo.respond(question).await,
            // Boxed: the future of a message would be as large with the other responders, too.
            Self::Llm(llm) => Box::pin(llm.respond(question)).await,
            Self::Silent => Silent.respond(question).await,
        }
    }
}
