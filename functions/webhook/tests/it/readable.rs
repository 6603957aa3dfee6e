//! Bodies with a fault: the readable part is read, and the rest is stored.

use proptest::prelude::*;
use serde_json::{Value, json};
use webhook::payload::{self, Kind};
use webhook::readable::{MAX_STORED, Readable};

/// The messages' wamids and texts, and the names of the events.
fn read(body: &[u8]) -> (Vec<String>, Vec<String>) {
    let readable = Readable::of(body);
    let (mut messages, mut events) = (Vec::new(), Vec::new());
    for update in payload::read(&readable) {
        match update.kind {
            Kind::Message { message, .. } => {
                let message: Value = serde_json::from_str(message.get()).expect("JSON");
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                messages.push(format!("{} {}", text(&message["id"]), text(&message["text"]["body"])));
            }
            Kind::Event { name, .. } => events.push(name.into_owned()),
            Kind::Echo { .. } | Kind::Status(_) => panic!("neither was sent"),
        }
    }
    (messages, events)
}

/// A body with one text message for each of `texts`.
fn body(texts: &[&str]) -> String {
    let message = |(n, text): (usize, &&str)| {
        json!({"from": "16505551234", "id": format!("w{n}"), "timestamp": "1764150000", "type": "text",
            "context": {"from": "1", "id": "w"}, "text": {"body": text}})
    };
    let messages: Vec<_> = texts.iter().enumerate().map(message).collect();
    let value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": "106540352242922"},
        "contacts": [{"wa_id": "16505551234"}], "messages": messages});
    // Meta's order of the fields: `json!` would sort them.
    let entry = format!(r#"{{"id":"1","changes":[{{"field":"messages","value":{value}}}]}}"#);
    format!(r#"{{"object":"whatsapp_business_account","entry":[{entry}]}}"#)
}

/// `body` with these bytes in place of `@`.
fn with(body: &str, bytes: &[u8]) -> Vec<u8> {
    let (before, after) = body.split_once('@').expect("a place");
    [before.as_bytes(), bytes, after.as_bytes()].concat()
}

/// Made after a public bug report: a body that begins with a byte order mark.
const WITH_BOM: &[u8] = b"\xef\xbb\xbf{\"object\": \"whatsapp_business_account\", \"entry\": [{\"id\": \"102290129340398\", \"changes\": [{\"field\": \"messages\", \"value\": {\"messaging_product\": \"whatsapp\", \"metadata\": {\"phone_number_id\": \"106540352242922\"}, \"messages\": [{\"from\": \"16505551234\", \"id\": \"w0\", \"type\": \"text\", \"text\": {\"body\": \"hi\"}}]}}]}]}";

#[test]
fn an_invalid_byte_loses_no_message() {
    let two = body(&["caf@ x", "good"]);
    let one = body(&["hi"]);
    let pretty =
        serde_json::to_string_pretty(&serde_json::from_str::<Value>(&one).expect("JSON")).expect("JSON");
    let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        let marked = format!("\u{feff}{}", body(&["👍 é"]));
        marked.encode_utf16().flat_map(bytes).collect()
    };
    for (fault, body, expected) in [
        ("a byte order mark", WITH_BOM.to_vec(), vec!["w0 hi"]),
        (
            "two byte order marks and NULs",
            [b"\xef\xbb\xbf\0\xef\xbb\xbf", one.as_bytes(), b"\0\0\n"].concat(),
            vec!["w0 hi"],
        ),
        ("Latin-1", with(&two, b"\xe9"), vec!["w0 caf\u{fffd} x", "w1 good"]),
        ("Latin-1 at the end of a string", with(&body(&["caf@"]), b"\xe9"), vec!["w0 caf\u{fffd}"]),
        ("CESU-8", with(&two, b"\xed\xa0\xbd\xed\xb1\x8d"), vec!["w0 caf👍 x", "w1 good"]),
        ("half of a surrogate pair", with(&two, b"\xed\xa0\xbd"), vec!["w0 caf\u{fffd} x", "w1 good"]),
        (
            "two halves in the wrong order",
            with(&two, b"\xed\xb1\x8d\xed\xa0\xbd"),
            vec!["w0 caf\u{fffd}\u{fffd} x", "w1 good"],
        ),
        ("a truncated character", with(&two, b"\xf0\x9f\x91"), vec!["w0 caf\u{fffd} x", "w1 good"]),
        ("control characters", with(&two, b"\0\n\x1b"), vec!["w0 caf\0\n\u{1b} x", "w1 good"]),
        ("unknown escapes", with(&two, br"\'\x41\u12"), vec![r"w0 caf\'\x41\u12 x", "w1 good"]),
        ("a control character between fields", with(&one.replacen(',', "@,", 1), b"\x0b"), vec!["w0 hi"]),
        ("UTF-16, little-endian", utf16(u16::to_le_bytes), vec!["w0 👍 é"]),
        ("UTF-16, big-endian", utf16(u16::to_be_bytes), vec!["w0 👍 é"]),
        ("two documents", [one.as_bytes(), b"\r\n", one.as_bytes()].concat(), vec!["w0 hi", "w0 hi"]),
        (
            "a byte in the product's name",
            with(&two.replacen("_account", "@", 1).replace("caf@", "caf"), b"\xff"),
            vec!["w0 caf x", "w1 good"],
        ),
        ("lines", [b"\xff", pretty.as_bytes()].concat(), vec!["w0 hi"]),
    ] {
        let (messages, events) = read(&body);
        assert_eq!(messages, expected, "{fault}");
        let has_unreadable = Readable::of(&body).unreadable.is_some();
        assert_eq!(
            (events.len(), has_unreadable),
            if fault == "lines" { (1, true) } else { (0, false) },
            "{fault}: {events:?}"
        );
        assert!(Readable::of(&body).is_repaired, "{fault}");
    }
}

#[test]
fn a_damaged_end_loses_no_message_before_it() {
    let whole = body(&["one", "two", "three"]);
    let third = whole.find(r#""id":"w2""#).expect("the third message");
    let garbage = format!("{}@{}", &whole[..third], &whole[third + 1..]);
    for body in [
        &whole[..third],
        &whole[..third + 20],
        &garbage,
        &whole[..whole.rfind("three").expect("the third text")],
    ] {
        let (messages, events) = read(body.as_bytes());
        assert_eq!(messages, ["w0 one", "w1 two"], "{body}");
        assert_eq!(events, ["unreadable"], "{body}");
        let unreadable = Readable::of(body.as_bytes()).unreadable.expect("the rest");
        assert!(
            body.ends_with(&unreadable.text) && unreadable.bytes == unreadable.text.len(),
            "{unreadable:?}"
        );
    }
    let lines = whole.replace("},{", "},\n{").replace("w2", "w2\u{1}").replacen("three", "\"", 1);
    assert_eq!(read(lines.as_bytes()).0, ["w0 one", "w1 two"]);
}

#[test]
fn an_unreadable_part_is_stored_up_to_64_kib() {
    for body in ["", "\u{feff}\0", "hello", "{\"entry\"", "[{]", "null", " null null"] {
        assert_eq!(read(body.as_bytes()), (vec![], vec!["unreadable".to_owned()]), "{body}");
    }
    let large = "é".repeat(MAX_STORED);
    let readable = Readable::of(large.as_bytes());
    let unreadable = readable.unreadable.as_ref().expect("unreadable");
    assert_eq!((unreadable.text.len(), unreadable.bytes), (MAX_STORED, large.len()));
    let updates = payload::read(&readable);
    let [update] = updates.as_slice() else { panic!("{updates:?}") };
    let Kind::Event { value, .. } = &update.kind else { panic!("{update:?}") };
    let value: Value = serde_json::from_str(value.get()).expect("JSON");
    assert_eq!((&value["bytes"], value["text"].as_str()), (&json!(large.len()), Some(&large[..MAX_STORED])));
    let around = format!("<{}>", body(&["hi"]));
    assert_eq!(read(around.as_bytes()), (vec!["w0 hi".to_owned()], vec!["unreadable".to_owned()]));
    assert_eq!(Readable::of(around.as_bytes()).unreadable.expect("both").text, "<>");
}

proptest! {
    // No `}` in the damage: in a place where it fits, it ends the message, which looks like a valid shorter one.
    #[test]
    fn every_message_before_a_damaged_place_is_read(
        texts in prop::collection::vec("[\\PC\"\\\\{}\\[\\]]{0,12}", 1..5), place: prop::sample::Index, damage in "[\\]@x,:]?",
    ) {
        let whole = body(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let (expected, _) = read(whole.as_bytes());
        let place = whole.floor_char_boundary(place.index(whole.len()));
        let messages = whole.find("\"messages\":").expect("messages");
        let is_whole = |n: &usize| whole.match_indices("{\"context\":").nth(n + 1).map_or(whole.rfind("]").expect("an end") - 4, |(start, _)| start - 1) <= place;
        let before = (0..texts.len()).take_while(is_whole).count();
        let damaged = format!("{}{damage}", &whole[..place]);
        // Truncated at the end of a message: no unreadable part is left, and the body looks like a valid shorter one.
        let is_shorter = damaged.ends_with(['}', ']']);
        let (read, events) = read(damaged.as_bytes());
        prop_assert!(read.len() >= before, "{} of {before}", read.len());
        prop_assert_eq!(&read, &expected[..read.len()], "no incomplete message");
        let has_unreadable = events.iter().any(|name| name == "unreadable");
        prop_assert!(has_unreadable || is_shorter || place < messages || read == expected);
    }
}
