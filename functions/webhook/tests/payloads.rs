//! Every message of every change of every entry, whatever else stands around it.

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::envelope::{Envelope, V1};
use webhook::entry::Entry;
use webhook::payload::{self, PayloadError};

const SAMPLES: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../local/samples/meta-webhook-examples.json"));

fn entries(payload: &Value) -> Vec<Entry> {
    let body = payload.to_string();
    let updates = payload::read(body.as_bytes()).expect("a WhatsApp payload");
    Entry::all(&updates.messages, DateTime::from_timestamp_nanos(1_234_567_890)).expect("entries")
}

/// The envelope of an entry, as JSON.
fn envelope(entry: &Entry) -> Value {
    Envelope::from_body(&entry.body).expect("an envelope");
    serde_json::from_str::<Value>(&entry.body).expect("JSON")["v1"]["message"].clone()
}

fn text(from: &str, id: &str) -> Value {
    json!({"from": from, "id": id, "timestamp": "1749416383", "type": "text", "text": {"body": "hi"}})
}

fn change(number: &str, messages: &[Value]) -> Value {
    json!({"field": "messages", "value": {"metadata": {"phone_number_id": number}, "messages": messages}})
}

fn payload(changes: &[Value]) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]})
}

#[test]
fn meta_s_samples_give_every_message_and_name_what_is_ignored() {
    let samples: serde_json::Map<String, Value> = serde_json::from_str(SAMPLES).expect("JSON");
    assert_eq!(samples.len(), 16);
    for (name, sample) in samples {
        let body = sample.to_string();
        let updates = payload::read(body.as_bytes()).expect("a WhatsApp payload");
        let value = &sample["entry"][0]["changes"][0]["value"];
        let expected = value["messages"].as_array().map_or(0, Vec::len);
        assert_eq!(updates.messages.len(), expected, "{name}");
        assert_eq!(updates.ignored.len(), usize::from(expected == 0), "{name}");
        for (entry, message) in
            entries(&sample).iter().zip(value["messages"].as_array().into_iter().flatten())
        {
            let envelope = envelope(entry);
            assert_eq!(envelope["message"], *message, "{name}");
            assert_eq!(envelope["metadata"], value["metadata"], "{name}");
            assert_eq!(envelope["contact"], value["contacts"][0], "{name}");
            assert_eq!(envelope["waba_id"], sample["entry"][0]["id"], "{name}");
            assert_eq!(entry.wamid.as_deref(), message["id"].as_str(), "{name}");
        }
    }
}

#[test]
fn several_entries_changes_and_messages_all_count() {
    let changes = [change("A", &[text("1", "w1"), text("2", "w2")]), change("B", &[text("1", "w3")])];
    let mut payload = payload(&changes);
    let second = payload["entry"][0].clone();
    payload["entry"].as_array_mut().expect("an array").push(second);
    let entries = entries(&payload);
    let wamids: Vec<_> = entries.iter().map(|entry| entry.wamid.as_deref().expect("a wamid")).collect();
    assert_eq!(wamids, ["w1", "w2", "w3", "w1", "w2", "w3"]);
    let times: Vec<_> = entries
        .iter()
        .map(|entry| {
            envelope(entry)["received_at"].as_str().expect("a time").parse::<DateTime<Utc>>().expect("a time")
        })
        .collect();
    let times: Vec<_> = times.iter().map(DateTime::timestamp_micros).collect();
    assert_eq!(times, [1_234_000, 1_234_001, 1_234_002, 1_234_003, 1_234_004, 1_234_005]);
}

#[test]
fn a_group_is_one_number_and_one_sender_and_a_deduplication_id_is_one_wamid() {
    let all = entries(&payload(&[
        change("A", &[text("1", "w1"), text("1", "w2"), text("2", "w3")]),
        change("B", &[text("1", "w1")]),
    ]));
    let [first, same_sender, other_sender, other_number] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(first.message_group_id, same_sender.message_group_id);
    assert_ne!(first.message_group_id, other_sender.message_group_id);
    assert_ne!(first.message_group_id, other_number.message_group_id);
    assert_eq!(first.deduplication_id, other_number.deduplication_id);
    assert_ne!(first.deduplication_id, same_sender.deduplication_id);
}

#[test]
fn ids_longer_than_sqs_allows_fit_and_do_not_show_the_number() {
    let bsuid = format!("US.{}", "a".repeat(128));
    let message =
        json!({"from_user_id": bsuid, "id": format!("wamid.{}/+", "x".repeat(300)), "type": "text"});
    let long = entries(&payload(&[change("A", &[message, text("16505551234", "w")])]));
    for entry in &long {
        for id in [&entry.message_group_id, &entry.deduplication_id] {
            assert_eq!(id.len(), 64);
            assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
        assert!(!entry.message_group_id.contains("16505551234"));
    }
}

#[test]
fn a_person_is_one_group_with_and_without_a_phone_number() {
    let with = json!({"from": "16505551234", "from_user_id": "US.1", "id": "w1"});
    let without = json!({"from_user_id": "US.1", "id": "w2"});
    let all = entries(&payload(&[change("A", &[with, without])]));
    assert_eq!(all[0].message_group_id, all[1].message_group_id);
}

#[test]
fn each_message_carries_its_own_sender_s_contact() {
    let contacts =
        json!([{"wa_id": "1", "profile": {"name": "One"}}, {"user_id": "US.2", "profile": {"name": "Two"}}]);
    let mut change =
        change("A", &[json!({"from_user_id": "US.2", "id": "w2"}), text("1", "w1"), text("3", "w3")]);
    change["value"]["contacts"] = contacts;
    let all = entries(&payload(&[change]));
    assert_eq!(envelope(&all[0])["contact"]["profile"]["name"], "Two");
    assert_eq!(envelope(&all[1])["contact"]["profile"]["name"], "One");
    assert_eq!(envelope(&all[2])["contact"], Value::Null);
}

#[test]
fn one_contact_and_two_senders_the_other_sender_has_none() {
    let mut change =
        change("A", &[json!({"from_user_id": "US.2", "id": "w2"}), text("16505551234", "w1"), json!({})]);
    change["value"]["contacts"] = json!([{"wa_id": "16505551234", "user_id": "US.1"}]);
    let all = entries(&payload(&[change]));
    let contacts: Vec<_> = all.iter().map(|entry| envelope(entry)["contact"]["user_id"].clone()).collect();
    // The third names nobody, and there is nobody else whom it could be from.
    assert_eq!(contacts, [json!(null), json!("US.1"), json!("US.1")]);
    assert_ne!(all[0].message_group_id, all[1].message_group_id);
    assert_eq!(all[1].message_group_id, all[2].message_group_id);
}

#[test]
fn a_person_is_one_group_whichever_of_message_and_contact_names_them() {
    let group = |message: Value, contacts: Value| {
        let mut change = change("A", &[message]);
        change["value"]["contacts"] = contacts;
        entries(&payload(&[change])).remove(0).message_group_id
    };
    let contact = json!([{"wa_id": "551187654321", "user_id": "BR.1"}]);
    let groups = [
        group(json!({"from": "5511987654321", "from_user_id": "BR.1"}), json!([])),
        group(json!({"from": "551187654321", "from_user_id": "BR.1"}), contact.clone()),
        group(json!({"from": "5511987654321"}), contact.clone()),
        group(json!({"from": "BR.1"}), contact.clone()),
        group(json!({"from_user_id": "BR.1"}), json!([{"wa_id": "1"}, {"wa_id": "551187654321"}])),
        group(json!({}), contact.clone()),
    ];
    assert!(groups.windows(2).all(|pair| pair[0] == pair[1]), "{groups:?}");
    assert_ne!(groups[0], group(json!({"from_user_id": "BR.2"}), contact), "somebody else's contact");
}

#[test]
fn a_thousand_contacts_find_their_messages() {
    let person = |n: usize| (format!("1650{n:07}"), format!("US.{n}"));
    let messages: Vec<_> = (0..1000)
        .map(|n| match person(n) {
            (number, _) if n % 3 == 0 => json!({"from": number}),
            (_, user_id) if n % 3 == 1 => json!({"from_user_id": user_id}),
            (number, user_id) => json!({"from": number, "from_user_id": user_id}),
        })
        .collect();
    let contact =
        |n| json!({"wa_id": person(n).0, "user_id": person(n).1, "profile": {"name": n.to_string()}});
    let mut change = change("A", &messages);
    change["value"]["contacts"] = (0..1000).rev().map(contact).collect();
    let body = payload(&[change]).to_string();
    let updates = payload::read(body.as_bytes()).expect("a WhatsApp payload");
    for (n, update) in updates.messages.iter().enumerate() {
        let contact: Value = serde_json::from_str(update.contact.expect("a contact").get()).expect("JSON");
        assert_eq!(contact["profile"]["name"], n.to_string());
    }
}

#[test]
fn what_is_not_a_message_is_named() {
    let statuses =
        json!({"field": "messages", "value": {"statuses": [{"status": "delivered"}, {"status": 7}, {}]}});
    let errors = json!({"field": "messages", "value": {"errors": [{"code": 130429}]}});
    let other = json!({"field": "account_update", "value": {"event": "X"}});
    let body = payload(&[statuses, errors, other, json!("?"), json!({"field": "calls"})]).to_string();
    let updates = payload::read(body.as_bytes()).expect("a WhatsApp payload");
    assert!(updates.messages.is_empty());
    let what: Vec<_> = updates.ignored.iter().map(|ignored| ignored.what.as_str()).collect();
    let expected = [
        "status delivered",
        "status 7",
        "status without a name",
        "an error of the account",
        "field account_update",
        "a change",
        "field calls",
    ];
    assert_eq!(what, expected);
}

#[test]
fn bodies_of_others_are_told_apart() {
    for body in ["", "hello", "{", "\u{feff}{}"] {
        assert_eq!(payload::read(body.as_bytes()).err(), Some(PayloadError::NotJson), "{body}");
    }
    assert_eq!(payload::read(b"\xff\xfe").err(), Some(PayloadError::NotJson));
    for body in ["null", "[]", "7", "{}", r#"{"entry":{}}"#, r#"{"object":"page","entry":[]}"#] {
        assert_eq!(payload::read(body.as_bytes()).err(), Some(PayloadError::NotWhatsApp), "{body}");
    }
}

/// Any JSON, a few levels deep, with Meta's own names among the keys.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(json!("whatsapp_business_account")),
    ];
    let key = prop_oneof![
        Just("object"),
        Just("entry"),
        Just("changes"),
        Just("value"),
        Just("messages"),
        Just("statuses"),
        Just("errors"),
        Just("contacts"),
        Just("metadata"),
        Just("id"),
        Just("from"),
        Just("field"),
        Just("type"),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(6, 64, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>) {
        let _ = payload::read(&body);
    }

    #[test]
    fn no_json_makes_it_panic(body in any_json()) {
        if let Ok(updates) = payload::read(body.to_string().as_bytes()) {
            prop_assert_eq!(Entry::all(&updates.messages, Utc::now()).expect("entries").len(), updates.messages.len());
        }
    }

    #[test]
    fn a_message_is_queued_whatever_it_holds_and_whatever_stands_beside_it(
        messages in prop::collection::vec(any_json(), 1..5), metadata in any_json(), contacts in any_json(), strange in any_json()
    ) {
        let value = json!({"messages": messages, "metadata": metadata, "contacts": contacts, "next_year": strange});
        let payload = payload(&[json!({"field": strange, "value": value}), strange.clone()]);
        let body = payload.to_string();
        let updates = payload::read(body.as_bytes()).expect("a WhatsApp payload");
        prop_assert!(updates.messages.len() >= messages.len());
        for (entry, message) in Entry::all(&updates.messages, Utc::now()).expect("entries").iter().zip(&messages) {
            let Ok(Envelope::V1(V1::Message(received))) = Envelope::from_body(&entry.body) else {
                panic!("no message: {}", entry.body);
            };
            prop_assert_eq!(received.message.get(), message.to_string());
        }
    }
}
