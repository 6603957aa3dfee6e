//! Enums whose variants have a name in logs, metrics or envelopes, and a meaning.

/// Declares an enum from a table: each line is a variant, the name that logs and metrics have of it, and its meaning.
#[macro_export]
macro_rules! names {
    ($(#[$attribute:meta])* $visibility:vis enum $Enum:ident {
        $($Variant:ident = $name:literal: $meaning:literal,)+
    }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        $visibility enum $Enum {
            $(#[doc = concat!("`", $name, "`: ", $meaning, ".")] $Variant,)+
        }

        impl $Enum {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$Variant,)+];

            /// Its name in logs and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }

            /// What it means, in words.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$Variant => $meaning,)+
                }
            }

            /// The one of this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

crate::names! {
    /// Kinds of update, as the field `update` of log lines names them.
    pub enum UpdateKind {
        Message = "message": "a person's message",
        Echo = "echo": "a message that the business wrote in its app",
        Status = "status": "a status of a message that was sent",
        Event = "event": "everything else that Meta sends",
        Record = "record": "rows that could not be written when the answer was sent",
        Unknown = "unknown": "an envelope that this version cannot read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_variant() {
        for update in UpdateKind::ALL {
            assert_eq!(UpdateKind::from_name(update.name()), Some(*update), "{}", update.meaning());
        }
        assert_eq!(UpdateKind::from_name("messages"), None);
    }
}
