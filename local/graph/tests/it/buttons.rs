//! Interactive messages with reply buttons.

use serde_json::{Value, json};

use crate::common::{PHONE, Test};

/// Buttons of the given ids and titles.
fn buttons<'a>(buttons: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let button = |(id, title)| json!({"type": "reply", "reply": {"id": id, "title": title}});
    buttons.into_iter().map(button).collect()
}

fn question(body: &str, buttons: &Value) -> Value {
    json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": PHONE,
        "type": "interactive",
        "interactive": {"type": "button", "body": {"text": body}, "action": {"buttons": buttons}},
    })
}

#[tokio::test]
async fn message_with_buttons_is_stored_with_its_body_and_buttons() {
    let test = Test::start().await;
    let mut request = question("Shall we?", &buttons([("yes", "Yes"), ("no", "No")]));
    request["context"] = json!({ "message_id": "wamid.A" });
    request["interactive"]["footer"] = json!({ "text": "At any time" });
    let answer = test.ok(&request).await;
    assert_eq!(answer["contacts"], json!([{ "input": PHONE, "wa_id": PHONE }]));

    let stored = serde_json::to_value(test.graph.stored()).unwrap();
    let received = &stored["received"][0];
    assert_eq!(received["id"], answer["messages"][0]["id"]);
    assert_eq!((&received["type"], &received["body"]), (&json!("interactive"), &json!("Shall we?")));
    assert_eq!(received["buttons"], json!([{ "id": "yes", "title": "Yes" }, { "id": "no", "title": "No" }]));
    assert_eq!((&received["quotes"], &received["raw"]), (&json!("wamid.A"), &request));
}

#[tokio::test]
async fn body_buttons_ids_and_titles_have_limits() {
    let test = Test::start().await;
    let one = buttons([("1", "One")]);
    for (body, ids_and_titles) in [
        ("é".repeat(1024), [("i".repeat(256), "t".repeat(20)), ("2".to_owned(), "😀".repeat(20))]),
        ("x".to_owned(), [("1".to_owned(), "1".to_owned()), ("2".to_owned(), "2".to_owned())]),
    ] {
        let valid = ids_and_titles.iter().map(|(id, title)| (id.as_str(), title.as_str()));
        test.ok(&question(&body, &buttons(valid))).await;
    }
    test.ok(&question("x", &buttons([("1", "One"), ("2", "Two"), ("3", "Three")]))).await;
    for body in [String::new(), "é".repeat(1025)] {
        assert_eq!(test.code(&question(&body, &one)).await, 131_009, "{} characters", body.chars().count());
    }
    let (long_id, long_title) = ("i".repeat(257), "t".repeat(21));
    for wrong in [
        &[][..],
        &[("1", "One"), ("2", "Two"), ("3", "Three"), ("4", "Four")],
        &[("", "One")],
        &[(long_id.as_str(), "One")],
        &[(" 1", "One")],
        &[("1", "")],
        &[("1", long_title.as_str())],
        &[("1", "One"), ("1", "Two")],
        &[("1", "One"), ("2", "One")],
    ] {
        let wrong = buttons(wrong.iter().copied());
        assert_eq!(test.code(&question("x", &wrong)).await, 131_009, "{wrong}");
    }
}

#[tokio::test]
async fn missing_and_mistyped_parts_are_code_100() {
    let test = Test::start().await;
    let valid = question("x", &buttons([("1", "One")]));
    for (pointer, value) in [
        ("/interactive", json!("button")),
        ("/interactive/type", Value::Null),
        ("/interactive/body", Value::Null),
        ("/interactive/body/text", Value::Null),
        ("/interactive/body/text", json!(7)),
        ("/interactive/action", json!([])),
        ("/interactive/action/buttons", json!({})),
        ("/interactive/action/buttons/0", json!("One")),
        ("/interactive/action/buttons/0/type", json!("url")),
        ("/interactive/action/buttons/0/reply", Value::Null),
        ("/interactive/action/buttons/0/reply/id", Value::Null),
        ("/interactive/action/buttons/0/reply/title", json!(1)),
    ] {
        let mut request = valid.clone();
        *request.pointer_mut(pointer).unwrap() = value;
        assert_eq!(test.code(&request).await, 100, "{pointer}");
    }
    for key in ["type", "body", "action"] {
        let mut request = valid.clone();
        request["interactive"].as_object_mut().unwrap().remove(key);
        assert_eq!(test.code(&request).await, 100, "{key}");
    }
    let mut request = valid;
    request.as_object_mut().unwrap().remove("interactive");
    assert_eq!(test.code(&request).await, 131_008);
}
