//! The text of a message in the history: its words, or a placeholder in brackets.

use shared::lambda::logging::plain;

use super::content::{Content, Media, MediaKind};

impl Content {
    /// Returns the column `content` of a message of type `kind`.
    #[must_use]
    pub fn text(&self, kind: &str) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Media(media) => media.text().to_owned(),
            Self::Location(location) => {
                let [latitude, longitude] = [&location.latitude, &location.longitude];
                let place = location.address.clone().or_else(|| location.name.clone());
                let point = || Some(format!("{}, {}", latitude.as_deref()?, longitude.as_deref()?));
                place.or_else(point).unwrap_or_else(|| "[location]".to_owned())
            }
            Self::Contacts(names) if names.is_empty() => "[contacts]".to_owned(),
            Self::Contacts(names) => names.join(", "),
            Self::Choice(choice) => choice.title.clone(),
            Self::Form(form) => form.body.clone().unwrap_or_else(|| "[form]".to_owned()),
            Self::CallPermission(response) => format!("[call permission: {}]", plain(response)),
            Self::Reaction { emoji, .. } => {
                emoji.clone().unwrap_or_else(|| "[reaction taken back]".to_owned())
            }
            Self::Order(order) => order.text.clone().unwrap_or_else(|| match order.items {
                1 => "[order of 1 product]".to_owned(),
                items => format!("[order of {items} products]"),
            }),
            Self::Edit { content, .. } => match &**content {
                Self::Unreadable | Self::Unknown => "[edited message]".to_owned(),
                content => content.text(kind),
            },
            Self::Revoke { .. } => "[deleted message]".to_owned(),
            Self::System(system) => system.body.clone().unwrap_or_else(|| "[system message]".to_owned()),
            Self::Welcome => "[conversation opened]".to_owned(),
            Self::Unsupported { of: Some(of), .. } => format!("[unsupported message: {}]", plain(of)),
            Self::Unsupported { of: None, .. } => "[unsupported message]".to_owned(),
            Self::Unreadable | Self::Unknown => match plain(kind) {
                "unknown" => "[message]".to_owned(),
                kind => format!("[{kind} message]"),
            },
        }
    }
}

impl Media {
    fn text(&self) -> &str {
        let placeholder = match self.kind {
            MediaKind::Image => "[image]",
            MediaKind::Audio if self.voice => "[voice message]",
            MediaKind::Audio => "[audio]",
            MediaKind::Video => "[video]",
            MediaKind::Document => "[document]",
            MediaKind::Sticker => "[sticker]",
        };
        self.caption.as_deref().or(self.filename.as_deref()).unwrap_or(placeholder)
    }
}
