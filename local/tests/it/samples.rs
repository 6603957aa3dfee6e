//! Every sample of `local/samples` through the real pipeline, compared with its expected outcome in
//! `samples.expected.json`. After an intended change, `UPDATE_EXPECTED=1 cargo test -p local --test it samples::`
//! rewrites that file; read the difference before you commit it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use local_stack::fresh_ids::FreshIds;
use local_stack::payloads;
use local_stack::play::{Played, Sent};
use serde_json::Value;

use local_testing::*;

/// File, name of the payload in it, lines of its outcome.
type Expected = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

/// Returns the outcome of a payload as sorted lines, because the order of two senders' replies varies.
fn lines(played: &Played) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let replies = played.echoes.iter().map(|reply| format!("reply to {}: {}", reply.to, text(&reply.body)));
    let row = |row: &local_stack::play::Row| format!("row {} {}: {}", row.role, text(&row.kind), row.content);
    let status = |one: &local_stack::play::Status| format!("status {} {}", one.status, one.outcome);
    let event = |event: &local_stack::play::Event| format!("event {} {}", event.field, event.outcome);
    let ignored = |one: &local_stack::play::Ignored| format!("ignored {}: {}", one.what, one.why);
    let mut lines: Vec<_> = replies
        .chain(played.rows.iter().map(row))
        .chain(played.statuses.iter().map(status))
        .chain(played.events.iter().map(event))
        .chain(played.ignored.iter().map(ignored))
        .collect();
    lines.sort();
    lines
}

/// Returns the messages of a payload, at any depth.
fn messages(payload: &Value) -> Vec<Value> {
    match payload {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value) {
                ("messages" | "message_echoes", Value::Array(messages)) => messages.clone(),
                // Another conversation, or another kind of data.
                ("history" | "edit" | "state_sync", _) => Vec::new(),
                (_, value) => messages(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(messages).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn every_sample_has_its_expected_outcome() {
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
            assert_stored_unchanged(&stack, &message).await;
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

/// Checks that a linked user's message is stored in its row and another message as an event, both unchanged.
async fn assert_stored_unchanged(stack: &local_stack::Stack, message: &Value) {
    let stored: (i64,) = sqlx::query_as(
        "select (select count(*) from messages where payload->'raw' = $1) +
            (select count(*) from account_events where payload = $1)",
    )
    .bind(message)
    .fetch_one(stack.services.supabase.pool())
    .await
    .expect("a count");
    assert_eq!(stored.0, 1, "{message}");
}
