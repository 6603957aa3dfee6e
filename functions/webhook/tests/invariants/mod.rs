//! What holds for every body that can be posted. Checked with a corpus (`tests/corpus.rs`), and with whatever a fuzzer
//! thinks of (`functions/fuzz`).

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::Value;
use serde_json::value::RawValue;
use shared::envelope::{Envelope, V1};
use webhook::batches::{self, Lane, MAX_BYTES, MAX_ENTRIES};
use webhook::cut;
use webhook::entry::{Entry, MAX_BODY};
use webhook::payload::{self, Kind, PayloadError, Update};
use webhook::signature::{AppSecret, SignatureError};

/// Bytes into which everything must fit, in place of [`MAX_BODY`], which inputs of a fuzzer never reach.
const SMALL_BUDGET: usize = 64;

/// Panics where a promise does not hold.
pub fn check(body: &[u8]) {
    check_signature(body);
    // What serde_json can hold, for a second opinion: no half of a surrogate pair, no number beyond an `f64`.
    let value = serde_json::from_slice::<Value>(body).ok();
    let updates = match payload::read(body) {
        Ok(updates) => updates,
        Err(PayloadError::NotJson) => return assert!(value.is_none(), "JSON is read"),
        Err(PayloadError::NotWhatsApp) => {
            let object = value.map(|value| value["object"].clone());
            let others = |object: &Value| object.is_string() || object.is_number();
            return assert!(
                object.is_none_or(|object| others(&object) && object != "whatsapp_business_account")
            );
        }
    };
    assert!(!updates.is_empty(), "nothing that WhatsApp posts is left out");
    check_count(&updates, value.as_ref());

    let received_at = DateTime::from_timestamp_micros(1_749_416_384_500_000).expect("a time");
    let entries = Entry::all(&updates, received_at).expect("entries");
    assert_eq!(entries.len(), updates.len());
    for (position, (entry, update)) in entries.iter().zip(&updates).enumerate() {
        check_ids(entry);
        let position = i64::try_from(position).expect("a position");
        check_envelope(entry, update, received_at + TimeDelta::microseconds(position));
        check_cut(update);
    }
    check_lanes(&batches::pack(entries.clone()), &entries);
}

fn check_signature(body: &[u8]) {
    let secret = AppSecret::new(&SecretString::from("a secret of the tests"));
    let signature = secret.sign(body);
    assert_eq!(secret.verify(body, Some(&signature)), Ok(()));
    assert_eq!(secret.verify(&[body, b"\n"].concat(), Some(&signature)), Err(SignatureError::Wrong));
    let mut flipped = body.to_vec();
    // Another place for bodies of another length.
    if let Some(byte) = flipped.get_mut(body.len() / 2) {
        *byte ^= 1 << (body.len() % 8);
        assert_eq!(secret.verify(&flipped, Some(&signature)), Err(SignatureError::Wrong));
    }
}

/// Whatever else a body holds: as many messages and statuses as stand where Meta's documentation says.
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
    let (received_at, cut, sent, read) = match (&envelope, &update.kind) {
        (V1::Message(read), Kind::Message { sender, contact, message, .. }) => {
            assert_eq!(&read.sender, sender);
            check_carried(read.contact, *contact);
            check_carried(read.metadata, update.metadata);
            (read.received_at, read.cut, *message, read.message)
        }
        (V1::Status(read), Kind::Status(status)) => {
            check_carried(read.metadata, update.metadata);
            (read.received_at, read.cut, *status, read.status)
        }
        (V1::Event(read), Kind::Event { name, value }) => {
            assert!(name.starts_with(&read.name));
            check_carried(read.time, update.time);
            (read.received_at, read.cut, *value, read.value)
        }
        _ => panic!("{} for {:?}", entry.subject.update, update.kind),
    };
    assert_eq!(received_at, arrival);
    assert_eq!(cut.map(|cut| cut.bytes), entry.subject.cut_from);
    match cut {
        None => assert_eq!(read.get(), as_sent(sent)),
        Some(cut) => assert!(cut.bytes == sent.get().len() && read.get().len() < cut.bytes),
    }
}

/// What stands around an update arrives as it was, or not at all when it is very large.
fn check_carried(read: Option<&RawValue>, given: Option<&RawValue>) {
    match (read, given) {
        (Some(read), Some(given)) => assert_eq!(read.get(), as_sent(given)),
        (None, Some(given)) => assert!(given.get().len() > 16 * 1024),
        (read, None) => assert!(read.is_none()),
    }
}

/// JSON with the escapes of an envelope.
fn as_sent(json: &RawValue) -> String {
    json.get().replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}

fn check_cut(update: &Update<'_>) {
    let (Kind::Message { message: json, .. } | Kind::Status(json) | Kind::Event { value: json, .. }) =
        &update.kind;
    match cut::fit(json, SMALL_BUDGET) {
        None => assert!(json.get().len() <= SMALL_BUDGET),
        Some((kept, cut)) => {
            assert!(kept.get().len() <= SMALL_BUDGET && json.get().len() > SMALL_BUDGET);
            assert_eq!(cut.bytes, json.get().len());
            serde_json::from_str::<Value>(kept.get()).expect("JSON");
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
