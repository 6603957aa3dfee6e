//! Lenient reading of Meta's JSON: it never fails.
//!
//! Meta adds fields and types without notice, and some senders put a number in place of a string. A field that cannot
//! be read counts as absent and never makes the rest of its message unreadable.

mod object;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

pub use object::Object;

/// Returns the string of a value; of a number, its digits. Any other value counts as absent.
///
/// JSON can hold an unpaired surrogate (`"\ud83d"`), when a sender truncated a string in the middle of an emoji. It
/// becomes U+FFFD, and the rest of the string is read.
#[must_use]
pub fn text<'a>(raw: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let json = raw?.get();
    match json.as_bytes().first()? {
        b'"' => match serde_json::from_str::<Text<'a>>(json) {
            Ok(text) => Some(text.0),
            Err(_) => serde_json::from_str(&repair(json, |_| false)).ok().map(Cow::Owned),
        },
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(json)),
        _ => None,
    }
}

/// Replaces each escaped unpaired surrogate, and each escaped unit that is `unwanted`, by an escaped U+FFFD.
fn repair(json: &str, unwanted: impl Fn(u16) -> bool) -> String {
    let mut whole = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((plain, escape)) = rest.find('\\').and_then(|start| rest.split_at_checked(start)) {
        let (length, is_replaced) = match (escaped_unit(escape), escape.get(6..).and_then(escaped_unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (12, false),
            (Some(0xD800..=0xDFFF), _) => (6, true),
            (Some(unit), _) => (6, unwanted(unit)),
            // A backslash and the character that it escapes.
            (None, _) => (2, false),
        };
        let Some((escape, after)) = escape.split_at_checked(length) else { break };
        whole.push_str(plain);
        whole.push_str(if is_replaced { "\\ufffd" } else { escape });
        rest = after;
    }
    whole + rest
}

/// Returns the UTF-16 unit of an escape `\uXXXX` at the beginning of `json`.
fn escaped_unit(json: &str) -> Option<u16> {
    u16::from_str_radix(json.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

/// Like [`text`]; a blank string also counts as absent.
#[must_use]
pub fn filled_text<'a>(raw: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    text(raw).filter(|text| !text.trim().is_empty())
}

/// Reads a value of type `T`; any other value counts as absent.
#[must_use]
pub fn read<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// Returns the elements of an array, without `null`. A value that is not an array is the only element.
#[must_use]
pub fn list(raw: Option<&RawValue>) -> Vec<&RawValue> {
    let is_null = |raw: &RawValue| raw.get() == "null";
    match raw {
        None => Vec::new(),
        Some(raw) if is_null(raw) => Vec::new(),
        Some(raw) => {
            let mut elements = read(Some(raw)).unwrap_or_else(|| vec![raw]);
            elements.retain(|element| !is_null(element));
            elements
        }
    }
}

/// Converts JSON to a form that PostgreSQL's `jsonb` accepts. It refuses U+0000, unpaired surrogates, and numbers out
/// of its range: the characters become U+FFFD, and a document with such a number becomes a string of its JSON.
#[must_use]
pub fn storable(json: &RawValue) -> Cow<'_, str> {
    let text = json.get();
    let text =
        if text.contains("\\u") { Cow::Owned(repair(text, |unit| unit == 0)) } else { Cow::Borrowed(text) };
    // serde_json refuses a number too large for `f64`, and reads one too small for it as 0.
    if serde_json::from_str::<serde_json::Value>(&text).is_ok() && numbers(&text).all(fits_numeric) {
        return text;
    }
    serde_json::to_string(&text).map_or(Cow::Borrowed("null"), Cow::Owned)
}

/// Converts a string to a form that PostgreSQL's `text` accepts: each U+0000 becomes U+FFFD.
#[must_use]
pub fn storable_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Returns the numbers in JSON, as written.
fn numbers(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(|character: char| matches!(character, '"' | '-' | '0'..='9'))?;
            rest = rest.get(start..)?;
            if let Some(string) = rest.strip_prefix('"') {
                let mut is_escaped = false;
                let end = string.find(|character| {
                    let is_end = character == '"' && !is_escaped;
                    is_escaped = character == '\\' && !is_escaped;
                    is_end
                })?;
                rest = string.get(end + 1..)?;
                continue;
            }
            let is_over = |character: char| !matches!(character, '-' | '+' | '.' | 'e' | 'E' | '0'..='9');
            let (number, after) = rest.split_at_checked(rest.find(is_over).unwrap_or(rest.len()))?;
            rest = after;
            return Some(number);
        }
    })
}

/// Whether PostgreSQL's `numeric` accepts this notation of an `f64`: it allows 16383 digits after the point, and
/// `1e-20000` has 20000. Source: “Numeric Types”, PostgreSQL documentation.
fn fits_numeric(number: &str) -> bool {
    const MAX_SCALE: usize = 16_383;
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    // An `f64` with such a large exponent can only be 0.
    let exponent = exponent.trim_start_matches(['+', '-']).parse::<usize>().unwrap_or(usize::MAX);
    decimals.saturating_add(exponent) <= MAX_SCALE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn strings_and_numbers_are_read_other_values_are_absent() {
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
    fn an_unpaired_surrogate_becomes_the_replacement_character() {
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
    fn a_value_that_is_not_an_array_is_a_list_of_one_element() {
        let elements =
            |json| list(Some(raw(json))).iter().map(|one| one.get().to_owned()).collect::<Vec<_>>();
        assert_eq!(elements("[1, null,{\"a\":2}]"), ["1", "{\"a\":2}"]);
        assert_eq!(elements("{\"0\":1}"), ["{\"0\":1}"]);
        assert!(elements("null").is_empty() && list(None).is_empty());
    }

    #[test]
    fn only_values_that_postgresql_refuses_are_replaced() {
        for (json, expected) in [
            (
                r#"{"a": 1.50, "b":"\u00e9\ud83d\udc4d\\u0000"}"#,
                r#"{"a": 1.50, "b":"\u00e9\ud83d\udc4d\\u0000"}"#,
            ),
            (r#"{"a":"\u0000x\ud83d","\u0000":1}"#, r#"{"a":"\ufffdx\ufffd","\ufffd":1}"#),
            (r#"[1e999999,"\u0000"]"#, r#""[1e999999,\"\\ufffd\"]""#),
            (
                r#"{"a\"1e-20000\\":"1e-20000","b":-1.5E-9000}"#,
                r#"{"a\"1e-20000\\":"1e-20000","b":-1.5E-9000}"#,
            ),
            (r#"{"a":"\"","b":1e-20000}"#, r#""{\"a\":\"\\\"\",\"b\":1e-20000}""#),
            ("0e-99999999999999999999", r#""0e-99999999999999999999""#),
        ] {
            assert_eq!(storable(raw(json)), expected, "{json}");
        }
    }

    /// A JSON string with any mix of escapes, and its UTF-16: `units` selects whether unpaired surrogates occur.
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
        fn a_string_that_serde_json_accepts_is_read_equally((json, _) in spelled(0..=0xd7ff)) {
            let json = raw(&json);
            let expected: String = serde_json::from_str(json.get()).expect("a string");
            prop_assert_eq!(text(Some(json)), Some(Cow::Owned(expected)));
            prop_assert_eq!(repair(json.get(), |_| false), json.get(), "nothing to repair");
        }

        #[test]
        fn every_json_string_is_read((json, units) in spelled(0xd7f0..=0xe00f)) {
            prop_assert_eq!(text(Some(raw(&json))), Some(Cow::Owned(String::from_utf16_lossy(&units))));
        }

        #[test]
        fn any_string_is_repaired_without_a_panic(text: String, escapes in r#"[\\ud8c0f"é👍]{0,20}"#) {
            let _ = (repair(&text, |_| true), repair(&escapes, |_| true));
        }
    }
}
