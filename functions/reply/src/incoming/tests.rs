use proptest::prelude::*;

use super::time::sent_at;
use super::*;

/// Parses a message. One without a sender gets a default one.
fn read(message: &str, contact: Option<&str>, metadata: Option<&str>) -> Incoming {
    let raw = |json| serde_json::from_str::<&RawValue>(json).expect("JSON");
    let (metadata, contact) = (metadata.map(raw), contact.map(raw));
    let received = ReceivedMessage { metadata, contact, ..received(raw(message)) };
    match Entry::read(&received) {
        Entry::Message(message) => *message,
        Entry::Event(_) => of(&ReceivedMessage { sender: Sender::parse("US.1"), ..received }),
    }
}

fn of(received: &ReceivedMessage<'_>) -> Incoming {
    match Entry::read(received) {
        Entry::Message(message) => *message,
        Entry::Event(event) => panic!("{event:?}"),
    }
}

fn received(message: &RawValue) -> ReceivedMessage<'_> {
    ReceivedMessage {
        received_at: DateTime::from_timestamp_micros(1_749_416_384_500_000).expect("a time"),
        waba_id: None,
        field: None,
        metadata: None,
        contact: None,
        sender: None,
        truncation: None,
        message,
    }
}

#[test]
fn a_sample_text_message_is_parsed() {
    let message = r#"{"from":"16505551234","id":"wamid.A","timestamp":"1749416383","type":"text","text":{"body":"Hi"}}"#;
    let metadata = r#"{"display_phone_number":"15550783881","phone_number_id":"106540352242922"}"#;
    let incoming = read(message, None, Some(metadata));
    assert_eq!(incoming.key.wamid().map(Wamid::as_str), Some("wamid.A"));
    assert_eq!(Some(incoming.sender.clone()), Sender::parse("16505551234"));
    assert_eq!(incoming.phone_number_id, "106540352242922".parse().ok());
    assert_eq!(incoming.content, Content::Text("Hi".to_owned()));
    assert_eq!(incoming.sent_at.timestamp(), 1_749_416_383);
    let shown = format!("{incoming:?}");
    assert!(!shown.contains("Hi") && !shown.contains("16505551234"), "{shown}");
}

#[test]
fn a_sender_without_a_number_is_identified_by_the_user_id() {
    let bsuid = "US.13491208655302741918";
    let by_message =
        format!(r#"{{"id":"wamid.A","from_user_id":"{bsuid}","type":"text","text":{{"body":"Hi"}}}}"#);
    assert_eq!(Some(read(&by_message, None, None).sender), Sender::parse(bsuid));
    let by_from = format!(r#"{{"from":"{bsuid}"}}"#);
    assert_eq!(Some(read(&by_from, None, None).sender), Sender::parse(bsuid));
    let contact = format!(r#"{{"user_id":"{bsuid}"}}"#);
    assert_eq!(Some(read("{}", Some(&contact), None).sender), Sender::parse(bsuid));
}

#[test]
fn messages_of_other_fields_get_no_reply() {
    let message = serde_json::from_str::<&RawValue>(r#"{"group_id":"Y2FwaV9ncm91cDox"}"#).expect("JSON");
    for (field, is_ours) in [(r#""messages""#, true), ("null", true), (r#""standby""#, false)] {
        let field = serde_json::from_str::<&RawValue>(field).expect("JSON");
        let sender = Sender::parse("US.1");
        let incoming = of(&ReceivedMessage { field: Some(field), sender, ..received(message) });
        assert_eq!(incoming.is_ours, is_ours);
        assert_eq!(incoming.group_id.as_deref(), Some("Y2FwaV9ncm91cDox"));
    }
}

#[test]
fn a_message_without_an_id_has_a_key_of_its_own() {
    let key = |message| read(message, None, None).key;
    assert_eq!(key(r#"{"id":"wamid.A"}"#), "wamid.A".into());
    let unnamed = key(r#"{"from":"1"}"#);
    assert!(unnamed.as_str().starts_with("unnamed."));
    assert_eq!(unnamed, key(r#"{"from":"1"}"#));
    assert_ne!(unnamed, key(r#"{"from":"2"}"#));
}

#[test]
fn system_messages_and_messages_without_a_sender_are_events() {
    let event = |message: &str| {
        let message = serde_json::from_str(message).expect("JSON");
        match Entry::read(&received(message)) {
            Entry::Message(_) => None,
            Entry::Event(stored) => Some(stored.event),
        }
    };
    let is_event = |message: &str| event(message).is_some();
    assert!(is_event(r#"{"from":"16505551234","type":"system","system":{"type":"something new"}}"#));
    assert!(is_event(r#"{"from":"16505551234","type":"request_welcome"}"#));
    assert!(is_event(r#"{"type":"text","text":{"body":"Hi"}}"#), "it has no sender");
    assert!(!is_event(r#"{"from":"16505551234","type":"hologram"}"#));
    let changed = r#"{"from":"16505551234","type":"system","system":{"type":"user_changed_number","wa_id":"12195555358"}}"#;
    assert_eq!(event(changed).expect("an event").changes.len(), 1);
}

/// The type and the content of a message.
fn content(message: &str) -> (String, Content) {
    let (kind, content) = Content::read(&Object::of(serde_json::from_str(message).ok()));
    (head(&kind, MAX_KIND).to_owned(), content)
}

/// The text in the history, the type and the words of a message in JSON.
fn shown(message: &str) -> (String, String, Option<String>) {
    let (kind, content) = content(message);
    (content.text(&kind), kind, content.said().map(str::to_owned))
}

#[test]
fn every_type_has_a_text_and_some_have_words() {
    for (message, text, said) in [
        (r#"{"type":"text","text":{"body":"Hi"}}"#, "Hi", true),
        (r#"{"type":"image","image":{"id":"1","caption":"Taj Mahal"}}"#, "Taj Mahal", true),
        (r#"{"type":"image","image":{"id":"1"}}"#, "[image]", false),
        (r#"{"type":"video","video":{"id":"1","caption":null}}"#, "[video]", false),
        (r#"{"type":"audio","audio":{"id":"1","voice":true}}"#, "[voice message]", false),
        (r#"{"type":"audio","audio":{"id":"1","voice":"yes"}}"#, "[audio]", false),
        (r#"{"type":"voice","voice":{"id":"1"}}"#, "[voice message]", false),
        (r#"{"type":"sticker","sticker":{"id":"1"}}"#, "[sticker]", false),
        (r#"{"type":"document","document":{"id":"1","filename":"bill.pdf"}}"#, "bill.pdf", false),
        (r#"{"type":"document","document":{"filename":"bill.pdf","caption":"Here"}}"#, "Here", true),
        (
            r#"{"type":"location","location":{"latitude":37.44,"longitude":-122.1,"name":"Philz"}}"#,
            "Philz",
            false,
        ),
        (
            r#"{"type":"location","location":{"latitude":37.44,"name":"Philz","address":"101 Forest Ave"}}"#,
            "101 Forest Ave",
            false,
        ),
        (r#"{"type":"location","location":{"latitude":37.44,"longitude":-122.1}}"#, "37.44, -122.1", false),
        (r#"{"type":"location","location":{"latitude":37.44}}"#, "[location]", false),
        (
            r#"{"type":"contacts","contacts":[{"name":{"formatted_name":"Lucía Gómez"}},{"name":{"first_name":"Bo"}}]}"#,
            "Lucía Gómez, Bo",
            false,
        ),
        (
            r#"{"type":"contacts","contacts":[{"phones":[{"phone":"+1 (983) 555-2319"}]}]}"#,
            "+1 (983) 555-2319",
            false,
        ),
        (r#"{"type":"contacts","contacts":[{"vcard":"…"}]}"#, "[contacts]", false),
        // Modelled on a public bug report: a card with a name only in its vCard.
        (
            r#"{"type":"contacts","contacts":[{"vcard":"BEGIN:VCARD\nFN:Lee Sample\nEND:VCARD","phones":[{"phone":"1"}]}]}"#,
            "Lee Sample",
            false,
        ),
        (r#"{"type":"button","button":{"payload":"P","text":"Unsubscribe"}}"#, "Unsubscribe", true),
        (
            r#"{"type":"interactive","interactive":{"type":"list_reply","list_reply":{"id":"1","title":"Express"}}}"#,
            "Express",
            true,
        ),
        (
            r#"{"type":"interactive","interactive":{"type":"button_reply","button_reply":{"id":"1","title":"Cancel"}}}"#,
            "Cancel",
            true,
        ),
        (
            r#"{"type":"interactive","interactive":{"nfm_reply":{"body":"Sent","response_json":"{}"}}}"#,
            "Sent",
            false,
        ),
        (r#"{"type":"interactive","interactive":{"nfm_reply":{"response_json":[1]}}}"#, "[form]", false),
        (
            r#"{"type":"interactive","interactive":{"call_permission_reply":{"response":"accept"}}}"#,
            "[call permission: accept]",
            false,
        ),
        (r#"{"type":"interactive","interactive":{"type":"nfm_reply"}}"#, "[interactive message]", false),
        (r#"{"type":"interactive"}"#, "[interactive message]", false),
        (r#"{"type":"reaction","reaction":{"message_id":"w","emoji":"👍"}}"#, "👍", false),
        (r#"{"type":"reaction","reaction":{"message_id":"w"}}"#, "[reaction taken back]", false),
        (r#"{"type":"order","order":{"text":"","product_items":[{},{}]}}"#, "[order of 2 products]", false),
        (r#"{"type":"order","order":{"text":"Soon, please"}}"#, "Soon, please", false),
        (
            r#"{"type":"edit","edit":{"original_message_id":"w","message":{"type":"text","text":{"body":"Ho"}}}}"#,
            "Ho",
            false,
        ),
        (
            r#"{"type":"edit","edit":{"message":{"type":"edit","edit":{"message":{}}}}}"#,
            "[edited message]",
            false,
        ),
        (r#"{"type":"revoke","revoke":{"original_message_id":"w"}}"#, "[deleted message]", false),
        (r#"{"type":"system","system":{"body":"User A changed"}}"#, "User A changed", false),
        (r#"{"type":"request_welcome"}"#, "[conversation opened]", false),
        (r#"{"type":"unsupported","errors":[{"code":131051}]}"#, "[unsupported message]", false),
        (
            r#"{"type":"unsupported","unsupported":{"type":"poll_creation"}}"#,
            "[unsupported message: poll_creation]",
            false,
        ),
        (r#"{"type":"unknown","errors":[{"code":131051}]}"#, "[unsupported message]", false),
        // Modelled on a public bug report: a known type without its body.
        (r#"{"type":"image","errors":[{"code":131052}]}"#, "[unsupported message]", false),
        (r#"{"type":"image","image":{},"errors":[{"code":131052}]}"#, "[unsupported message]", false),
        (r#"{"type":"text","text":{"body":"Hi"},"errors":[{"code":131051}]}"#, "Hi", true),
        (r#"{"type":"hologram","hologram":{}}"#, "[hologram message]", false),
        (r#"{"type":"a strange\nname"}"#, "[strange-name message]", false),
        (r#"{"text":{"body":"no type"}}"#, "no type", true),
        (r#"{"type":null,"image":{"id":"1"}}"#, "[image]", false),
        ("{}", "[message]", false),
    ] {
        let (shown, _, words) = shown(message);
        assert_eq!(shown, text, "{message}");
        assert_eq!(words.as_deref(), said.then_some(text), "{message}");
    }
    for kind in super::content::TYPES.iter().filter(|kind| **kind != "system") {
        let message = format!(r#"{{"type":"{kind}","errors":[{{"code":131051}}]}}"#);
        assert_eq!(shown(&message).0, "[unsupported message]", "{kind}");
    }
    for text in ["", r#","text":{}"#, r#","text":"Hi""#, r#","text":{"body":["Hi"]}"#] {
        let message = format!(r#"{{"type":"text"{text}}}"#);
        assert_eq!(read(&message, None, None).content, Content::Unreadable, "{text}");
        assert_eq!(shown(&message).0, "[text message]");
    }
}

#[test]
fn reactions_edits_and_revokes_refer_to_their_message() {
    for message in [
        r#"{"type":"reaction","reaction":{"message_id":"wamid.O"}}"#,
        r#"{"type":"edit","edit":{"original_message_id":"wamid.O"}}"#,
        r#"{"type":"revoke","revoke":{"original_message_id":"wamid.O"}}"#,
    ] {
        assert_eq!(
            read(message, None, None).content.refers_to().map(Wamid::as_str),
            Some("wamid.O"),
            "{message}"
        );
    }
    assert_eq!(read(r#"{"type":"text","text":{"body":"Hi"}}"#, None, None).content.refers_to(), None);
}

#[test]
fn nested_edits_of_any_depth_are_unreadable() {
    let level = r#"{"edit":{"message":"#;
    let message = format!("{}{{}}{}", level.repeat(10_000), "}}".repeat(10_000));
    let content = read(&message, None, None).content;
    assert_eq!(content, Content::Edit { of: None, content: Box::new(Content::Unreadable) });
}

#[test]
fn the_payload_has_common_fields_and_the_raw_message() {
    let message = r#"{"id":"w","type":"image","image":{"id":"1003","mime_type":"image/jpeg","sha256":"S="},"new":[1.50],
        "context":{"id":"wamid.0","from":"1","forwarded":true},"referral":{"source_id":"ad"},"group_id":"G"}"#;
    let payload = read(message, Some(r#"{"profile":{"name":"Sheena"}}"#), None).payload;
    let payload: serde_json::Value = serde_json::from_str(&payload).expect("JSON");
    let raw: serde_json::Value = serde_json::from_str(message).expect("JSON");
    let media =
        serde_json::json!([{"type": "image", "id": "1003", "mime_type": "image/jpeg", "sha256": "S="}]);
    let expected = serde_json::json!({
        "media": media, "quoted": {"id": "wamid.0", "from": "1"}, "forwarded": true, "referral": {"source_id": "ad"},
        "group_id": "G", "contact": {"profile": {"name": "Sheena"}}, "raw": raw,
    });
    assert_eq!(payload, expected);
    let strange =
        read(r#"{"id":"w","context":{"id":"a\u0000\ud83d"},"group_id":"\u0000"}"#, None, None).payload;
    assert!(
        !strange.contains("\\u0000") && !strange.contains("\\ud83d") && strange.contains("\\ufffd"),
        "{strange}"
    );
}

#[test]
fn the_sender_of_the_envelope_precedes_its_contact() {
    let message = serde_json::from_str::<&RawValue>(r#"{"from_user_id":"US.1"}"#).expect("JSON");
    let contact = serde_json::from_str(r#"{"wa_id":"16505551234","user_id":"US.1"}"#).ok();
    let older = of(&ReceivedMessage { contact, ..received(message) }).sender;
    assert_eq!(older.number().map(|number| number.digits()), Some("16505551234"));
    assert_eq!(older.user_id().map(|user_id| user_id.as_str()), Some("US.1"));
    let newer = ReceivedMessage { contact, sender: Sender::parse("US.1"), ..received(message) };
    assert_eq!(Some(of(&newer).sender), Sender::parse("US.1"));
}

#[test]
fn a_lone_surrogate_in_a_text_is_replaced() {
    let message = r#"{"type":"text","text":{"body":"Hi \ud83d"}}"#;
    assert_eq!(read(message, None, None).content, Content::Text("Hi \u{fffd}".to_owned()));
}

#[test]
fn the_time_of_arrival_replaces_an_implausible_timestamp() {
    const DAY: i64 = 24 * 3600;
    let arrival = 1_749_416_384;
    let sent_at = |timestamp: &str| {
        read(&format!(r#"{{"timestamp":{timestamp}}}"#), None, None).sent_at.timestamp_micros()
    };
    let plausible = [1_230_768_000, arrival - 7 * DAY, arrival, arrival + DAY];
    for second in plausible {
        assert_eq!(sent_at(&format!("\"{second}\"")) / 1_000_000, second);
    }
    // As seconds, milliseconds are a year beyond PostgreSQL's range.
    let implausible = [0, -1, 1_230_767_999, arrival + DAY + 1, arrival * 1000, 99_999_999_999_999_999];
    let unreadable = ["null", "\"soon\"", "[]"].map(str::to_owned);
    for timestamp in implausible.map(|second| format!("\"{second}\"")).into_iter().chain(unreadable) {
        assert_eq!(sent_at(&timestamp), 1_749_416_384_500_000, "{timestamp}");
    }
}

proptest! {
    #[test]
    fn messages_of_one_second_keep_the_order_of_arrival(
        second in 1_600_000_000i64..2_000_000_000, late in 0i64..1000, first in 0i64..10_000, gap in 1i64..10_000,
    ) {
        let timestamp = serde_json::value::to_raw_value(&second.to_string()).expect("JSON");
        let sent_at = |milliseconds: i64, position: i64| {
            let arrival = second * 1_000_000 + (late * 60_000 + milliseconds) * 1000 + position;
            sent_at(Some(&timestamp), DateTime::from_timestamp_micros(arrival).expect("a time"))
        };
        prop_assert!(sent_at(first, 0) < sent_at(first + gap, 0));
        prop_assert!((0..999).all(|position| sent_at(first, position) < sent_at(first, position + 1)));
        prop_assert_eq!((sent_at(0, 0).timestamp(), sent_at(59_999, 999).timestamp()), (second, second));
    }

    #[test]
    fn any_clock_yields_a_plausible_time(
        second: i64, received in -8_000_000_000_000_000i64..8_000_000_000_000_000, near: bool,
    ) {
        let second = if near { received / 1_000_000 + second % 3_000_000 } else { second };
        let timestamp = serde_json::value::to_raw_value(&second).expect("JSON");
        let received = DateTime::from_timestamp_micros(received).expect("a time");
        let sent = sent_at(Some(&timestamp), received);
        let known = sent.timestamp() >= 1_230_768_000 && (sent - received).num_days() <= 1;
        prop_assert!(sent == received || known, "{sent} for {received}");
    }

    #[test]
    fn parsing_never_panics(text in "\\PC*", number: f64) {
        let json = serde_json::json!({"id": number, "from": text, "timestamp": text, "type": [text], "text": text});
        read(&json.to_string(), Some(&json.to_string()), Some(&json.to_string()));
    }
}
