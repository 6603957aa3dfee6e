//! Reading what Meta sent without ever refusing it.
//!
//! Meta adds fields and types without notice, and some senders put a number where a string belongs. A
//! field that cannot be read counts as absent; the message around it is never lost for it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A value that ought to be a string: a number counts as its digits, anything else as absent.
///
/// JSON can hold half of a surrogate pair (`"\ud83d"`), where a sender has cut a text in the middle of an
/// emoji. It becomes U+FFFD, and the rest of the text is read.
#[must_use]
pub fn text<'a>(raw: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let json = raw?.get();
    match json.as_bytes().first()? {
        b'"' => match serde_json::from_str::<Text<'a>>(json) {
            Ok(text) => Some(text.0),
            Err(_) => serde_json::from_str(&without_halves(json)).ok().map(Cow::Owned),
        },
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(json)),
        _ => None,
    }
}

/// A JSON string with an escaped U+FFFD for each half of a surrogate pair that stands alone.
fn without_halves(json: &str) -> String {
    let mut whole = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((plain, escape)) = rest.find('\\').and_then(|start| rest.split_at_checked(start)) {
        let (length, is_half) = match (escaped_unit(escape), escape.get(6..).and_then(escaped_unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (12, false),
            (Some(0xD800..=0xDFFF), _) => (6, true),
            (Some(_), _) => (6, false),
            // A backslash and the character that it escapes.
            (None, _) => (2, false),
        };
        let Some((escape, after)) = escape.split_at_checked(length) else { break };
        whole.push_str(plain);
        whole.push_str(if is_half { "\\ufffd" } else { escape });
        rest = after;
    }
    whole + rest
}

/// The UTF-16 unit of an escape `\uXXXX` at the start of `json`.
fn escaped_unit(json: &str) -> Option<u16> {
    u16::from_str_radix(json.strip_prefix("\\u")?.get(..4)?, 16).ok()
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
    use proptest::prelude::*;

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
    fn half_of_a_surrogate_pair_becomes_the_replacement_character() {
        for (json, expected) in [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\uDC4D!""#, "\u{fffd}!"),
            (r#""a\ud83db""#, "a\u{fffd}b"),
            (r#""\ud83d\ud83d\udc4d""#, "\u{fffd}👍"),
            (r#""\udc4d\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\u00e9\n\"é👍""#, "\u{fffd}é\n\"é👍"),
            (r#""\\ud83d \ud83d\\udc4d""#, "\\ud83d \u{fffd}\\udc4d"),
        ] {
            assert_eq!(text(Some(raw(json))).as_deref(), Some(expected), "{json}");
        }
    }

    #[test]
    fn an_array_is_its_elements_and_the_rest_is_empty() {
        assert_eq!(array(Some(raw("[1,{\"a\":2}]"))).len(), 2);
        assert!(array(Some(raw("{\"0\":1}"))).is_empty());
        assert!(array(None).is_empty());
    }

    /// A JSON string in any spelling, and the UTF-16 that it spells: whole pairs only, or halves among them.
    fn spelled(units: std::ops::RangeInclusive<u16>) -> impl Strategy<Value = (String, Vec<u16>)> {
        let plain = any::<String>().prop_map(|text| {
            let json = serde_json::to_string(&text).expect("JSON");
            (json[1..json.len() - 1].to_owned(), text.encode_utf16().collect())
        });
        let escaped = |units: Vec<u16>| (units.iter().map(|unit| format!("\\u{unit:04x}")).collect(), units);
        let short = prop::sample::select(vec![("\\\"", '"'), ("\\\\", '\\'), ("\\/", '/'), ("\\n", '\n')]);
        let part = prop_oneof![
            plain,
            any::<String>().prop_map(move |text| escaped(text.encode_utf16().collect())),
            units.prop_map(move |unit| escaped(vec![unit])),
            short.prop_map(|(json, character)| (json.to_owned(), vec![character as u16])),
        ];
        prop::collection::vec(part, 0..8).prop_map(|parts| {
            let (json, units): (Vec<String>, Vec<Vec<u16>>) = parts.into_iter().unzip();
            (format!("\"{}\"", json.concat()), units.concat())
        })
    }

    proptest! {
        #[test]
        fn a_string_that_serde_json_reads_is_read_as_it_reads_it((json, _) in spelled(0..=0xd7ff)) {
            let json = raw(&json);
            let expected: String = serde_json::from_str(json.get()).expect("a string");
            prop_assert_eq!(text(Some(json)), Some(Cow::Owned(expected)));
            prop_assert_eq!(without_halves(json.get()), json.get(), "nothing to mend");
        }

        #[test]
        fn every_string_of_json_is_read((json, units) in spelled(0xd7f0..=0xe00f)) {
            prop_assert_eq!(text(Some(raw(&json))), Some(Cow::Owned(String::from_utf16_lossy(&units))));
        }

        #[test]
        fn no_text_makes_mending_panic(text: String, escapes in r#"[\\ud8c0f"é👍]{0,20}"#) {
            let _ = (without_halves(&text), without_halves(&escapes));
        }
    }
}
