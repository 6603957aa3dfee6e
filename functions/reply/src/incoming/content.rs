//! What a message holds, by its type.
//!
//! Source: “Messages webhook reference”, WhatsApp Business Platform documentation. A type or a field that is not
//! known here is normal; the raw message is kept in any case. `docs/MESSAGES.md` has the table of all types.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use shared::lenient::Object;
use shared::wamid::Wamid;

use super::vcard;

/// Types whose body stands under their own name. A message without `type` is of the one whose body it has.
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

/// What a message holds.
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
    /// `interactive` with `button_reply` or `list_reply`, and `button`: what the person chose
    Choice(Choice),
    /// `interactive` with `nfm_reply`: a form (flow, address) that the person filled in
    Form(Form),
    /// `interactive` with `call_permission_reply`: `accept` or `reject`
    CallPermission(String),
    /// `reaction`
    Reaction {
        /// The wamid of the message that it is about.
        to: Option<Wamid>,
        /// None when the reaction was taken back.
        emoji: Option<String>,
    },
    /// `order`
    Order(Order),
    /// `edit`: another content in the place of an earlier message's
    Edit {
        /// The wamid of that message.
        of: Option<Wamid>,
        /// What it says now.
        content: Box<Content>,
    },
    /// `revoke`: the person deleted a message for everyone
    Revoke {
        /// The wamid of that message.
        of: Option<Wamid>,
    },
    /// `system`: WhatsApp says something about the person
    System(System),
    /// `request_welcome`: the person opened the conversation for the first time
    Welcome,
    /// `unsupported`, and what Meta could not hand over: something that the person sent
    Unsupported {
        /// What it is, where Meta says so (`poll_creation`).
        of: Option<String>,
        /// Meta's error code.
        code: Option<i64>,
    },
    /// A type from above without the body that it should have
    Unreadable,
    /// A type that this version does not know
    Unknown,
}

/// A file.
#[derive(Clone, Eq, PartialEq, Serialize)]
pub struct Media {
    /// What it is shown as.
    #[serde(rename = "type")]
    pub kind: MediaKind,
    /// By which the Graph API hands it out, for some days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Such as `image/jpeg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Of its bytes, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What the person wrote below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// A document's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Whether an `audio` is a voice message, recorded in the conversation.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub voice: bool,
}

/// What a file is shown as: the message's type.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A sound.
    Audio,
    /// A film.
    Video,
    /// Any file.
    Document,
    /// A sticker.
    Sticker,
}

/// A place.
#[derive(Clone, Eq, PartialEq)]
pub struct Location {
    /// Degrees, as Meta writes them.
    pub latitude: Option<String>,
    /// Degrees, as Meta writes them.
    pub longitude: Option<String>,
    /// Such as a shop's.
    pub name: Option<String>,
    /// A postal address.
    pub address: Option<String>,
}

/// What the person chose of what they were offered.
#[derive(Clone, Eq, PartialEq)]
pub struct Choice {
    /// What was shown, and so what the person says with it.
    pub title: String,
    /// The `id` of a reply, the `payload` of a template's button: what the program that offered it knows it by.
    pub id: Option<String>,
}

/// A form that was filled in.
#[derive(Clone, Eq, PartialEq)]
pub struct Form {
    /// `flow`, `address_message`, …
    pub name: Option<String>,
    /// What the conversation shows of it.
    pub body: Option<String>,
    /// The answers: JSON, as a text.
    pub response_json: Option<String>,
}

/// An order from a catalogue.
#[derive(Clone, Eq, PartialEq)]
pub struct Order {
    /// The catalogue.
    pub catalog_id: Option<String>,
    /// What the person wrote with it.
    pub text: Option<String>,
    /// How many different products it holds.
    pub items: usize,
}

/// What WhatsApp says about a person.
#[derive(Clone, Eq, PartialEq)]
pub struct System {
    /// `user_changed_number`, `user_changed_user_id`, …
    pub kind: Option<String>,
    /// In English.
    pub body: Option<String>,
}

impl Content {
    /// Reads a message's type and content.
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
            // As older versions called a voice message.
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
                // Nothing edits an edit; and nothing nests, however deep JSON may.
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
            // What Meta could not hand over comes under any type, without its body and with the reason.
            Some(_) => unsupported(message, &body),
            None => Self::Unreadable,
        })
    }

    /// What the person said in words, to be answered: a text, a choice's title, a caption.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Media(media) => media.caption.as_deref(),
            Self::Choice(choice) => Some(&choice.title),
            _ => None,
        }
    }

    /// Whether the person is saying something to us, and may wait for an answer.
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
            // More likely something that is said than not.
            | Self::Unknown => true,
            // A poll, say. Unlike these, which are about an earlier message:
            Self::Unsupported { of, .. } => {
                let about = ["edit", "keep_in_chat", "pin", "poll_update", "reaction", "revoke"];
                of.as_deref().is_none_or(|of| !about.contains(&of))
            }
            Self::CallPermission(_)
            | Self::Reaction { .. }
            | Self::Edit { .. }
            | Self::Revoke { .. }
            | Self::System(_)
            | Self::Welcome => false,
        }
    }

    /// The wamid of the message that this one is about: of a reaction, an edit, a revoke.
    #[must_use]
    pub fn refers_to(&self) -> Option<&Wamid> {
        match self {
            Self::Reaction { to: wamid, .. } | Self::Edit { of: wamid, .. } | Self::Revoke { of: wamid } => {
                wamid.as_ref()
            }
            _ => None,
        }
    }

    /// The files in it.
    #[must_use]
    pub fn media(&self) -> Option<&Media> {
        match self {
            Self::Media(media) => Some(media),
            Self::Edit { content, .. } => content.media(),
            _ => None,
        }
    }
}

/// A message's type, as it says or as its body shows.
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
        // A text that holds JSON; some senders write the JSON itself.
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

/// The name on a contact's card, or else its first number.
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
    /// Without what was written.
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
