//! The chats of the phones.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use local_graph::{Button, Received};
use serde::Serialize;

use crate::posts::Posted;

/// The maximum number of messages in memory.
const KEPT: usize = 2000;

/// The author of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum From {
    User,
    Business,
}

/// The delivery state of a message, in ascending order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ticks {
    /// Not yet accepted by the webhook or by Meta.
    Clock,
    Sent,
    Delivered,
    Read,
    Failed,
}

/// A quoted message.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Quote {
    id: String,
    text: String,
}

/// A bubble in a chat.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChatMessage {
    pub(crate) id: String,
    pub(crate) phone: String,
    pub(crate) from: From,
    #[serde(rename = "type")]
    kind: String,
    text: String,
    at: DateTime<Utc>,
    order: u64,
    pub(crate) ticks: Ticks,
    quotes: Option<Quote>,
    buttons: Vec<Button>,
    reaction: Option<String>,
    edited: bool,
    revoked: bool,
    pub(crate) error: Option<String>,
    /// The callback data of a message of the business.
    #[serde(skip)]
    callback_data: Option<String>,
    /// The message in the pipeline: this one, or the one that it answers.
    pipeline_wamid: Option<String>,
}

/// The messages of all chats, by wamid and in their order.
#[derive(Debug, Default)]
pub(crate) struct Chats {
    messages: HashMap<String, ChatMessage>,
    order: BTreeMap<u64, String>,
}

impl Chats {
    pub(crate) fn get(&self, id: &str) -> Option<&ChatMessage> {
        self.messages.get(id)
    }

    /// The newest `count`, in their order.
    pub(crate) fn newest(&self, count: usize) -> impl Iterator<Item = &ChatMessage> {
        let skipped = self.order.len().saturating_sub(count);
        self.order.values().skip(skipped).filter_map(|id| self.messages.get(id))
    }

    /// The wamids of the business's messages that the phone's owner has not read, each with its callback data.
    pub(crate) fn unread(&self, phone: &str) -> Vec<(String, Option<String>)> {
        let unread = |message: &&ChatMessage| {
            message.phone == phone && message.from == From::Business && message.ticks == Ticks::Delivered
        };
        self.order
            .values()
            .filter_map(|id| self.messages.get(id))
            .filter(unread)
            .map(|message| (message.id.clone(), message.callback_data.clone()))
            .collect()
    }

    /// A button of a message to this phone.
    pub(crate) fn button(&self, phone: &str, message: &str, button: &str) -> Option<&Button> {
        let message = self.messages.get(message).filter(|message| message.phone == phone)?;
        message.buttons.iter().find(|one| one.id == button)
    }

    /// Adds a message of a phone. The id of the new or changed bubble.
    pub(crate) fn add_sent(&mut self, posted: &Posted, phone: &str, order: u64) -> Option<String> {
        if self.messages.contains_key(&posted.wamid) {
            return None;
        }
        let target = posted.refers_to.as_ref().and_then(|id| self.messages.get_mut(id));
        if let Some(target) = target {
            let changed = match posted.kind.as_str() {
                "reaction" => {
                    target.reaction.clone_from(&posted.emoji);
                    true
                }
                "edit" => {
                    target.text.clone_from(&posted.text);
                    target.edited = true;
                    true
                }
                "revoke" => {
                    target.text.clear();
                    target.revoked = true;
                    true
                }
                _ => false,
            };
            if changed {
                return Some(target.id.clone());
            }
        }
        let pipeline_wamid = Some(posted.wamid.clone());
        let message = self.message(&posted.wamid, phone, From::User, posted.quotes.as_deref(), order);
        self.add(ChatMessage {
            kind: posted.kind.clone(),
            text: posted.text.clone(),
            pipeline_wamid,
            ..message
        })
    }

    /// Adds a message of the business to a phone. The id of its bubble.
    pub(crate) fn add_received(&mut self, received: &Received, phone: &str, order: u64) -> Option<String> {
        let quotes = received.quotes.as_deref();
        let text = received.body.clone().unwrap_or_else(|| format!("[{}]", received.kind));
        let message = self.message(&received.id, phone, From::Business, quotes, order);
        let Received { kind, buttons, callback_data, quotes: pipeline_wamid, at, .. } = received.clone();
        self.add(ChatMessage { kind, text, buttons, callback_data, pipeline_wamid, at, ..message })
    }

    /// Raises the delivery state of a message. Whether it changed.
    pub(crate) fn tick(&mut self, id: &str, ticks: Ticks, error: Option<&str>) -> bool {
        let Some(message) = self.messages.get_mut(id).filter(|message| message.ticks < ticks) else {
            return false;
        };
        message.ticks = ticks;
        message.error = error.map(str::to_owned);
        true
    }

    fn message(&self, id: &str, phone: &str, from: From, quotes: Option<&str>, order: u64) -> ChatMessage {
        let quotes = quotes.map(|id| {
            let text = self.messages.get(id).map(|quoted| quoted.text.clone()).unwrap_or_default();
            Quote { id: id.to_owned(), text }
        });
        ChatMessage {
            id: id.to_owned(),
            phone: phone.to_owned(),
            from,
            kind: String::new(),
            text: String::new(),
            at: Utc::now(),
            order,
            ticks: Ticks::Clock,
            quotes,
            buttons: Vec::new(),
            reaction: None,
            edited: false,
            revoked: false,
            error: None,
            callback_data: None,
            pipeline_wamid: None,
        }
    }

    fn add(&mut self, message: ChatMessage) -> Option<String> {
        let id = message.id.clone();
        self.order.insert(message.order, id.clone());
        self.messages.insert(id.clone(), message);
        while self.order.len() > KEPT {
            if let Some((_, oldest)) = self.order.pop_first() {
                self.messages.remove(&oldest);
            }
        }
        Some(id)
    }
}

impl Ticks {
    /// The ticks of a status; `None` for a status that phones do not show.
    pub(crate) fn of_status(name: &str) -> Option<Self> {
        match name {
            "sent" => Some(Self::Sent),
            "delivered" => Some(Self::Delivered),
            "read" | "played" => Some(Self::Read),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted(wamid: &str, kind: &str, text: &str, refers_to: Option<&str>) -> Posted {
        Posted {
            wamid: wamid.to_owned(),
            sender: None,
            name: None,
            kind: kind.to_owned(),
            text: text.to_owned(),
            quotes: None,
            refers_to: refers_to.map(str::to_owned),
            emoji: (kind == "reaction").then(|| "👍".to_owned()),
        }
    }

    #[test]
    fn ticks_only_go_forward() {
        let mut chats = Chats::default();
        chats.add_sent(&posted("1", "text", "hi", None), "a", 1);
        assert!(chats.tick("1", Ticks::Delivered, None) && !chats.tick("1", Ticks::Sent, None));
        assert!(!chats.tick("2", Ticks::Sent, None));
        assert_eq!(chats.get("1").map(|message| message.ticks), Some(Ticks::Delivered));
    }

    #[test]
    fn an_edit_a_revoke_and_a_reaction_change_their_target() {
        let mut chats = Chats::default();
        chats.add_sent(&posted("1", "text", "Satruday", None), "a", 1);
        for (n, kind, text) in [(2, "edit", "Saturday"), (3, "reaction", "👍")] {
            let changed = chats.add_sent(&posted(&n.to_string(), kind, text, Some("1")), "a", n);
            assert_eq!(changed.as_deref(), Some("1"));
        }
        let message = chats.get("1").expect("there");
        assert_eq!(
            (message.text.as_str(), message.edited, message.reaction.as_deref()),
            ("Saturday", true, Some("👍"))
        );
        chats.add_sent(&posted("4", "revoke", "[deleted message]", Some("1")), "a", 4);
        assert!(chats.get("1").is_some_and(|message| message.revoked && message.text.is_empty()));
        // The target may be older than the page.
        assert_eq!(chats.add_sent(&posted("5", "edit", "x", Some("0")), "a", 5).as_deref(), Some("5"));
    }

    #[test]
    fn a_redelivered_message_is_one_bubble() {
        let mut chats = Chats::default();
        assert!(chats.add_sent(&posted("1", "text", "hi", None), "a", 1).is_some());
        assert!(chats.add_sent(&posted("1", "text", "hi", None), "a", 2).is_none());
        assert_eq!(chats.newest(10).count(), 1);
    }
}
