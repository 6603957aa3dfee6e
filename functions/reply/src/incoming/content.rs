//! The content of a message, by its type.
//!
//! Source: “Messages webhook reference”, WhatsApp Business Platform documentation. Unknown types and fields are expected;
//! the raw message is stored in any case. `docs/MESSAGES.md` has the table of all types.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use shared::meta::lenient::Object;
use shared::meta::wamid::Wamid;

use super::vcard;

/// Types with a body under their own name. They identify the type of a message without `type` by its body.
pub(super) const TYPES: [&str; 16] = [
    "voice",
    "text",
    "image",
    "audio",
    "video",
    "document",
    "sticker",
    "location",
    "contacts",
    "interactive",
    "button",
    "reaction",
    "order",
    "system",
    "edit",
    "revoke",
];

/// The content of a message.
#[derive(Clone, Eq, PartialEq)]
pub enum Content {
    /// `text`
    Text(String),
    /// `image`, `audio`, `video`, `document`, `sticker`
    Media(Media),
    /// `location`
    Location(Location),
    /// `contacts`: the names on the cards
    Contacts(Vec<String>),
    /// `interactive` with `button_reply` or `list_reply`, and `button`: the user's choice
    Choice(Choice),
    /// `interactive` with `nfm_reply`: a form (flow, address) filled in by the user
    Form(Form),
    /// `interactive` with `call_permission_reply`: `accept` or `reject`
    CallPermission(String),
    /// `reaction`
    Reaction {
        /// The wamid of the message that it refers to.
        to: Option<Wamid>,
        /// `None` when the reaction was removed.
        emoji: Option<String>,
    },
    /// `order`
    Order(Order),
    /// `edit`: the new content of an earlier message
    Edit {
        /// The wamid of that message.
        of: Option<Wamid>,
        /// The new content.
        content: Box<Content>,
    },
    /// `revoke`: the user deleted a message for everyone
    Revoke {
        /// The wamid of that message.
        of: Option<Wamid>,
    },
    /// `system`: a notice of WhatsApp's about the user
    System(System),
    /// `request_welcome`: the user opened the conversation for the first time
    Welcome,
    /// `unsupported`, or any type that Meta could not deliver
    Unsupported {
        /// The unsupported type, if Meta names it (`poll_creation`).
        of: Option<String>,
        /// Meta's error code.
        code: Option<i64>,
    },
    /// A type from above without its body
    Unreadable,
    /// A type that this version does not know
    Unknown,
}

/// A file.
#[derive(Clone, Eq, PartialEq, Serialize)]
pub struct Media {
    /// The message's type.
    #[serde(rename = "type")]
    pub kind: MediaKind,
    /// The media id, valid in the Graph API for some days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The MIME type, such as `image/jpeg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// The SHA-256 hash of its bytes, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The user's caption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// A document's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Whether an `audio` is a voice message, recorded in the conversation.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub voice: bool,
}

/// The type of a message with a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// A picture.
    Image,
    /// An audio file.
    Audio,
    /// A video.
    Video,
    /// Any file.
    Document,
    /// A sticker.
    Sticker,
}

/// A place.
#[derive(Clone, Eq, PartialEq)]
pub struct Location {
    /// The latitude in degrees, as Meta writes it.
    pub latitude: Option<String>,
    /// The longitude in degrees, as Meta writes it.
    pub longitude: Option<String>,
    /// The name of the place, such as a shop.
    pub name: Option<String>,
    /// A postal address.
    pub address: Option<String>,
}

/// The user's choice from a list, or a button.
#[derive(Clone, Eq, PartialEq)]
pub struct Choice {
    /// The title shown to the user.
    pub title: String,
    /// The `id` of a reply, or the `payload` of a template's button, assigned by the program that offered it.
    pub id: Option<String>,
}

/// A form that was filled in.
#[derive(Clone, Eq, PartialEq)]
pub struct Form {
    /// `flow`, `address_message`, …
    pub name: Option<String>,
    /// The text shown in the conversation.
    pub body: Option<String>,
    /// The user's input, as a JSON string.
    pub response_json: Option<String>,
}

/// An order from a catalogue.
#[derive(Clone, Eq, PartialEq)]
pub struct Order {
    /// The catalogue's id.
    pub catalog_id: Option<String>,
    /// The user's text.
    pub text: Option<String>,
    /// The number of different products.
    pub items: usize,
}

/// A notice of WhatsApp's about a user.
#[derive(Clone, Eq, PartialEq)]
pub struct System {
    /// `user_changed_number`, `user_changed_user_id`, …
    pub kind: Option<String>,
    /// The text, in English.
    pub body: Option<String>,
}

impl Content {
    /// Parses a message's type and content.
    #[must_use]
    pub fn read(message: &Object<'_>) -> (String, Self) {
        let kind = kind_of(message);
        let content = Self::of(&kind, message);
        (kind, content)
    }

    fn of(kind: &str, message: &Object<'_>) -> Self {
        let body = message.object(kind);
        let media = |kind| Media::read(kind, &body).map(Self::Media);
        let content = match kind {
            "text" => body.text("body").map(|body| Self::Text(body.into_owned())),
            "image" => media(MediaKind::Image),
            "audio" => media(MediaKind::Audio),
            // The type of a voice message in older versions.
            "voice" => {
                let audio = Media::read(MediaKind::Audio, &body);
                audio.map(|audio| Self::Media(Media { voice: true, ..audio }))
            }
            "video" => media(MediaKind::Video),
            "document" => media(MediaKind::Document),
            "sticker" => media(MediaKind::Sticker),
            "location" => Location::read(&body).map(Self::Location),
            "contacts" => {
                let cards = message.list("contacts");
                (!cards.is_empty()).then(|| Self::Contacts(cards.into_iter().filter_map(name_on).collect()))
            }
            "interactive" => interactive(&body),
            "button" => body
                .string("text")
                .or_else(|| body.string("payload"))
                .map(|title| Self::Choice(Choice { title, id: body.string("payload") })),
            "reaction" => message
                .get(kind)
                .map(|_| Self::Reaction { to: body.wamid("message_id"), emoji: body.string("emoji") }),
            "order" => message.get(kind).map(|_| {
                Self::Order(Order {
                    catalog_id: body.string("catalog_id"),
                    text: body.string("text"),
                    items: body.list("product_items").len(),
                })
            }),
            "edit" => message.get(kind).map(|_| {
                let edited = body.object("message");
                // An edit of an edit is unreadable, which also bounds the recursion for nested JSON.
                let content = match kind_of(&edited) {
                    kind if ["reaction", "edit", "revoke"].contains(&kind.as_str()) => Self::Unreadable,
                    kind => Self::of(&kind, &edited),
                };
                let of = body.wamid("original_message_id").or_else(|| body.wamid("message_id"));
                Self::Edit { of, content: Box::new(content) }
            }),
            "revoke" => message.get(kind).map(|_| Self::Revoke {
                of: body.wamid("original_message_id").or_else(|| body.wamid("message_id")),
            }),
            "system" => Some(Self::System(System { kind: body.string("type"), body: body.string("body") })),
            "request_welcome" => Some(Self::Welcome),
            "unsupported" => Some(unsupported(message, &body)),
            _ if message.get("errors").is_some() => None,
            _ => Some(Self::Unknown),
        };
        content.unwrap_or_else(|| match message.get("errors") {
            // A message that Meta could not deliver has any type, no body, and an error.
            Some(_) => unsupported(message, &body),
            None => Self::Unreadable,
        })
    }

    /// Returns the user's words, to be answered: a text, a choice's title, a caption.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Media(media) => media.caption.as_deref(),
            Self::Choice(choice) => Some(&choice.title),
            _ => None,
        }
    }

    /// Returns whether the content is addressed to the business, so that the user may expect a reply.
    #[must_use]
    pub fn is_conversation(&self) -> bool {
        match self {
            Self::Text(_)
            | Self::Media(_)
            | Self::Location(_)
            | Self::Contacts(_)
            | Self::Choice(_)
            | Self::Form(_)
            | Self::Order(_)
            | Self::Unreadable
            // An unknown type is more likely addressed to the business than not.
            | Self::Unknown => true,
            // Such as a poll; unlike the following types, which refer to an earlier message.
            Self::Unsupported { of, .. } => {
                let referring = ["edit", "keep_in_chat", "pin", "poll_update", "reaction", "revoke"];
                of.as_deref().is_none_or(|of| !referring.contains(&of))
            }
            Self::CallPermission(_)
            | Self::Reaction { .. }
            | Self::Edit { .. }
            | Self::Revoke { .. }
            | Self::System(_)
            | Self::Welcome => false,
        }
    }

    /// Returns the wamid of the message that a reaction, an edit or a revoke refers to.
    #[must_use]
    pub fn refers_to(&self) -> Option<&Wamid> {
        match self {
            Self::Reaction { to: wamid, .. } | Self::Edit { of: wamid, .. } | Self::Revoke { of: wamid } => {
                wamid.as_ref()
            }
            _ => None,
        }
    }

    /// Returns the file, if there is one.
    #[must_use]
    pub fn media(&self) -> Option<&Media> {
        match self {
            Self::Media(media) => Some(media),
            Self::Edit { content, .. } => content.media(),
            _ => None,
        }
    }
}

/// Returns a message's type: its field `type`, else the type that its body indicates.
fn kind_of(message: &Object<'_>) -> String {
    let by_body = || TYPES.iter().find(|kind| message.get(kind).is_some()).map(|kind| (*kind).to_owned());
    message.string("type").or_else(by_body).unwrap_or_else(|| "unknown".to_owned())
}

fn interactive(body: &Object<'_>) -> Option<Content> {
    let reply = |name: &str| body.get(name).map(|_| body.object(name));
    if let Some(chosen) = reply("button_reply").or_else(|| reply("list_reply")) {
        let title = chosen.string("title").or_else(|| chosen.string("id"))?;
        return Some(Content::Choice(Choice { title, id: chosen.string("id") }));
    }
    if let Some(form) = reply("nfm_reply") {
        let Some(response_json) = form.get("response_json") else {
            return Some(Content::Form(Form {
                name: form.string("name"),
                body: form.string("body"),
                response_json: None,
            }));
        };
        // A string that contains JSON; some senders write the JSON value itself.
        let response = form.string("response_json").unwrap_or_else(|| response_json.get().to_owned());
        return Some(Content::Form(Form {
            name: form.string("name"),
            body: form.string("body"),
            response_json: Some(response),
        }));
    }
    let permission = reply("call_permission_reply")?;
    Some(Content::CallPermission(permission.string("response").unwrap_or_else(|| "unknown".to_owned())))
}

fn unsupported(message: &Object<'_>, body: &Object<'_>) -> Content {
    let error = message.list("errors").first().map(|error| Object::of(Some(error))).unwrap_or_default();
    Content::Unsupported {
        of: body.string("type"),
        code: error.text("code").and_then(|code| code.parse().ok()),
    }
}

/// Returns the name on a contact's card, else its company, first number or first e-mail address.
fn name_on(card: &RawValue) -> Option<String> {
    let card = Object::of(Some(card));
    let name = card.object("name");
    let parts = ["first_name", "last_name"].map(|part| name.string(part));
    let joined = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let of_list =
        |list: &str, key: &str| card.list(list).first().and_then(|first| Object::of(Some(first)).string(key));
    name.string("formatted_name")
        .or(Some(joined).filter(|name| !name.is_empty()))
        .or_else(|| vcard::formatted_name(&card.text("vcard")?))
        .or_else(|| card.object("org").string("company"))
        .or_else(|| of_list("phones", "phone"))
        .or_else(|| of_list("emails", "email"))
}

impl Media {
    fn read(kind: MediaKind, body: &Object<'_>) -> Option<Self> {
        body.fields().next()?;
        Some(Self {
            kind,
            id: body.string("id"),
            mime_type: body.string("mime_type"),
            sha256: body.string("sha256"),
            caption: body.string("caption"),
            filename: body.string("filename"),
            voice: body.read("voice").unwrap_or(false),
        })
    }
}

impl Location {
    fn read(body: &Object<'_>) -> Option<Self> {
        body.fields().next()?;
        let [latitude, longitude, name, address] =
            ["latitude", "longitude", "name", "address"].map(|key| body.string(key));
        Some(Self { latitude, longitude, name, address })
    }
}

impl fmt::Debug for Content {
    /// Omits the user's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text(…)",
            Self::Media(_) => "Media(…)",
            Self::Location(_) => "Location(…)",
            Self::Contacts(_) => "Contacts(…)",
            Self::Choice(_) => "Choice(…)",
            Self::Form(_) => "Form(…)",
            Self::CallPermission(_) => "CallPermission(…)",
            Self::Reaction { .. } => "Reaction(…)",
            Self::Order(_) => "Order(…)",
            Self::Edit { .. } => "Edit(…)",
            Self::Revoke { .. } => "Revoke(…)",
            Self::System(_) => "System(…)",
            Self::Welcome => "Welcome",
            Self::Unsupported { .. } => "Unsupported",
            Self::Unreadable => "Unreadable",
            Self::Unknown => "Unknown",
        })
    }
}
