//! Making JSON fit that is too large for a queue: it loses what is largest in it, as little as is enough, and nothing
//! else.

use serde_json::Value;
use serde_json::value::RawValue;
use shared::envelope::Cut;
use shared::text::cut_before;

use crate::readable::outside_strings;

/// What is not worth cutting: shorter texts hold what a message is known by.
const SMALL: usize = 512;

/// Arrays and objects in each other, and elements and fields in all of them, of JSON that is taken apart. What has more
/// would take more time and memory than a function has, and is no message of Meta's: its text is cut.
const MAX_DEPTH: usize = 32;
const MAX_PARTS: usize = 100_000;

/// JSON of at most `budget` bytes, as much of `json` as fits, and what was lost. Nothing if it fits as it is.
///
/// Texts are cut at their ends, arrays and objects lose their last elements, the largest first.
#[must_use]
pub fn fit(json: &RawValue, budget: usize) -> Option<(Box<RawValue>, Cut)> {
    let bytes = json.get().len();
    if bytes <= budget {
        return None;
    }
    let value = is_simple(json.get()).then(|| serde_json::from_str(json.get()).ok()).flatten();
    // What serde_json cannot hold, such as a number that is too large, is kept as text too.
    let mut value = value.unwrap_or_else(|| Value::from(json.get()));
    let mut size = size_of(&value);
    while size > budget {
        shorten(&mut value, size - budget);
        let left = size_of(&value);
        if left >= size {
            // Nothing in it can be cut any more, which needs a budget smaller than `SMALL`.
            value = Value::Null;
        }
        size = size_of(&value);
    }
    let kept = RawValue::from_string(value.to_string()).ok()?;
    Some((kept, Cut { bytes, kept: size }))
}

/// Whether JSON has few enough parts to be taken apart.
fn is_simple(json: &str) -> bool {
    let (mut depth, mut parts) = (0_usize, 0_usize);
    outside_strings(json).all(|(_, byte)| {
        match byte {
            b'{' | b'[' => (depth, parts) = (depth + 1, parts + 1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => parts += 1,
            _ => {}
        }
        depth <= MAX_DEPTH && parts <= MAX_PARTS
    })
}

/// Takes `excess` bytes from `value`, if it has as many to lose: from what is largest in it if that is enough, and else
/// from one after the other.
fn shorten(value: &mut Value, excess: usize) {
    match value {
        Value::String(text) => cut_end(text, excess),
        Value::Array(elements) => {
            let largest = elements.iter_mut().max_by_key(|element| size_of(element));
            if let Some(largest) = largest.filter(|largest| size_of(largest) >= excess + SMALL) {
                return shorten(largest, excess);
            }
            let mut lost = 0;
            while lost < excess
                && let Some(last) = elements.pop()
            {
                lost += size_of(&last) + 1;
            }
        }
        Value::Object(fields) => {
            let mut by_size: Vec<_> = fields.values_mut().map(|field| (size_of(field), field)).collect();
            by_size.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
            let mut lost = 0;
            for (size, field) in by_size {
                if lost >= excess {
                    return;
                }
                if size >= excess - lost + SMALL {
                    return shorten(field, excess - lost);
                }
                match &mut *field {
                    Value::String(text) if size > SMALL => cut_end(text, size - SMALL),
                    _ => *field = Value::Null,
                }
                lost += size.saturating_sub(size_of(field));
            }
            // What is left of so many is still too much.
            while lost < excess
                && let Some(last) = fields.keys().next_back().cloned()
            {
                lost += size_of_text(&last) + 2 + fields.remove(&last).as_ref().map_or(0, size_of);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => *value = Value::Null,
    }
}

/// Takes `excess` bytes from the end of a text, if it has as many, and the rest of a visible character with them.
fn cut_end(text: &mut String, excess: usize) {
    let mut lost = 0;
    let limit = text.char_indices().rev().find(|(_, character)| {
        lost += size_of_char(*character);
        lost >= excess
    });
    let limit = limit.map_or(0, |(limit, _)| limit);
    text.truncate(cut_before(text, limit));
}

/// Bytes of a value as `serde_json` writes it.
fn size_of(value: &Value) -> usize {
    match value {
        Value::Null => 4,
        Value::Bool(_) => 5,
        Value::Number(number) => number.to_string().len(),
        Value::String(text) => size_of_text(text),
        Value::Array(elements) => 2 + elements.iter().map(|element| size_of(element) + 1).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(name, field)| size_of_text(name) + 2 + size_of(field)).sum::<usize>()
        }
    }
}

fn size_of_text(text: &str) -> usize {
    2 + text.chars().map(size_of_char).sum::<usize>()
}

fn size_of_char(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn raw(value: &Value) -> Box<RawValue> {
        RawValue::from_string(value.to_string()).expect("JSON")
    }

    fn cut(value: &Value, budget: usize) -> Value {
        let (kept, cut) = fit(&raw(value), budget).expect("too large");
        assert!(kept.get().len() <= budget && cut.kept <= budget, "{} of {budget}", kept.get().len());
        assert_eq!(cut.bytes, value.to_string().len());
        serde_json::from_str(kept.get()).expect("JSON")
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        let value = json!({"id": "w"});
        assert!(fit(&raw(&value), value.to_string().len()).is_none());
    }

    #[test]
    fn the_largest_text_is_cut_and_everything_else_is_kept() {
        let body = "long \"text\" ".repeat(1000);
        let message = json!({"id": "wamid.1", "from": "1", "type": "text", "text": {"body": body},
            "context": {"id": "wamid.0"}, "referral": {"body": "short"}});
        let mut left = cut(&message, 5_000);
        let text = left["text"]["body"].take();
        let text = text.as_str().expect("a text");
        assert!(body.starts_with(text) && text.len() > 3_500, "{}", text.len());
        let mut expected = message.clone();
        expected["text"]["body"].take();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_long_list_loses_its_end() {
        let items: Vec<_> = (0..1000).map(|n| json!({"product_retailer_id": n})).collect();
        let left = cut(&json!({"id": "wamid.1", "order": {"product_items": items, "text": "both"}}), 3_000);
        let kept = left["order"]["product_items"].as_array().expect("an array");
        assert_eq!(kept[..], items[..kept.len()]);
        assert!(kept.len() > 50 && left["id"] == "wamid.1" && left["order"]["text"] == "both", "{left}");
    }

    #[test]
    fn many_texts_of_a_size_are_cut_in_one_pass() {
        let fields: serde_json::Map<_, _> =
            (0..4000).map(|n| (n.to_string(), json!("x".repeat(700)))).collect();
        let mut message = json!({"id": "wamid.1", "type": "text"});
        message["new"] = fields.into();
        let left = cut(&message, 1_000_000);
        assert_eq!((&left["id"], &left["type"]), (&json!("wamid.1"), &json!("text")));
        assert!(left["new"].as_object().is_some_and(|fields| fields.len() > 1500), "{}", left["new"]);
    }

    #[test]
    fn what_serde_json_cannot_hold_is_kept_as_text() {
        let json = format!("[7,{}{}]", "[".repeat(900), "]".repeat(900));
        let (kept, _) = fit(&RawValue::from_string(json).expect("JSON"), 1_000).expect("too large");
        assert!(kept.get().starts_with("\"[7,[[[["), "{kept}");
    }

    #[test]
    fn no_more_is_lost_than_is_too_much() {
        // To the byte, where what is lost comes in bytes.
        let text = json!("x".repeat(1000));
        assert_eq!(cut(&text, 802), json!("x".repeat(800)));
        // 100 elements of 10 bytes, of which 50 are too much.
        assert_eq!(cut(&json!(vec!["seven77"; 100]), 502), json!(vec!["seven77"; 50]));
        // 1000 fields of 13 bytes, of which 500 are too much.
        let fields: serde_json::Map<_, _> = (0..1000).map(|n| (format!("k{n:04}"), json!("ab"))).collect();
        let left = cut(&fields.into(), 6_502);
        assert_eq!(left.as_object().map(serde_json::Map::len), Some(500));
    }

    #[test]
    fn two_long_texts_lose_the_second_only_what_the_first_cannot() {
        let (first, second) = ("a".repeat(3_001), "b".repeat(3_000));
        let message = json!({"id": "wamid.1", "first": first, "second": second});
        let size = message.to_string().len();
        let left = cut(&message, size - 4_000);
        let texts = ["first", "second"].map(|name| left[name].as_str().expect("a text").len());
        assert_eq!((texts, &left["id"]), ([SMALL - 2, 1_490], &json!("wamid.1")));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[a\\PC\\n\u{0}\"]{0,2000}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn everything_can_be_made_to_fit(value in any_json(), budget in 4usize..4_000) {
            let json = raw(&value);
            match fit(&json, budget) {
                None => prop_assert!(json.get().len() <= budget),
                Some((kept, cut)) => {
                    prop_assert!(json.get().len() > budget && kept.get().len() <= budget);
                    prop_assert_eq!(cut.bytes, json.get().len());
                }
            }
        }
    }
}
