use aws_lambda_events::event::sqs::SqsMessage;
use serde_json::json;

use super::*;
use crate::delivery::Delivery;

fn incoming(wamid: &str) -> Incoming {
    let message = json!({"from": "16505551234", "id": wamid, "type": "text", "text": {"body": "hello"}});
    let metadata = json!({"phone_number_id": "106540352242922"});
    let received = json!({"received_at": "2026-11-28T12:00:00Z", "metadata": metadata, "message": message});
    let mut record = SqsMessage::default();
    record.body = Some(json!({"v1": {"message": received}}).to_string());
    Delivery::from(record).message().expect("a message").clone()
}

fn known(last: &str, messages: usize, text: &str) -> KnownAnswer {
    let message_id = row_id(&last.into(), &Role::User);
    KnownAnswer { message_id, messages, answer: text.to_owned().into(), is_stored: true }
}

fn text<'a>(earlier: &'a Earlier, last: &str, messages: usize) -> Option<&'a str> {
    earlier.known_to(&last.into(), messages).map(|known| known.answer.text.as_str())
}

#[test]
fn a_reply_is_known_to_the_messages_that_it_is_a_reply_to() {
    let replies = vec![known("b", 2, "to both"), known("c", 1, "to the last"), known("c", 3, "to all")];
    let earlier = Earlier { known: replies, ..Earlier::default() };
    assert_eq!(text(&earlier, "b", 2), Some("to both"));
    assert_eq!(text(&earlier, "b", 1), None, "the queue returned a part of the turn");
    assert_eq!(text(&earlier, "c", 1), Some("to the last"));
    assert_eq!(text(&earlier, "c", 3), Some("to all"));
    assert_eq!(text(&earlier, "a", 1), None);

    let [a, b, c, d] = ["a", "b", "c", "d"].map(incoming);
    assert_eq!(earlier.answered(&[&a, &b, &c, &d]), Some(3), "the longest");
    assert_eq!(earlier.answered(&[&a, &b, &d]), Some(2));
    assert_eq!(earlier.answered(&[&b, &d]), None);
}

#[test]
fn what_was_sent_precedes_what_is_stored_and_that_what_was_not_sent() {
    let remembered = |text: &str, wamids: &[&str]| UnrecordedReply {
        key: "a".into(),
        answer: text.to_owned().into(),
        messages: 1,
        wamids: wamids.iter().filter_map(|wamid| Wamid::parse(*wamid).ok()).collect(),
    };
    let stored = || Earlier { known: vec![known("a", 1, "stored")], ..Earlier::default() };
    let mut earlier = stored();
    earlier.add(remembered("not sent", &[]));
    assert_eq!(text(&earlier, "a", 1), Some("stored"));
    let mut earlier = stored();
    earlier.add(remembered("sent", &["wamid.1"]));
    assert_eq!(text(&earlier, "a", 1), Some("sent"));
}
