//! Messages of users, and of the business itself.

use std::collections::BTreeMap;

use uuid::Uuid;

/// Prefix of the messages of an automatic correspondent.
pub const AUTOMATIC: &str = "automatic answer";

/// Kind of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A text.
    Text,
    /// A text of white space only, which gets no answer.
    Blank,
    /// A text with an answer longer than one message.
    Long,
    /// A text that makes the responder panic until it is repaired.
    Poison,
    /// A text that the responder cannot answer until it is repaired.
    Stubborn,
    /// An image with a caption, which is answered like a text.
    Caption,
    /// An image without a caption.
    Image,
    /// A reaction to an earlier message.
    Reaction,
    /// A new text for an earlier message.
    Edit,
    /// A message of an unknown type.
    Hologram,
    /// A text with a code that a session created.
    Code,
    /// A text with a guessed code.
    Guess,
    /// A tap on a button of a question.
    Tap,
}

impl Kind {
    /// Whether a linked user gets no answer to it.
    #[must_use]
    pub fn is_silent(self) -> bool {
        matches!(self, Self::Blank | Self::Image | Self::Reaction | Self::Edit | Self::Hologram)
    }

    /// Whether it is a step of linking, or appears to be one.
    #[must_use]
    pub fn is_step(self) -> bool {
        matches!(self, Self::Code | Self::Guess | Self::Tap)
    }

    /// Whether even an unlinked sender gets no answer.
    #[must_use]
    pub fn is_never_answered(self) -> bool {
        matches!(self, Self::Reaction | Self::Edit)
    }

    /// Meta's name of the type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text
            | Self::Blank
            | Self::Long
            | Self::Poison
            | Self::Stubborn
            | Self::Code
            | Self::Guess => "text",
            Self::Tap => "interactive",
            Self::Caption | Self::Image => "image",
            Self::Reaction => "reaction",
            Self::Edit => "edit",
            Self::Hologram => "hologram",
        }
    }
}

/// A user's message and its state.
#[derive(Debug)]
pub struct Question {
    /// Index of the sender.
    pub sender: usize,
    /// The receiving business number.
    pub number: String,
    /// Kind of the message.
    pub kind: Kind,
    /// Text of the message, or the id of the button.
    pub text: String,
    /// The message it refers to.
    pub refers_to: Option<String>,
    /// Its message group.
    pub group: Option<String>,
    /// Whether Meta got a 200 for it.
    pub ok: bool,
    /// Position among the messages accepted by the queue, and time of acceptance.
    pub accepted: Option<(usize, u64)>,
    /// Time of acceptance of each of its queue messages.
    pub copies: BTreeMap<String, u64>,
    /// Whether it was quarantined or dead-lettered, and lost its place in the order.
    pub out_of_order: bool,
    /// Version of the sender's identity in the message, once generated.
    pub version: Option<usize>,
    /// Time of the message in seconds since 1970, once generated.
    pub written_at: Option<u64>,
    /// The account of the sender at that time.
    pub account: Option<Uuid>,
    /// Whether its sender may be unlinked: another number or user id, or a changed link, in the meantime.
    pub uncertain: bool,
    /// Whether the sender's link has changed since it was written: a redelivery may find no user although the
    /// message is recorded.
    pub relinked: bool,
}

impl Question {
    pub(crate) fn new(
        sender: usize,
        number: String,
        kind: Kind,
        text: String,
        refers_to: Option<String>,
    ) -> Self {
        Self {
            sender,
            number,
            kind,
            text,
            refers_to,
            group: None,
            ok: false,
            accepted: None,
            copies: BTreeMap::new(),
            out_of_order: false,
            version: None,
            written_at: None,
            account: None,
            uncertain: false,
            relinked: false,
        }
    }
}

/// A message sent by the business itself.
#[derive(Debug)]
pub struct Written {
    /// Index of the recipient.
    pub to: usize,
    /// The sending business number.
    pub number: String,
    /// Whether Meta got a 200 for it.
    pub ok: bool,
}
