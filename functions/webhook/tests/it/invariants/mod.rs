//! The invariants for every request body. Checked on a corpus (`tests/it/corpus.rs`) and by a fuzzer (`fuzz`).

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::Value;
use serde_json::value::RawValue;
use shared::meta::envelope::{Envelope, V1};
use shared::meta::lenient::Object;
use webhook::batches::{self, Lane, MAX_BYTES, MAX_ENTRIES};
use webhook::entry::{Entry, MAX_BODY};
use webhook::payload::{self, Kind, Update};
use webhook::readable::{MAX_STORED, Readable};
use webhook::signature::{AppSecret, SignatureError};
use webhook::truncate;

/// The budget of truncation in bytes, in place of [`MAX_BODY`], which a fuzzer's inputs never reach.
const SMALL_BUDGET: usize = 64;

/// Maximum number of updates of a body: 2,000 messages and statuses, 2,000 events, the surplus, the unreadable part.
const MAX_UPDATES: usize = 4002;

/// Panics when an invariant is violated.
pub(crate) fn check(body: &[u8]) {
    check_signature(body);
    // A second reading by `serde_json`, which refuses unpaired surrogates and numbers beyond `f64`.
    let value = serde_json::from_slice::<Value>(body).ok();
    let readable = Readable::of(body);
    let updates = payload::read(&readable);
    check_readable(body, &readable);
    if updates.is_empty() {
        let mut objects = readable.documents.iter().map(|document| Object::of(Some(document)));
        let others = |object: Object<'_>| {
            object.text("object").is_some_and(|name| name != "whatsapp_business_account")
        };
        return assert!(objects.all(others), "no WhatsApp body is dropped");
    }
    assert!(updates.len() <= MAX_UPDATES, "bounded work");
    check_count(&updates, value.as_ref());

    let received_at = DateTime::from_timestamp_micros(1_749_416_384_500_000).expect("a time");
    let entries = Entry::all(&updates, received_at).expect("entries");
    assert_eq!(entries.len(), updates.len());
    for (position, (entry, update)) in entries.iter().zip(&updates).enumerate() {
        check_ids(entry);
        let position = i64::try_from(position).expect("a position");
        check_envelope(entry, update, received_at + TimeDelta::microseconds(position));
        check_truncation(update);
    }
    check_lanes(&batches::pack(entries.clone()), &entries);
}

/// Valid JSON is used unchanged; of any other body the unreadable part is stored, and no message is incomplete.
fn check_readable(body: &[u8], readable: &Readable<'_>) {
    match serde_json::from_slice::<&RawValue>(body) {
        Ok(json) if json.get() != "null" => {
            let documents: Vec<_> = readable.documents.iter().map(|document| document.get()).collect();
            assert_eq!(documents, [json.get()], "valid JSON is unchanged");
            assert!(!readable.is_repaired && readable.unreadable.is_none());
            check_damaged(json.get(), &messages(readable));
        }
        _ => {
            assert_eq!(readable.is_repaired, !readable.documents.is_empty());
            assert!(readable.is_repaired || readable.unreadable.is_some(), "the body is not dropped");
        }
    }
    if let Some(unreadable) = &readable.unreadable {
        assert!(unreadable.text.len() <= MAX_STORED.min(unreadable.bytes));
    }
}

/// The messages of a JSON body are read despite a byte order mark, NUL characters or a second document; without its
/// end, no incomplete message is read.
fn check_damaged(json: &str, messages_of_json: &[String]) {
    let with_mark = [b"\xef\xbb\xbf\0", json.as_bytes(), b"\0\0"].concat();
    if json.starts_with(['{', '[']) {
        assert_eq!(messages(&Readable::of(&with_mark)), messages_of_json, "byte order mark and NUL");
        let twice = [json, "\n", json].concat();
        assert_eq!(messages(&Readable::of(twice.as_bytes())), [messages_of_json, messages_of_json].concat());
    }
    // At a position that depends on the length of the body.
    let truncated = &json.as_bytes()[..json.len() * (json.len() % 16) / 16];
    let is_text = std::str::from_utf8(truncated).is_ok();
    let whole = |message: &String| !is_text || json.contains(message.as_str());
    assert!(messages(&Readable::of(truncated)).iter().all(whole), "an incomplete message");
}

/// The messages of a body, as they were sent.
fn messages(body: &Readable<'_>) -> Vec<String> {
    let message = |update: Update<'_>| match update.kind {
        Kind::Message { message, .. } | Kind::Echo { message, .. } => Some(message.get().to_owned()),
        Kind::Status(_) | Kind::Event { .. } => None,
    };
    payload::read(body).into_iter().filter_map(message).collect()
}

fn check_signature(body: &[u8]) {
    let secret = AppSecret::new(&SecretString::from("a secret of the tests"));
    let signature = secret.sign(body);
    assert_eq!(secret.verify(body, Some(&signature)), Ok(()));
    assert_eq!(secret.verify(&[body, b"\n"].concat(), Some(&signature)), Err(SignatureError::Wrong));
    let mut flipped = body.to_vec();
    // At a position that depends on the length of the body.
    if let Some(byte) = flipped.get_mut(body.len() / 2) {
        *byte ^= 1 << (body.len() % 8);
        assert_eq!(secret.verify(&flipped, Some(&signature)), Err(SignatureError::Wrong));
    }
}

/// At least as many messages and statuses are read as the body holds in the documented places.
fn check_count(updates: &[Update<'_>], value: Option<&Value>) {
    let elements = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let values: Vec<_> = value
        .map(|body| elements(&body["entry"]))
        .into_iter()
        .flatten()
        .flat_map(|entry| elements(&entry["changes"]))
        .flat_map(|change| [change["value"].clone(), change["value"]["standby"].clone()])
        .collect();
    let given = |key: &str| -> usize {
        values.iter().map(|value| elements(&value[key]).iter().filter(|one| !one.is_null()).count()).sum()
    };
    let read = |is: fn(&Kind<'_>) -> bool| updates.iter().filter(|update| is(&update.kind)).count();
    assert!(read(|kind| matches!(kind, Kind::Message { .. })) >= given("messages"), "no message is lost");
    assert!(read(|kind| matches!(kind, Kind::Echo { .. })) >= given("message_echoes"), "no echo is lost");
    assert!(read(|kind| matches!(kind, Kind::Status(_))) >= given("statuses"), "no status is lost");
}

/// Source: `SendMessageBatchRequestEntry` in the Amazon SQS API reference.
fn check_ids(entry: &Entry) {
    for id in [&entry.message_group_id, &entry.deduplication_id] {
        assert!((1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
    }
}

/// Source of the characters: `SendMessage` in the Amazon SQS API reference.
fn check_envelope(entry: &Entry, update: &Update<'_>, arrival: DateTime<Utc>) {
    assert!(entry.body.len() <= MAX_BODY);
    let allowed =
        |character: char| matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    assert!(entry.body.chars().all(allowed), "{:?}", entry.body);
    let Envelope::V1(envelope) = Envelope::from_body(&entry.body).expect("an envelope");
    let (received_at, truncation, sent, read) = match (&envelope, &update.kind) {
        (V1::Message(read), Kind::Message { sender, contact, message, .. })
        | (V1::Echo(read), Kind::Echo { recipient: sender, contact, message, .. }) => {
            assert_eq!(&read.sender, sender);
            check_carried(read.contact, *contact);
            check_carried(read.metadata, update.metadata);
            (read.received_at, read.truncation, *message, read.message)
        }
        (V1::Status(read), Kind::Status(status)) => {
            check_carried(read.metadata, update.metadata);
            (read.received_at, read.truncation, *status, read.status)
        }
        (V1::Event(read), Kind::Event { name, value }) => {
            assert!(name.starts_with(&read.name));
            check_carried(read.time, update.time);
            (read.received_at, read.truncation, &**value, read.value)
        }
        _ => panic!("{} for {:?}", entry.subject.update.name(), update.kind),
    };
    assert_eq!(received_at, arrival);
    assert_eq!(truncation.map(|truncation| truncation.bytes), entry.subject.original_bytes);
    match truncation {
        None => assert_eq!(read.get(), as_sent(sent)),
        Some(truncation) => {
            assert!(truncation.bytes == sent.get().len() && read.get().len() < truncation.bytes);
        }
    }
}

/// The context of an update arrives unchanged, or not at all when it is very large.
fn check_carried(read: Option<&RawValue>, given: Option<&RawValue>) {
    match (read, given) {
        (Some(read), Some(given)) => assert_eq!(read.get(), as_sent(given)),
        (None, Some(given)) => assert!(given.get().len() > 1024),
        (read, None) => assert!(read.is_none()),
    }
}

/// JSON with the escapes that an envelope uses.
fn as_sent(json: &RawValue) -> String {
    json.get().replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}

fn check_truncation(update: &Update<'_>) {
    let json = match &update.kind {
        Kind::Message { message: json, .. } | Kind::Echo { message: json, .. } | Kind::Status(json) => json,
        Kind::Event { value, .. } => &**value,
    };
    match truncate::fit(json, SMALL_BUDGET) {
        None => assert!(json.get().len() <= SMALL_BUDGET),
        Some((truncated, truncation)) => {
            assert!(truncated.get().len() <= SMALL_BUDGET && json.get().len() > SMALL_BUDGET);
            assert_eq!(truncation.bytes, json.get().len());
            serde_json::from_str::<Value>(truncated.get()).expect("JSON");
        }
    }
}

fn check_lanes(lanes: &[Lane], entries: &[Entry]) {
    let mut packed: HashMap<&str, Vec<(usize, &Entry)>> = HashMap::new();
    for (number, lane) in lanes.iter().enumerate() {
        assert!(!lane.batches.is_empty());
        for batch in &lane.batches {
            assert!((1..=MAX_ENTRIES).contains(&batch.entries.len()));
            assert!(batch.entries.iter().map(|entry| entry.body.len()).sum::<usize>() <= MAX_BYTES);
            for entry in &batch.entries {
                packed.entry(&entry.message_group_id).or_default().push((number, entry));
            }
        }
    }
    let mut given: HashMap<&str, Vec<&Entry>> = HashMap::new();
    for entry in entries {
        given.entry(&entry.message_group_id).or_default().push(entry);
    }
    assert_eq!(packed.len(), given.len(), "no group is lost");
    for (group, given) in given {
        let packed = &packed[group];
        assert!(packed.iter().all(|(lane, _)| *lane == packed[0].0), "a group is in one lane");
        assert!(packed.iter().map(|(_, entry)| *entry).eq(given), "a group is in order");
    }
}
