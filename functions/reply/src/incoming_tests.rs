use proptest::prelude::*;

use super::*;

fn read(message: &str, contact: Option<&str>, metadata: Option<&str>) -> Incoming {
    let raw = |json| serde_json::from_str::<&RawValue>(json).expect("JSON");
    Incoming::read(&ReceivedMessage {
        received_at: DateTime::from_timestamp_micros(1_749_416_384_500_000).expect("a time"),
        waba_id: None,
        field: None,
        metadata: metadata.map(raw),
        contact: contact.map(raw),
        message: raw(message),
    })
}

#[test]
fn a_text_message_of_meta_s_samples() {
    let message = r#"{"from":"16505551234","id":"wamid.A","timestamp":"1749416383","type":"text","text":{"body":"Hi"}}"#;
    let metadata = r#"{"display_phone_number":"15550783881","phone_number_id":"106540352242922"}"#;
    let incoming = read(message, None, Some(metadata));
    assert_eq!(incoming.wamid.as_deref(), Some("wamid.A"));
    assert_eq!(incoming.sender, Some(Sender::Phone("16505551234".to_owned())));
    assert_eq!(incoming.phone_number_id, "106540352242922".parse().ok());
    assert_eq!(incoming.content, Content::Text("Hi".to_owned()));
    assert_eq!(incoming.sent_at.timestamp(), 1_749_416_383);
    let shown = format!("{incoming:?}");
    assert!(!shown.contains("Hi") && !shown.contains("16505551234"), "{shown}");
}

#[test]
fn a_person_without_a_phone_number_is_known_by_the_user_id() {
    let bsuid = "US.13491208655302741918";
    let by_message =
        format!(r#"{{"id":"wamid.A","from_user_id":"{bsuid}","type":"text","text":{{"body":"Hi"}}}}"#);
    assert_eq!(read(&by_message, None, None).sender, Some(Sender::UserId(bsuid.to_owned())));
    let by_from = format!(r#"{{"from":"{bsuid}"}}"#);
    assert_eq!(read(&by_from, None, None).sender, Some(Sender::UserId(bsuid.to_owned())));
    let contact = format!(r#"{{"user_id":"{bsuid}"}}"#);
    assert_eq!(read("{}", Some(&contact), None).sender, Some(Sender::UserId(bsuid.to_owned())));
}

#[test]
fn a_sender_is_a_number_or_a_user_id_by_its_form() {
    assert_eq!(Sender::parse("+16505551234"), Some(Sender::Phone("16505551234".to_owned())));
    assert!(matches!(Sender::parse("US.ENT.11815799212886844830"), Some(Sender::UserId(_))));
    for neither in ["", "+", "hello", "us.123", "USA.123", "US.", "US.12 3", "1650555123x"] {
        assert_eq!(Sender::parse(neither), None, "{neither}");
    }
}

#[test]
fn a_phone_number_comes_before_a_user_id_wherever_it_stands() {
    let message = r#"{"from":"US.1349","from_user_id":"US.1349","type":"text"}"#;
    let sender = read(message, Some(r#"{"wa_id":"16505551234","user_id":"US.1349"}"#), None).sender;
    assert_eq!(sender, Some(Sender::Phone("16505551234".to_owned())));
}

#[test]
fn a_contact_of_somebody_else_is_not_answered_to() {
    let contact = r#"{"wa_id":"16505551234","user_id":"US.1"}"#;
    for (message, sender) in [
        (r#"{"from_user_id":"US.2"}"#, Some(Sender::UserId("US.2".to_owned()))),
        (r#"{"from":"US.2"}"#, Some(Sender::UserId("US.2".to_owned()))),
        (r#"{"from":"16505555678"}"#, Some(Sender::Phone("16505555678".to_owned()))),
        (r#"{"from":"16505555678","from_user_id":"US.2"}"#, Some(Sender::Phone("16505555678".to_owned()))),
        (r#"{"from":"somebody"}"#, None),
        (r#"{"from_user_id":"16505555678"}"#, None),
        (r#"{"from_user_id":"US.1"}"#, Some(Sender::Phone("16505551234".to_owned()))),
        (r#"{"from":" "}"#, Some(Sender::Phone("16505551234".to_owned()))),
    ] {
        assert_eq!(read(message, Some(contact), None).sender, sender, "{message}");
    }
    // It says nothing that would make it the author's.
    let sender = read(r#"{"from_user_id":"US.2"}"#, Some(r#"{"wa_id":"16505551234"}"#), None).sender;
    assert_eq!(sender, Some(Sender::UserId("US.2".to_owned())));
}

#[test]
fn the_answer_goes_to_the_number_that_the_message_itself_gives() {
    // Brazilian numbers can come with and without their extra digit.
    for user_id in ["", r#","user_id":"BR.1""#] {
        let contact = format!(r#"{{"wa_id":"551187654321"{user_id}}}"#);
        let sender = read(r#"{"from":"5511987654321","from_user_id":"BR.1"}"#, Some(&contact), None).sender;
        assert_eq!(sender, Some(Sender::Phone("5511987654321".to_owned())));
    }
}

#[test]
fn messages_of_groups_and_of_other_fields_are_not_answered() {
    assert_eq!(read(r#"{"type":"text"}"#, None, None).unanswerable, None);
    assert!(read(r#"{"type":"text","group_id":"Y2FwaV9ncm91cDox"}"#, None, None).unanswerable.is_some());
    let message = serde_json::from_str::<&RawValue>("{}").expect("JSON");
    for (field, answered) in [(r#""messages""#, true), ("null", true), (r#""standby""#, false)] {
        let field = serde_json::from_str::<&RawValue>(field).expect("JSON");
        let received_at = DateTime::UNIX_EPOCH;
        let (waba_id, metadata, contact) = (None, None, None);
        let received =
            ReceivedMessage { received_at, waba_id, field: Some(field), metadata, contact, message };
        assert_eq!(Incoming::read(&received).unanswerable.is_none(), answered);
    }
}

#[test]
fn other_types_are_named_and_a_text_without_a_body_is_not_text() {
    assert_eq!(
        read(r#"{"type":"image","image":{}}"#, None, None).content,
        Content::Other("image".to_owned())
    );
    for text in ["", r#","text":{}"#, r#","text":"Hi""#, r#","text":{"body":["Hi"]}"#] {
        let content = read(&format!(r#"{{"type":"text"{text}}}"#), None, None).content;
        assert_eq!(content, Content::Other("text without a readable body".to_owned()), "{text}");
    }
    assert_eq!(read(r#"{"type":"hologram"}"#, None, None).content, Content::Other("hologram".to_owned()));
    assert_eq!(read("{}", None, None).content, Content::Other("without a type".to_owned()));
}

#[test]
fn a_text_with_half_of_an_emoji_is_a_text() {
    let message = r#"{"type":"text","text":{"body":"Hi \ud83d"}}"#;
    assert_eq!(read(message, None, None).content, Content::Text("Hi \u{fffd}".to_owned()));
}

#[test]
fn without_a_believable_timestamp_the_time_of_arrival_counts() {
    const DAY: i64 = 24 * 3600;
    let arrival = 1_749_416_384;
    let sent_at = |timestamp: &str| {
        read(&format!(r#"{{"timestamp":{timestamp}}}"#), None, None).sent_at.timestamp_micros()
    };
    let believable = [1_230_768_000, arrival - 7 * DAY, arrival, arrival + DAY];
    for second in believable {
        assert_eq!(sent_at(&format!("\"{second}\"")) / 1_000_000, second);
    }
    // Milliseconds are a year that PostgreSQL does not know.
    let absurd = [0, -1, 1_230_767_999, arrival + DAY + 1, arrival * 1000, 99_999_999_999_999_999];
    let unreadable = ["null", "\"soon\"", "[]"].map(str::to_owned);
    for timestamp in absurd.map(|second| format!("\"{second}\"")).into_iter().chain(unreadable) {
        assert_eq!(sent_at(&timestamp), 1_749_416_384_500_000, "{timestamp}");
    }
}

proptest! {
    #[test]
    fn within_a_second_messages_keep_the_order_of_arrival(
        second in 1_600_000_000i64..2_000_000_000, late in 0i64..1000, first in 0i64..50_000, gap in 1i64..10_000,
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
    fn no_clock_makes_it_panic_or_a_time_that_nobody_knows(
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
    fn no_json_makes_it_panic(text in "\\PC*", number: f64) {
        let json = serde_json::json!({"id": number, "from": text, "timestamp": text, "type": [text], "text": text});
        read(&json.to_string(), Some(&json.to_string()), Some(&json.to_string()));
    }
}
