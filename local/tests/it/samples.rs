//! Every sample of `local/samples` through the real pipeline, each with what must become of it:
//! `samples.expected.json`. After a change that is meant, `UPDATE_EXPECTED=1 cargo test -p local --test it samples::`
//! writes that file anew; read the difference before you commit it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use local_stack::fresh_ids::FreshIds;
use local_stack::payloads;
use local_stack::play::{Played, Sent};
use serde_json::Value;

use local_testing::*;

/// File, name in it, lines that say what became of it.
type Expected = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

/// What became of a payload, a line for each thing, sorted: what two people get, they get in any order.
fn lines(played: &Played) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let echoes = played.echoes.iter().map(|echo| format!("echo to {}: {}", echo.to, text(&echo.body)));
    let row = |row: &local_stack::play::Row| format!("row {} {}: {}", row.role, text(&row.kind), row.content);
    let status = |one: &local_stack::play::Status| format!("status {} {}", one.status, one.outcome);
    let event = |event: &local_stack::play::Event| format!("event {} {}", event.field, event.outcome);
    let ignored = |one: &local_stack::play::Ignored| format!("ignored {}: {}", one.what, one.why);
    let mut lines: Vec<_> = echoes
        .chain(played.rows.iter().map(row))
        .chain(played.statuses.iter().map(status))
        .chain(played.events.iter().map(event))
        .chain(played.ignored.iter().map(ignored))
        .collect();
    lines.sort();
    lines
}

/// The messages of a payload, wherever its value stands.
fn messages(payload: &Value) -> Vec<Value> {
    match payload {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value) {
                ("messages" | "message_echoes", Value::Array(messages)) => messages.clone(),
                // Not a conversation of ours, or something quite different.
                ("history" | "edit" | "state_sync", _) => Vec::new(),
                (_, value) => messages(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(messages).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn of_every_sample_becomes_what_is_expected_of_it() {
    let stack = stack().await;
    let mut played: Expected = BTreeMap::new();
    let (mut sent, mut fresh_ids) = (Sent::default(), FreshIds::new(true));
    for mut sample in payloads::read(&[directory()]).expect("samples") {
        fresh_ids.replace_used(&mut sample);
        let outcome = stack.play_next(&sample.body, &mut sent).await.expect("played");
        let file = sample.file.strip_prefix(directory()).expect("a sample").display().to_string();
        assert_eq!(outcome.status, 200, "{file}: {}", sample.name);
        assert!(!outcome.incomplete, "{file}: {}: {:?}", sample.name, outcome.ignored);
        let payload: Value = serde_json::from_slice(&sample.body).expect("JSON");
        let messages = messages(&payload);
        assert_eq!(outcome.queued, messages.len(), "{file}: {}", sample.name);
        for message in messages {
            is_kept_as_it_was_sent(&stack, &message).await;
        }
        let lines = lines(&outcome);
        assert!(!lines.is_empty(), "{file}: {}", sample.name);
        played.entry(file).or_default().insert(sample.name, lines);
    }
    stack.stop().await.expect("stopped");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples.expected.json");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        let written = serde_json::to_string_pretty(&played).expect("JSON") + "\n";
        std::fs::write(&path, written).expect("written");
    }
    let expected: Expected =
        serde_json::from_slice(&std::fs::read(&path).expect("expectations")).expect("JSON");
    let differing = |file: &String, name: &String| {
        let of = |all: &Expected| all.get(file).and_then(|names| names.get(name)).cloned();
        (of(&played) != of(&expected)).then(|| (file.clone(), name.clone(), of(&played), of(&expected)))
    };
    let all = played.iter().chain(&expected);
    let differences: Vec<_> =
        all.flat_map(|(file, names)| names.keys().filter_map(move |name| differing(file, name))).collect();
    assert!(differences.is_empty(), "played, expected: {differences:#?}");
}

/// A message of a linked user is in their row, another one among the events, each as Meta sent it.
async fn is_kept_as_it_was_sent(stack: &local_stack::Stack, message: &Value) {
    let kept: (i64,) = sqlx::query_as(
        "select (select count(*) from messages where payload->'raw' = $1) +
            (select count(*) from account_events where payload = $1)",
    )
    .bind(message)
    .fetch_one(stack.services.supabase.pool())
    .await
    .expect("a count");
    assert_eq!(kept.0, 1, "{message}");
}
