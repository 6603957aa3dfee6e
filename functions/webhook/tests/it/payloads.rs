//! Every update of every change of every entry is found, with any other content around it.

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::lambda::names::UpdateKind;
use shared::meta::envelope::Envelope;
use webhook::entry::Entry;
use webhook::payload::{self, Kind};
use webhook::readable::Readable;
use webhook::{batches, entry};

const SAMPLES: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../local/samples/meta-webhook-examples.json"));

fn entries(payload: &Value) -> Vec<Entry> {
    let body = payload.to_string();
    let body = Readable::of(body.as_bytes());
    let updates = payload::read(&body);
    Entry::all(&updates, DateTime::from_timestamp_nanos(1_234_567_890)).expect("entries")
}

/// The envelope of an entry, as JSON, without its version and kind.
fn envelope(entry: &Entry) -> Value {
    Envelope::from_body(&entry.body).expect("an envelope");
    serde_json::from_str::<Value>(&entry.body).expect("JSON")["v1"][entry.subject.update.name()].clone()
}

/// The descriptions of the entries, as in the log.
fn subjects(payload: &Value) -> Vec<String> {
    entries(payload).iter().map(|entry| entry.subject.to_string()).collect()
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
fn samples_of_meta_give_every_message_and_event() {
    let samples: serde_json::Map<String, Value> = serde_json::from_str(SAMPLES).expect("JSON");
    assert_eq!(samples.len(), 16);
    for (name, sample) in samples {
        let change = &sample["entry"][0]["changes"][0];
        let (field, value) = (change["field"].as_str().expect("a field"), &change["value"]);
        let messages: Vec<_> = value["messages"].as_array().into_iter().flatten().collect();
        let entries = entries(&sample);
        assert_eq!(entries.len(), messages.len().max(1), "{name}");
        if messages.is_empty() {
            assert_eq!(envelope(&entries[0])["value"], *value, "{name}");
            assert_eq!(entries[0].subject.to_string(), format!("event {field}"));
            continue;
        }
        for (entry, message) in entries.iter().zip(messages) {
            let envelope = envelope(entry);
            assert_eq!(envelope["message"], *message, "{name}");
            assert_eq!(envelope["metadata"], value["metadata"], "{name}");
            assert_eq!(envelope["contact"], value["contacts"][0], "{name}");
            assert_eq!(envelope["waba_id"], sample["entry"][0]["id"], "{name}");
            assert_eq!(envelope["sender"], json!({"phone": "16505551234"}), "{name}");
            assert_eq!(entry.subject.wamid.as_deref(), message["id"].as_str(), "{name}");
        }
    }
}

#[test]
fn all_entries_changes_and_messages_are_read() {
    let changes = [change("A", &[text("1", "w1"), text("2", "w2")]), change("B", &[text("1", "w3")])];
    let mut payload = payload(&changes);
    let second = payload["entry"][0].clone();
    payload["entry"].as_array_mut().expect("an array").push(second);
    let entries = entries(&payload);
    let wamids: Vec<_> =
        entries.iter().map(|entry| entry.subject.wamid.as_deref().expect("a wamid")).collect();
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
fn a_group_is_per_number_and_sender_a_dedup_id_per_wamid() {
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
fn long_ids_are_hashed_and_hide_the_phone_number() {
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
fn a_user_is_one_group_with_and_without_a_phone_number() {
    let with = json!({"from": "16505551234", "from_user_id": "US.1", "id": "w1"});
    let without = json!({"from_user_id": "US.1", "id": "w2"});
    let all = entries(&payload(&[change("A", &[with, without])]));
    assert_eq!(all[0].message_group_id, all[1].message_group_id);
}

#[test]
fn each_message_carries_the_contact_of_its_sender() {
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
fn an_identity_change_is_in_the_group_of_the_new_identity() {
    let groups = |changes: &[Value]| -> Vec<String> {
        entries(&payload(changes)).into_iter().map(|entry| entry.message_group_id).collect()
    };
    let by_user_id = json!({"from_user_id": "US.B", "id": "wamid.1", "type": "text", "text": {"body": "hi"}});
    let of_new = groups(&[change("N", &[by_user_id])]).remove(0);
    let system = |system: Value| json!({"from": "1", "from_user_id": "US.A", "id": "w", "type": "system", "system": system});
    let both =
        json!({"type": "user_changed_number", "wa_id": "2", "user_id": "US.B", "previous_user_id": "US.A"});
    assert_eq!(groups(&[change("N", &[system(both.clone())])])[0], of_new);
    assert_ne!(groups(&[change("M", &[system(both)])])[0], of_new, "another business number");
    let update = json!({"field": "user_id_update", "value": {"metadata": {"phone_number_id": "N"},
        "user_id_update": [{"user_id": {"previous": "US.A", "current": "US.B"}}]}});
    assert_eq!(groups(&[update])[0], of_new);
    let of_number = groups(&[change("N", &[text("2", "wamid.2")])]).remove(0);
    let number = json!({"type": "user_changed_number", "wa_id": "2"});
    assert_eq!(
        groups(&[change("N", &[json!({"from": "1", "id": "w", "type": "system", "system": number})])])[0],
        of_number
    );
    // A system message without an identity change stays in its sender's group.
    let other =
        groups(&[change("N", &[system(json!({"type": "something_new", "user_id": "US.B"}))])]).remove(0);
    assert_ne!(other, of_new);
}

#[test]
fn a_contact_belongs_to_one_of_two_senders() {
    let mut change =
        change("A", &[json!({"from_user_id": "US.2", "id": "w2"}), text("16505551234", "w1"), json!({})]);
    change["value"]["contacts"] = json!([{"wa_id": "16505551234", "user_id": "US.1"}]);
    let all = entries(&payload(&[change]));
    let contacts: Vec<_> = all.iter().map(|entry| envelope(entry)["contact"]["user_id"].clone()).collect();
    // The third message names no sender, and there is only one contact that it could be from.
    assert_eq!(contacts, [json!(null), json!("US.1"), json!("US.1")]);
    assert_ne!(all[0].message_group_id, all[1].message_group_id);
    assert_eq!(all[1].message_group_id, all[2].message_group_id);
}

#[test]
fn a_user_named_by_message_or_contact_is_one_group() {
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
    assert_ne!(groups[0], group(json!({"from_user_id": "BR.2"}), contact), "the contact of another user");
}

#[test]
fn a_business_echo_is_in_the_group_of_its_recipient() {
    let echo = |message: Value| {
        json!({"field": "smb_message_echoes", "value": {"metadata": {"phone_number_id": "A"},
        "contacts": [{"wa_id": "16505551234", "user_id": "US.1"}], "message_echoes": [message]}})
    };
    let mut asks = change("A", &[text("16505551234", "w1")]);
    asks["value"]["contacts"] = json!([{"wa_id": "16505551234", "user_id": "US.1"}]);
    let written =
        json!({"from": "15550783881", "to": "16505551234", "id": "w2", "type": "text", "new": [1.50]});
    let all = entries(&payload(&[
        asks,
        echo(written.clone()),
        echo(json!({"to_user_id": "US.1", "id": "w3"})),
        echo(json!({"to_user_id": "US.2", "id": "w4"})),
    ]));
    assert!(all[..3].iter().all(|entry| entry.message_group_id == all[0].message_group_id));
    assert_ne!(all[3].message_group_id, all[0].message_group_id);
    assert_eq!(
        all.iter().map(|entry| entry.subject.to_string()).collect::<Vec<_>>(),
        ["message w1", "echo w2", "echo w3", "echo w4"]
    );
    let body = envelope(&all[1]);
    assert_eq!((&body["message"], &body["field"]), (&written, &json!("smb_message_echoes")));
    assert_eq!(body["sender"], json!({"phone": "16505551234", "user_id": "US.1"}));
    // In any webhook field, and without one.
    for value in [json!({"message_echoes": [written]}), json!({"value": {"message_echoes": [written]}})] {
        assert_eq!(subjects(&value), ["echo w2"]);
    }
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
    let body = Readable::of(body.as_bytes());
    let updates = payload::read(&body);
    for (n, update) in updates.iter().enumerate() {
        let Kind::Message { contact: Some(contact), .. } = &update.kind else { panic!("{n}: no contact") };
        let contact: Value = serde_json::from_str(contact.get()).expect("JSON");
        assert_eq!(contact["profile"]["name"], n.to_string());
    }
}

#[test]
fn statuses_and_events_are_queued_under_their_names() {
    let status = |name: &str| json!({"id": "w1", "status": name, "timestamp": "1"});
    let mixed = json!({"field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": {"phone_number_id": "A"}, "contacts": [{"wa_id": "1"}],
        "messages": [text("1", "w2")], "statuses": [status("delivered"), status("a new one"), {}],
        "errors": [{"code": 130429}], "calls": [{"id": "c"}], "nothing": null,
    }});
    let other = json!({"field": "account_update", "value": {"event": "X", "errors": [{"code": 1}]}});
    let errors = json!({"field": "messages", "value": {"metadata": {"phone_number_id": "A"}, "errors": [{"code": 131000}]}});
    let changes =
        [mixed, other, errors, json!("?"), json!({"field": "calls"}), json!({"value": {"event": "Y"}})];
    let expected = [
        "message w2",
        "status delivered w1",
        "status strange-name w1",
        "status",
        "event messages.calls",
        "event errors",
        "event account_update",
        "event errors",
        "event change",
        "event calls",
        "event change",
    ];
    let payload = payload(&changes);
    let mut named = subjects(&payload);
    let mut expected = expected.map(str::to_owned);
    named.sort();
    expected.sort();
    assert_eq!(named, expected);
    let all = entries(&payload);
    let [message, delivered, strange] = &all[..3] else { panic!("{all:?}") };
    assert_eq!(envelope(delivered)["metadata"]["phone_number_id"], "A");
    assert_eq!(envelope(delivered)["status"], status("delivered"));
    // Statuses of one message stay in order, and delay no message of the user.
    assert_eq!(delivered.message_group_id, strange.message_group_id);
    assert_ne!(delivered.message_group_id, message.message_group_id);
    assert_ne!(delivered.deduplication_id, strange.deduplication_id);
    let errors = all.iter().find(|entry| entry.subject.name.as_deref() == Some("errors")).expect("errors");
    assert_eq!(envelope(errors)["value"], json!([{"code": 130429}]));
}

#[test]
fn bare_changes_are_read_and_unknown_bodies_are_stored() {
    let change = change("A", &[text("1", "w1")]);
    assert_eq!(subjects(&change), ["message w1"]);
    assert_eq!(subjects(&change["value"]), ["message w1"]);
    assert_eq!(subjects(&json!({"entry": {"changes": change}})), ["message w1"]);
    let lone = json!({"field": "messages", "value": {"messages": text("1", "w1")}});
    assert_eq!(subjects(&payload(&[lone])), ["message w1"]);
    for strange in
        [json!({}), json!([]), json!(7), json!({"object": "whatsapp_business_account", "entry": []})]
    {
        assert_eq!(subjects(&strange), ["event payload"], "{strange}");
        assert_eq!(envelope(&entries(&strange)[0])["value"], strange);
    }
    assert_eq!(subjects(&json!({"entry": [{"id": "1"}, "?"]})), ["event entry", "event entry"]);
    let standby = |value: Value| payload(&[json!({"field": "standby", "value": {"standby": value}})]);
    assert_eq!(subjects(&standby(json!({"messages": [text("1", "w1")]}))), ["message w1"]);
    assert_eq!(subjects(&standby(json!({}))), ["event standby"]);
}

#[test]
fn messages_next_to_and_in_a_standby_are_read_at_any_depth() {
    let value =
        json!({"messages": [text("1", "w1")], "standby": {"messages": [text("1", "w2")], "x": 1}, "y": 2});
    let payload = payload(&[json!({"field": "standby", "value": value})]);
    assert_eq!(subjects(&payload), ["message w2", "event standby.x", "message w1", "event standby.y"]);
    let level = r#"{"messages":[1],"standby":"#;
    let body = format!("{{\"value\":{}1{}}}", level.repeat(10_000), "}".repeat(10_000));
    assert_eq!(payload::read(&Readable::of(body.as_bytes())).len(), 3);
}

#[test]
fn a_body_of_another_product_is_ignored_unless_it_has_a_message() {
    let instagram = json!({"object": "instagram", "entry": [{"id": "1", "time": 1, "messaging": [{"message": {"text": "hi"}}]}]});
    let page =
        json!({"object": "page", "entry": [{"changes": [{"field": "feed", "value": {"message": "hi"}}]}]});
    for body in [instagram, page, json!({"object": "page", "entry": []})] {
        assert_eq!(subjects(&body), [""; 0], "{body}");
    }
    let mut damaged = payload(&[change("A", &[text("1", "w1")])]);
    damaged["object"] = json!("whatsapp_business_acc\u{fffd}unt");
    assert_eq!(subjects(&damaged), ["message w1"]);
}

#[test]
fn a_truncated_update_keeps_its_ids_and_records_its_size() {
    let long = "x".repeat(2 * 1024 * 1024);
    let mut message = text("16505551234", "w1");
    message["text"]["body"] = json!(long);
    let status = json!({"id": "w2", "status": "failed", "errors": [{"title": long}]});
    let change = json!({"field": "messages", "value": {"messages": [message], "statuses": [status], "big": [long],
        "metadata": {"phone_number_id": "A"}, "contacts": [{"wa_id": "16505551234", "profile": {"name": long}}]}});
    let all = entries(&payload(&[change]));
    assert_eq!(all.len(), 3);
    for entry in &all {
        assert!(entry.body.len() <= entry::MAX_BODY);
        assert!(entry.subject.original_bytes.is_some_and(|bytes| bytes > long.len()));
        let truncation = &envelope(entry)["truncation"];
        assert_eq!(truncation["bytes"], entry.subject.original_bytes.expect("a truncated update"));
    }
    let message = envelope(&all[0]);
    assert_eq!(
        (&message["message"]["id"], &message["sender"]["phone"]),
        (&json!("w1"), &json!("16505551234"))
    );
    assert!(message["message"]["text"]["body"].as_str().is_some_and(|body| long[..4096] == *body));
    assert_eq!(envelope(&all[1])["status"]["status"], "failed");
}

#[test]
fn escaped_characters_count_with_their_escaped_size() {
    let mut message = text("16505551234", "w1");
    message["text"]["body"] = json!("\u{ffff}".repeat(entry::MAX_BODY / 4));
    let all = entries(&payload(&[change("A", &[message])]));
    assert!(all[0].body.len() <= entry::MAX_BODY && all[0].subject.original_bytes.is_some());
}

#[test]
fn a_thousand_updates_of_3_mb_fit_the_limits_of_sqs() {
    let body = "y".repeat(2_850);
    let updates = (0..1000).map(|n| {
        let mut message = text(&format!("1650555{:04}", n % 97), &format!("w{n}"));
        message["text"]["body"] = json!(body);
        let status = json!({"id": format!("w{n}"), "status": "delivered", "errors": [{"title": body}]});
        if n % 2 == 0 { ("messages", message) } else { ("statuses", status) }
    });
    let changes: Vec<_> = updates
        .map(|(key, update)| json!({"field": "messages", "value": {"metadata": {"phone_number_id": "A"}, key: [update]}}))
        .collect();
    let payload = payload(&changes);
    assert!(payload.to_string().len() > 2_900_000);
    let all = entries(&payload);
    assert_eq!(all.len(), 1000);
    let batches: Vec<_> = batches::pack(all).into_iter().flat_map(|lane| lane.batches).collect();
    let entries_of = |batch: &batches::Batch| batch.entries.len();
    assert_eq!(batches.iter().map(entries_of).sum::<usize>(), 1000);
    for batch in &batches {
        let bytes: usize = batch.entries.iter().map(|entry| entry.body.len()).sum();
        assert!(entries_of(batch) <= batches::MAX_ENTRIES && bytes <= batches::MAX_BYTES);
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
    fn any_bytes_are_read_without_a_panic(body: Vec<u8>) {
        let body = Readable::of(&body);
        prop_assert!(!payload::read(&body).is_empty(), "the body is not dropped");
    }

    #[test]
    fn any_json_is_read_without_a_panic(body in any_json()) {
        let is_foreign = body["object"].is_string() || body["object"].is_number();
        let body = body.to_string();
        let readable = Readable::of(body.as_bytes());
        let updates = payload::read(&readable);
        prop_assert!(is_foreign || !updates.is_empty(), "the body is not dropped");
        prop_assert_eq!(Entry::all(&updates, Utc::now()).expect("entries").len(), updates.len());
    }

    #[test]
    fn every_update_is_queued_with_any_content_and_context(
        messages in prop::collection::vec(any_json(), 0..5), statuses in prop::collection::vec(any_json(), 0..5),
        metadata in any_json(), contacts in any_json(), strange in any_json()
    ) {
        let value = json!({"messages": messages, "statuses": statuses, "metadata": metadata, "contacts": contacts,
            "next_year": strange, "errors": [1]});
        let payload = payload(&[json!({"field": strange, "value": value})]);
        let entries = entries(&payload);
        let given = messages.iter().chain(&statuses).filter(|update| !update.is_null());
        for (entry, update) in entries.iter().zip(given.clone()) {
            // Parsed again, because a number may lose its last digit when it is written and read.
            let update: Value = serde_json::from_str(&update.to_string()).expect("JSON");
            prop_assert_eq!(&envelope(entry)[entry.subject.update.name()], &update);
        }
        let is_message = |entry: &&Entry| entry.subject.update == UpdateKind::Message;
        prop_assert_eq!(entries.iter().filter(is_message).count(), messages.iter().filter(|one| !one.is_null()).count());
        // A value without messages and statuses is one event.
        let others = 1 + usize::from(given.clone().count() > 0 && !strange.is_null());
        prop_assert_eq!(entries.len(), given.count() + others);
    }
}
