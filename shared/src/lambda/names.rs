//! Enums with a name in logs, metrics or envelopes, and a meaning, for each variant.

/// Declares an enum from a table: each line is a variant, its name in logs and metrics, and its meaning.
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
            /// All variants, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$Variant,)+];

            /// Returns the name in logs and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }

            /// Returns the meaning, in words.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$Variant => $meaning,)+
                }
            }

            /// Returns the variant with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

crate::names! {
    /// Kinds of update: the values of the field `update` in log lines.
    pub enum UpdateKind {
        Message = "message": "a message of a user",
        Echo = "echo": "a message that the business wrote in its app",
        Status = "status": "a status of a sent message",
        Event = "event": "any other content of a webhook",
        Record = "record": "rows that could not be written when the reply was sent",
        Unknown = "unknown": "an envelope that this version cannot read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_found_by_its_name() {
        for update in UpdateKind::ALL {
            assert_eq!(UpdateKind::from_name(update.name()), Some(*update), "{}", update.meaning());
        }
        assert_eq!(UpdateKind::from_name("messages"), None);
    }
}
