//! Reading what Meta sent without ever refusing it.
//!
//! Meta adds fields and types without notice, and some senders put a number where a string belongs. A
//! field that cannot be read counts as absent; the message around it is never lost for it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A value that ought to be a string: a number counts as its digits, anything else as absent.
#[must_use]
pub fn text<'a>(raw: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let json = raw?.get();
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str::<Text<'a>>(json).ok().map(|text| text.0),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(json)),
        _ => None,
    }
}

/// Like [`text`]; an empty string counts as absent too.
#[must_use]
pub fn filled_text<'a>(raw: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    text(raw).filter(|text| !text.trim().is_empty())
}

/// A value of type `T`; whatever else stands there counts as absent.
#[must_use]
pub fn read<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// An array's elements; whatever else stands there counts as empty.
#[must_use]
pub fn array(raw: Option<&RawValue>) -> Vec<&RawValue> {
    read(raw).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn a_string_is_its_text_a_number_its_digits_and_the_rest_is_absent() {
        assert_eq!(text(Some(raw("\"a\\u00e9\""))).as_deref(), Some("aé"));
        assert!(matches!(text(Some(raw("\"plain\""))), Some(Cow::Borrowed("plain"))));
        assert_eq!(text(Some(raw("16505551234"))).as_deref(), Some("16505551234"));
        for json in ["null", "true", "[]", "{}", "[\"a\"]"] {
            assert_eq!(text(Some(raw(json))), None, "{json}");
        }
        assert_eq!(text(None), None);
        assert_eq!(filled_text(Some(raw("\" \""))), None);
    }

    #[test]
    fn an_array_is_its_elements_and_the_rest_is_empty() {
        assert_eq!(array(Some(raw("[1,{\"a\":2}]"))).len(), 2);
        assert!(array(Some(raw("{\"0\":1}"))).is_empty());
        assert!(array(None).is_empty());
    }
}
