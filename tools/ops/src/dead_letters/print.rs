//! Output of dead letters for a terminal. Without `--body`, phone numbers and message texts are masked, and wamids,
//! which contain a number, are shortened as in the functions' logs.

use std::fmt::Write;

use serde_json::Value;
use shared::lambda::logging::{Masked, ShortWamid};

use super::cause::Kind;
use super::queue::DeadLetter;
use super::reasons::Reasons;

/// Fields of an envelope without personal data.
const PLAIN: [&str; 11] = [
    "at",
    "display_phone_number",
    "field",
    "messaging_product",
    "phone_number_id",
    "received_at",
    "status",
    "timestamp",
    "type",
    "unanswered_because",
    "waba_id",
];
/// Fields with wamids.
const WAMIDS: [&str; 5] = ["answer_wamids", "id", "message_id", "refers_to", "wamid"];
/// Fields that identify a user.
const IDENTITIES: [&str; 7] = ["from", "from_user_id", "phone", "recipient_id", "sender", "user_id", "wa_id"];

/// Returns a table with the cause of each dead letter, and a hint for causes that only the log has.
#[must_use]
pub fn table(letters: &[DeadLetter], reasons: &Reasons) -> String {
    let mut table = terminal::table(["message id", "sent", "receives", "kind", "wamid", "cause"]);
    for letter in letters {
        table.add_row([
            letter.message_id.clone(),
            sent(letter),
            letter.receives.to_string(),
            letter.finding.kind.name().to_owned(),
            wamid(letter).unwrap_or("-").to_owned(),
            cause(letter, reasons),
        ]);
    }
    let mut text = table.trim_fmt() + "\n";
    text.push_str(&log_hint(letters, reasons));
    text
}

/// Returns all details of one dead letter.
#[must_use]
pub fn letter(letter: &DeadLetter, reasons: &Reasons, body: bool) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<11} {value}");
    };
    line("message id", &letter.message_id);
    line("sent", &sent(letter));
    line("receives", &format!("{} (this read included)", letter.receives));
    line("from queue", letter.source.as_deref().unwrap_or("unknown"));
    line("group", letter.group.as_deref().unwrap_or("-"));
    line("kind", letter.finding.kind.name());
    line("wamid", wamid(letter).unwrap_or("-"));
    line("cause", &cause(letter, reasons));
    line("body", &format!("{} bytes", letter.body.len()));
    let json = serde_json::from_str::<Value>(&letter.body).ok();
    match (json, body) {
        (Some(json), true) => {
            let _ = writeln!(text, "{json:#}");
        }
        (Some(json), false) if letter.finding.kind != Kind::Unreadable => {
            let _ = writeln!(text, "{:#}", masked("", json));
        }
        (None, true) => {
            let _ = writeln!(text, "{}", letter.body);
        }
        // Personal data in an unreadable body cannot be identified.
        (_, false) => text.push_str("(not shown: --body shows it)\n"),
    }
    text.push_str(&log_hint(std::slice::from_ref(letter), reasons));
    text
}

fn sent(letter: &DeadLetter) -> String {
    letter.sent_at.map_or_else(|| "-".to_owned(), |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn wamid(letter: &DeadLetter) -> Option<&str> {
    letter.finding.wamid.as_deref().map(|wamid| ShortWamid::of(wamid).as_str())
}

fn logged<'r>(letter: &DeadLetter, reasons: &'r Reasons) -> Option<&'r str> {
    letter.finding.wamid.as_deref().and_then(|wamid| reasons.of(wamid))
}

fn cause(letter: &DeadLetter, reasons: &Reasons) -> String {
    let known = letter.cause.as_deref().or_else(|| logged(letter, reasons));
    known.unwrap_or(&letter.finding.cause).to_owned()
}

fn log_hint(letters: &[DeadLetter], reasons: &Reasons) -> String {
    let unknown = letters.iter().filter(|letter| letter.cause.is_none() && letter.finding.cause_in_log);
    let unknown = unknown.filter(|letter| logged(letter, reasons).is_none());
    let wamids: Vec<String> = unknown.filter_map(|letter| Some(format!("{:?}", wamid(letter)?))).collect();
    if wamids.is_empty() {
        return String::new();
    }
    format!(
        "\nThe last error of each is in the log of reply: pass that log with --logs FILE, or query Logs Insights:\n  \
         fields @timestamp, wamid, reason | filter outcome = \"returned\" and wamid in [{}] | sort @timestamp desc\n",
        wamids.join(", ")
    )
}

/// Returns the value with personal data masked; unknown fields are masked too.
fn masked(name: &str, value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let value = masked(&name, value);
                    (name, value)
                })
                .collect(),
        ),
        Value::Array(values) => values.into_iter().map(|value| masked(name, value)).collect(),
        Value::String(id) if WAMIDS.contains(&name) => ShortWamid::of(&id).as_str().into(),
        value if PLAIN.contains(&name) || value.is_null() || value.is_boolean() => value,
        Value::String(id) if IDENTITIES.contains(&name) => Masked(&id).to_string().into(),
        Value::String(text) => format!("… ({} characters)", text.chars().count()).into(),
        _ => "…".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_not_known_to_be_harmless_are_masked() {
        let envelope = json!({"v1": {"message": {
            "received_at": "2026-11-24T03:05:00Z",
            "contact": {"profile": {"name": "Sheena"}, "wa_id": "16505551234"},
            "message": {"id": "wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=", "from": "16505551234", "type": "location",
                "location": {"latitude": 37.44, "new_in_2027": ["private"]}},
        }}});
        let masked = masked("", envelope).to_string();
        for private in ["Sheena", "16505551234", "wamid.HBgL", "37.44", "private"] {
            assert!(!masked.contains(private), "{masked}");
        }
        for plain in ["RTAzODEwMTQ0RgA=", "2026-11-24T03:05:00Z", "location", "…234"] {
            assert!(masked.contains(plain), "{masked}");
        }
    }
}
