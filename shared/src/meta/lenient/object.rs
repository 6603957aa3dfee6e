//! A JSON object with fields that are read one by one.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{filled_text, list, read, text};
use crate::meta::wamid::Wamid;

/// A JSON object with unparsed values. Of a repeated key, the last value counts.
///
/// A field that is missing or `null` is absent.
#[derive(Clone, Debug, Default)]
pub struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads an object; any other value counts as an object without fields.
    #[must_use]
    pub fn of(raw: Option<&'a RawValue>) -> Self {
        read(raw).unwrap_or_default()
    }

    /// Returns the value of a field, unless it is `null`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        let field = self.0.iter().rev().find(|(name, _)| name == key);
        field.map(|(_, value)| *value).filter(|value| value.get() != "null")
    }

    /// See [`text`].
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        text(self.get(key))
    }

    /// See [`filled_text`].
    #[must_use]
    pub fn filled_text(&self, key: &str) -> Option<Cow<'a, str>> {
        filled_text(self.get(key))
    }

    /// See [`filled_text`]; returns an owned string.
    #[must_use]
    pub fn string(&self, key: &str) -> Option<String> {
        self.filled_text(key).map(Cow::into_owned)
    }

    /// Reads a wamid; any other value counts as absent.
    #[must_use]
    pub fn wamid(&self, key: &str) -> Option<Wamid> {
        self.string(key).and_then(|id| Wamid::parse(id).ok())
    }

    /// Reads a nested object; see [`Object::of`].
    #[must_use]
    pub fn object(&self, key: &str) -> Self {
        Self::of(self.get(key))
    }

    /// See [`list`].
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<&'a RawValue> {
        list(self.get(key))
    }

    /// See [`read`].
    #[must_use]
    pub fn read<T: Deserialize<'a>>(&self, key: &str) -> Option<T> {
        read(self.get(key))
    }

    /// Returns the names and values of the fields that are not `null`, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value)).filter(|(_, value)| value.get() != "null")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object<'de>, M::Error> {
                // The number of fields of most of Meta's objects.
                let mut fields = Vec::with_capacity(8);
                // A key is read leniently, so that an unpaired surrogate in one key loses no other field.
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    fields.push((text(Some(key)).unwrap_or_default(), value));
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> Object<'_> {
        Object::of(serde_json::from_str(json).expect("JSON"))
    }

    #[test]
    fn a_malformed_field_does_not_affect_the_others() {
        let message = object(r#"{"id":"w", "n": 7,"o":{"p":[1]},"gone":null,"\ud83d":1,"\u0074ype":"text"}"#);
        assert_eq!(message.text("id").as_deref(), Some("w"));
        assert_eq!(message.text("n").as_deref(), Some("7"));
        assert_eq!(message.text("type").as_deref(), Some("text"));
        assert_eq!(message.object("o").list("p").len(), 1);
        assert!(message.get("gone").is_none() && message.get("never").is_none());
        assert!(message.object("id").fields().next().is_none(), "not an object");
        let names: Vec<_> = message.fields().map(|(name, _)| name).collect();
        assert_eq!(names, ["id", "n", "o", "\u{fffd}", "type"]);
    }

    #[test]
    fn the_last_of_two_fields_with_one_name_counts() {
        assert_eq!(object(r#"{"id":"a","id":"b"}"#).text("id").as_deref(), Some("b"));
    }

    #[test]
    fn a_value_that_is_not_an_object_has_no_fields() {
        for json in ["null", "[]", "7", "\"{}\""] {
            assert!(object(json).fields().next().is_none(), "{json}");
        }
        assert!(Object::of(None).get("id").is_none());
    }
}
