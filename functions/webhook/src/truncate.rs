//! Truncation of JSON that is too large for a queue (no message that Meta documents is): its identifying fields and the
//! beginning of long strings are preserved.

use serde_json::value::RawValue;
use serde_json::{Value, from_str};
use shared::meta::envelope::Truncation;
use shared::meta::lenient::{self, Object};
use shared::text::head;

/// Maximum size in bytes of a field that is preserved unchanged.
const SMALL: usize = 1024;
/// Maximum number of characters preserved of a longer string: the maximum length of a WhatsApp text message.
const MAX_TEXT: usize = 4096;
/// Maximum depth of nested objects that are preserved field by field: includes `context` and `text`.
const MAX_DEPTH: usize = 3;
/// The fields that identify a message or status: preserved before other fields.
const FIRST: &str = "id from from_user_id to to_user_id recipient_id user_id type timestamp status context";

/// Truncates `json` to at most `budget` bytes, two at least; returns `None` if it fits unchanged.
///
/// Objects keep small fields and the beginning of long strings, and lose long lists.
#[must_use]
pub fn fit(json: &RawValue, budget: usize) -> Option<(Box<RawValue>, Truncation)> {
    let bytes = json.get().len();
    if bytes <= budget {
        return None;
    }
    let kept = part(json, budget, MAX_DEPTH).filter(|kept| from_str::<Value>(kept).is_ok());
    let kept = kept.unwrap_or_else(|| start(json.get(), budget));
    let truncation = Truncation { bytes, kept: kept.len() };
    Some((RawValue::from_string(kept).ok()?, truncation))
}

fn part(json: &RawValue, budget: usize, depth: usize) -> Option<String> {
    // serde_json holds no nesting that is too deep, and no number that is too large.
    if json.get().len() <= budget.min(SMALL) && from_str::<Value>(json.get()).is_ok() {
        return Some(json.get().to_owned());
    }
    if json.get().starts_with('"') {
        return lenient::text(Some(json)).map(|text| start(&text, budget));
    }
    let depth = depth.checked_sub(1)?;
    let object = Object::of(Some(json));
    let mut fields: Vec<_> = object.fields().collect();
    fields.sort_by_key(|(name, _)| FIRST.split(' ').position(|known| known == *name).unwrap_or(usize::MAX));
    let mut kept = String::new();
    for (name, field) in fields {
        let before = format!("{}{}:", if kept.is_empty() { '{' } else { ',' }, Value::from(name));
        let left = budget.checked_sub(kept.len() + before.len() + 3);
        if let Some(field) = left.and_then(|left| part(field, left + 2, depth)) {
            kept = kept + &before + &field;
        }
    }
    (!kept.is_empty()).then(|| kept + "}")
}

/// Returns the beginning of `text` as a JSON string of at most `budget` bytes: a character takes up to six.
fn start(text: &str, budget: usize) -> String {
    Value::from(head(text, MAX_TEXT.min(budget.saturating_sub(2) / 6))).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn raw(value: &Value) -> Box<RawValue> {
        RawValue::from_string(value.to_string()).expect("JSON")
    }

    fn truncated(value: &Value, budget: usize) -> Value {
        let (kept, truncation) = fit(&raw(value), budget).expect("too large");
        assert!(
            kept.get().len() <= budget && truncation.kept == kept.get().len(),
            "{} of {budget}",
            kept.get().len()
        );
        assert_eq!(truncation.bytes, value.to_string().len());
        serde_json::from_str(kept.get()).expect("JSON")
    }

    #[test]
    fn json_within_the_budget_is_unchanged() {
        let value = json!({"id": "w"});
        assert!(fit(&raw(&value), value.to_string().len()).is_none());
    }

    #[test]
    fn small_fields_and_the_start_of_a_long_string_are_preserved() {
        let body = "long \"text\" ".repeat(10_000);
        let message = json!({"id": "wamid.1", "from": "1", "type": "text", "text": {"body": body},
            "context": {"id": "wamid.0", "new": body}, "referral": {"body": "short"}});
        let mut left = truncated(&message, 60_000);
        let text = left["text"]["body"].take();
        assert_eq!(text.as_str().expect("a string").len(), MAX_TEXT);
        assert!(body.starts_with(text.as_str().expect("a string")));
        assert_eq!(left["context"]["id"], "wamid.0");
        for small in ["id", "from", "type", "referral"] {
            assert_eq!(left[small], message[small]);
        }
    }

    #[test]
    fn a_long_list_is_left_out() {
        let items: Vec<_> = (0..1000).map(|n| json!({"product_retailer_id": n})).collect();
        let left =
            truncated(&json!({"id": "wamid.1", "order": {"product_items": items, "text": "both"}}), 3_000);
        assert_eq!(left, json!({"id": "wamid.1", "order": {"text": "both"}}));
    }

    #[test]
    fn many_fields_do_not_displace_the_identifying_ones() {
        let mut message = json!({"id": "wamid.1", "type": "text", "from_user_id": "US.1", "timestamp": "1"});
        for n in 0..4000 {
            message[format!("a{n}")] = json!("x".repeat(700));
        }
        let left = truncated(&message, 1_000_000);
        assert!(left.as_object().is_some_and(|fields| fields.len() > 1300));
        assert_eq!((&left["id"], &left["from_user_id"]), (&json!("wamid.1"), &json!("US.1")));
        let left = truncated(&message, 70);
        assert_eq!(left, json!({"id": "wamid.1", "from_user_id": "US.1", "type": "text", "timestamp": "1"}));
    }

    #[test]
    fn an_array_is_reduced_to_the_start_of_its_json() {
        let json = format!("[7,{}{}]", "[".repeat(900), "]".repeat(900));
        let (kept, _) = fit(&RawValue::from_string(json).expect("JSON"), 1_000).expect("too large");
        assert!(kept.get().starts_with("\"[7,[[[["), "{kept}");
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
        fn any_json_fits_after_truncation(value in any_json(), budget in 4usize..4_000) {
            let json = raw(&value);
            match fit(&json, budget) {
                None => prop_assert!(json.get().len() <= budget),
                Some((kept, truncation)) => {
                    prop_assert!(json.get().len() > budget && kept.get().len() <= budget);
                    prop_assert_eq!((truncation.bytes, truncation.kept), (json.get().len(), kept.get().len()));
                    serde_json::from_str::<&RawValue>(kept.get()).expect("JSON");
                }
            }
        }

        #[test]
        fn a_truncated_message_keeps_its_identifying_fields(rest in any_json(), budget in 400usize..4_000) {
            let mut message = json!({"id": "wamid.1", "from": "16505551234", "from_user_id": "US.1", "type": "text",
                "timestamp": "1", "context": {"id": "wamid.0"}, "text": {"body": "x".repeat(9_000)}});
            message["rest"] = rest;
            let left = truncated(&message, budget);
            for identifying in ["id", "from", "from_user_id", "type", "timestamp", "context"] {
                prop_assert_eq!(&left[identifying], &message[identifying]);
            }
        }
    }
}
