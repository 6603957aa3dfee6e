//! Invariants for every body that a queue can deliver, checked with a corpus (`tests/it/corpus.rs`) and by a fuzzer
//! (`fuzz`).

use reply::delivery::Work;
use reply::history;
use reply::incoming::MessageEvent;
use serde_json::{Map, Value, json};
use shared::meta::envelope::Exchange;
use uuid::Uuid;

/// Fields with a user's words or contact data, which no log may show.
const PERSONAL: [&str; 26] = [
    "address",
    "body",
    "caption",
    "customer",
    "display_phone_number",
    "emoji",
    "filename",
    "first_name",
    "formatted_name",
    "from",
    "from_user_id",
    "last_name",
    "latitude",
    "longitude",
    "name",
    "new_wa_id",
    "phone",
    "previous_user_id",
    "recipient_id",
    "recipient_user_id",
    "response_json",
    "title",
    "to",
    "to_user_id",
    "user_id",
    "wa_id",
];

/// Replacements for these fields: a text, and a phone number and a user id, of which only the last digits may be shown.
const CANARIES: [&str; 3] = ["canary in a coal mine", "4915112345678", "DE.49151123456789"];

/// The parts of the replacements that must not be printed.
const HIDDEN: [&str; 2] = ["canary", "4915112345"];

/// Panics if an invariant does not hold. `body` is an envelope, or the content of one.
pub(crate) fn check(body: &[u8]) {
    let Ok(body) = std::str::from_utf8(body) else { return };
    check_body(body);
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        // JSON that `serde_json::Value` cannot represent may be in an envelope anyway.
        return envelopes(body).iter().for_each(|envelope| check_body(envelope));
    };
    envelopes(body).iter().for_each(|envelope| check_body(envelope));
    if HIDDEN.iter().any(|canary| body.contains(canary)) {
        return;
    }
    let mut personal = value;
    // The choice depends on the body's length, to vary it.
    replace(&mut personal, CANARIES[body.len() % CANARIES.len()]);
    let personal = personal.to_string();
    for envelope in envelopes(&personal).iter().chain([&personal]) {
        let printed = format!("{:?}", Work::read(envelope));
        assert!(!HIDDEN.iter().any(|canary| printed.contains(canary)), "{printed}");
    }
}

/// Envelopes with `json` as a message, an echo, a status and an event, and as their other fields.
fn envelopes(json: &str) -> [String; 4] {
    let around = format!(r#""received_at":"2026-11-24T03:05:00.123001Z","metadata":{json},"contact":{json}"#);
    [
        format!(r#"{{"v1":{{"message":{{{around},"field":"messages","message":{json}}}}}}}"#),
        format!(r#"{{"v1":{{"echo":{{{around},"field":"smb_message_echoes","message":{json}}}}}}}"#),
        format!(r#"{{"v1":{{"status":{{{around},"status":{json}}}}}}}"#),
        format!(r#"{{"v1":{{"event":{{{around},"time":{json},"name":"user_id_update","value":{json}}}}}}}"#),
    ]
}

/// Replaces every personal string by `canary`.
fn replace(value: &mut Value, canary: &str) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, field)| match field {
            Value::String(text) if PERSONAL.contains(&name.as_str()) => canary.clone_into(text),
            field => replace(field, canary),
        }),
        Value::Array(elements) => elements.iter_mut().for_each(|element| replace(element, canary)),
        _ => {}
    }
}

fn check_body(body: &str) {
    let Ok(work) = Work::read(body) else { return };
    assert!(work.name().is_none_or(|name| name.len() <= 64 && !name.chars().any(char::is_control)));
    match &work {
        Work::Answer(message) | Work::Echo(message) => {
            let payload = check_json(&message.payload);
            assert!(payload.get("raw").is_some(), "the raw message is stored");
            let exchange = Exchange {
                answer_payload: None,
                earlier: Vec::new(),
                key: message.key.clone(),
                phone_number_id: message.phone_number_id.as_ref().map(ToString::to_string),
                asked: message.asked(),
                answer: None,
                answer_wamids: Vec::new(),
                unanswered_because: None,
            };
            let rows = history::rows(Uuid::nil(), &exchange);
            assert!(rows[0].payload.is_some());
            check_json(&serde_json::to_string(&rows[0]).expect("a row"));
            assert!(
                !rows[0].content.is_empty() || message.content.said().is_some(),
                "every message has a text"
            );
        }
        Work::MessageEvent(MessageEvent { event, .. }) => {
            check_json(&event.payload);
        }
        Work::Status(status) => {
            check_json(&status.payload);
            check_texts(&[status.wamid.as_str(), &status.name]);
            check_texts(
                &[&status.error_text, &status.phone_number_id]
                    .map(|text| text.as_deref().unwrap_or_default()),
            );
        }
        Work::Event(event) => {
            check_json(&event.payload);
            check_texts(&[&event.name]);
            check_texts(
                &[&event.waba_id, &event.phone_number_id].map(|text| text.as_deref().unwrap_or_default()),
            );
        }
        Work::Record(_) => {}
    }
}

/// PostgreSQL's `text` can store any character but U+0000.
fn check_texts(texts: &[&str]) {
    assert!(texts.iter().all(|text| !text.contains('\0')), "{texts:?}");
}

/// Checks that PostgreSQL's `jsonb` can store `json`: no U+0000, no lone surrogate, no number beyond `numeric`.
fn check_json(json: &str) -> Map<String, Value> {
    // Lone surrogates and too large numbers are errors of the parser.
    let value = serde_json::from_str::<Value>(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    fn walk(value: &Value) {
        match value {
            Value::String(text) => check_texts(&[text]),
            Value::Array(elements) => elements.iter().for_each(walk),
            Value::Object(fields) => fields.iter().for_each(|(name, field)| {
                check_texts(&[name]);
                walk(field);
            }),
            _ => {}
        }
    }
    walk(&value);
    check_numbers(json);
    match value {
        Value::Object(fields) => fields,
        other => json!({ "raw": other }).as_object().cloned().unwrap_or_default(),
    }
}

/// `numeric` has at most 16383 digits after the decimal point, including those of a negative exponent: `1e-20000` is
/// refused.
/// Source: “Numeric Types”, PostgreSQL documentation.
fn check_numbers(json: &str) {
    // Between quotation marks, every other part is the content of a string.
    let outside = json.replace("\\\\", "").replace("\\\"", "");
    let outside: String = outside.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    for token in
        outside.split(|character: char| !(character.is_ascii_alphanumeric() || "+-.".contains(character)))
    {
        let (digits, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
        let is_number = digits.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        let exponent = exponent.parse::<i64>().unwrap_or(i64::MIN);
        let after_point = digits.split_once('.').map_or(0, |(_, digits)| digits.len());
        let scale = i64::try_from(after_point).expect("digits").saturating_sub(exponent);
        assert!(!is_number || scale <= 16_383, "{token}");
    }
}
