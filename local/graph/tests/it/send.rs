//! Accepted, rejected and stored requests.
//!
//! `send-examples.json` contains requests and responses of `POST /messages` from Meta's OpenAPI
//! description of the WhatsApp Business Platform (v23.0, MIT).

use serde_json::{Value, json};

use crate::common::{NUMBER, PHONE, TOKEN, Test, answer, code, text_to};

const USER_ID: &str = "US.13491208655302741918";

fn examples() -> Value {
    serde_json::from_str(include_str!("send-examples.json")).unwrap()
}

/// The keys of a response, without the values.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(items) => items.iter().map(shape).collect(),
        _ => Value::Null,
    }
}

#[tokio::test]
async fn meta_examples_get_the_documented_responses() {
    let test = Test::start().await;
    let examples = examples();
    for (name, request) in examples["request"].as_object().unwrap() {
        let request: Value =
            serde_json::from_str(&request.to_string().replace("{{Recipient-Phone-Number}}", PHONE)).unwrap();
        let got = test.ok(&request).await;
        let expected = match &examples["response_200"][name] {
            Value::Null => &examples["response_200"]["Send Text Message"],
            response => response,
        };
        assert_eq!(shape(&got), shape(expected), "{name}");
    }
    let stored = test.graph.stored();
    assert_eq!(stored.received.len(), 5);
    assert_eq!(stored.read_receipts.len(), 1);
    test.graph.stop().await;
}

#[tokio::test]
async fn text_message_is_stored_with_its_quoted_message() {
    let test = Test::start().await;
    let mut request = text_to(PHONE, "Does it come in another color?");
    request["context"] = json!({ "message_id": "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQUE=" });
    let answer = test.ok(&request).await;

    assert_eq!(answer["messaging_product"], "whatsapp");
    assert_eq!(answer["contacts"], json!([{ "input": PHONE, "wa_id": PHONE }]));
    let received = test.graph.received();
    assert_eq!(received.len(), 1);
    assert_eq!(answer["messages"][0]["id"], received[0].id.as_str());
    assert!(received[0].id.starts_with("wamid."));
    assert_eq!(received[0].version, "v19.0");
    assert_eq!(received[0].phone_number_id, NUMBER);
    assert_eq!(received[0].to.as_deref(), Some(PHONE));
    assert_eq!(received[0].body.as_deref(), Some("Does it come in another color?"));
    assert_eq!(received[0].quotes.as_deref(), Some("wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQUE="));
    assert_eq!(received[0].raw, request);
}

#[tokio::test]
async fn every_message_gets_a_unique_id() {
    let test = Test::start().await;
    let first = test.ok(&text_to(PHONE, "same")).await;
    let second = test.ok(&text_to(PHONE, "same")).await;
    assert_ne!(first["messages"][0]["id"], second["messages"][0]["id"]);
}

#[tokio::test]
async fn missing_or_wrong_token_is_code_190() {
    let test = Test::start().await;
    let path = format!("/v19.0/{NUMBER}/messages");
    let body = text_to(PHONE, "x");
    let wrong = [
        test.post_to(&path, &body),
        test.post_to(&path, &body).bearer_auth("another"),
        test.post_to(&path, &body).header("authorization", TOKEN),
        test.post_to(&path, &body).header("authorization", format!("Basic {TOKEN}")),
    ];
    for request in wrong {
        let (status, body) = answer(request).await;
        assert_eq!((status, code(&body)), (401, 190));
    }
    assert!(test.graph.received().is_empty());
}

#[tokio::test]
async fn unknown_path_is_code_2500() {
    let test = Test::start().await;
    for path in [
        format!("/19.0/{NUMBER}/messages"),
        format!("/v19/{NUMBER}/messages"),
        format!("/v19.x/{NUMBER}/messages"),
        format!("/{NUMBER}/messages"),
        format!("/v19.0/{NUMBER}/message"),
    ] {
        let (status, body) = answer(test.post_to(&path, &text_to(PHONE, "x")).bearer_auth(TOKEN)).await;
        assert_eq!((status, code(&body)), (400, 2500), "{path}");
    }
    let newer = test.post_to(&format!("/v26.0/{NUMBER}/messages"), &text_to(PHONE, "x")).bearer_auth(TOKEN);
    assert_eq!(answer(newer).await.0, 200);
    assert_eq!(test.graph.received()[0].version, "v26.0");
}

#[tokio::test]
async fn unknown_number_is_code_100_subcode_33_until_allowed() {
    let test = Test::start().await;
    let send = || test.post_to("/v19.0/555/messages", &text_to(PHONE, "x")).bearer_auth(TOKEN);
    let (status, body) = answer(send()).await;
    assert_eq!((status, code(&body)), (400, 100));
    assert_eq!(body["error"]["error_subcode"], 33);

    test.graph.allow_number("555");
    assert_eq!(answer(send()).await.0, 200);
    assert_eq!(test.graph.received()[0].phone_number_id, "555");
}

#[tokio::test]
async fn other_methods_are_not_supported() {
    let test = Test::start().await;
    let url = format!("{}/v19.0/{NUMBER}/messages", test.graph.url());
    let (status, body) = answer(test.client.get(url).bearer_auth(TOKEN)).await;
    assert_eq!((status, code(&body)), (400, 100));
}

#[tokio::test]
async fn messaging_product_is_required() {
    let test = Test::start().await;
    let mut request = text_to(PHONE, "x");
    request["messaging_product"] = json!("messenger");
    assert_eq!(test.code(&request).await, 100);
    request.as_object_mut().unwrap().remove("messaging_product");
    assert_eq!(test.code(&request).await, 100);
    assert_eq!(test.code(&json!([])).await, 100);
}

#[tokio::test]
async fn body_without_json_or_its_content_type_has_no_parameters() {
    let test = Test::start().await;
    let url = format!("{}/v19.0/{NUMBER}/messages", test.graph.url());
    for (media, content) in
        [("text/plain", text_to(PHONE, "x").to_string()), ("application/json", "{".to_owned())]
    {
        let request = test.client.post(&url).bearer_auth(TOKEN).header("content-type", media).body(content);
        let (status, body) = answer(request).await;
        assert_eq!((status, code(&body)), (400, 100), "{media}");
    }
    assert!(test.graph.received().is_empty());
}

#[tokio::test]
async fn text_has_1_to_4096_characters() {
    let test = Test::start().await;
    assert_eq!(test.code(&text_to(PHONE, "")).await, 100);
    test.ok(&text_to(PHONE, "y")).await;
    test.ok(&text_to(PHONE, &"é".repeat(4096))).await;
    test.ok(&text_to(PHONE, &"😀".repeat(4096))).await;
    assert_eq!(test.code(&text_to(PHONE, &"é".repeat(4097))).await, 100);
    let mut request = text_to(PHONE, "x");
    request["text"] = json!({ "preview_url": true });
    assert_eq!(test.code(&request).await, 131_008);
    request["text"] = json!({ "body": 7 });
    assert_eq!(test.code(&request).await, 100);
    request["text"] = json!({ "body": "x", "colour": "red" });
    assert_eq!(test.code(&request).await, 100);
    request.as_object_mut().unwrap().remove("text");
    assert_eq!(test.code(&request).await, 131_008);
}

#[tokio::test]
async fn phone_number_is_digits_with_or_without_a_plus() {
    let test = Test::start().await;
    let answer = test.ok(&text_to("+16505551234", "x")).await;
    assert_eq!(answer["contacts"], json!([{ "input": "+16505551234", "wa_id": PHONE }]));
    for wrong in ["", "+", "1650x", "++1650", "1234567890123456", "sheena"] {
        assert_eq!(test.code(&text_to(wrong, "x")).await, 131_009, "{wrong}");
    }
    let mut request = text_to(PHONE, "x");
    request["to"] = json!(16_505_551_234_u64);
    assert_eq!(test.code(&request).await, 100);
    request.as_object_mut().unwrap().remove("to");
    assert_eq!(test.code(&request).await, 100);
}

#[tokio::test]
async fn user_id_in_to_gets_success_and_is_dropped() {
    let test = Test::start().await;
    for id in [USER_ID, "US.ENT.11815799212886844830", "user.9373795779eb6441"] {
        let answer = test.ok(&text_to(id, "lost")).await;
        assert!(answer["messages"][0]["id"].as_str().unwrap().starts_with("wamid."));
    }
    let stored = test.graph.stored();
    assert!(stored.received.is_empty());
    assert_eq!(stored.dropped.len(), 3);
    assert_eq!(stored.dropped[0].to.as_deref(), Some(USER_ID));
}

#[tokio::test]
async fn user_id_in_recipient_is_delivered_without_a_wa_id() {
    let test = Test::start().await;
    let mut request = text_to(PHONE, "hello");
    request.as_object_mut().unwrap().remove("to");
    for id in [USER_ID, "US.ENT.11815799212886844830", "user.9373795779eb6441", "9373-79_5"] {
        request["recipient"] = json!(id);
        let answer = test.ok(&request).await;
        assert_eq!(answer["contacts"], json!([{ "input": id, "user_id": id }]));
    }
    assert_eq!(test.graph.received()[0].recipient.as_deref(), Some(USER_ID));
    assert_eq!(test.graph.received()[0].to, None);
    let too_long = format!("US.{}", "1".repeat(198));
    for wrong in ["", "+16505551234", "sheena", "US.", "US.12 3", &too_long] {
        request["recipient"] = json!(wrong);
        assert_eq!(test.code(&request).await, 131_009, "{wrong}");
    }
}

#[tokio::test]
async fn phone_number_takes_precedence_over_user_id() {
    let test = Test::start().await;
    let mut request = text_to(PHONE, "hello");
    request["recipient"] = json!(USER_ID);
    let answer = test.ok(&request).await;
    assert_eq!(answer["contacts"], json!([{ "input": PHONE, "wa_id": PHONE }]));
    assert_eq!(test.graph.received().len(), 1);
}

#[tokio::test]
async fn quoted_message_id_must_be_a_string() {
    let test = Test::start().await;
    for context in [json!({ "message_id": 5 }), json!({ "message_id": "" }), json!({}), json!("wamid.x")] {
        let mut request = text_to(PHONE, "x");
        request["context"] = context;
        assert!(matches!(test.code(&request).await, 100 | 131_009));
    }
}

#[tokio::test]
async fn unknown_type_recipient_type_and_status_are_rejected() {
    let test = Test::start().await;
    for (key, value) in [("type", "telegram"), ("recipient_type", "everybody"), ("status", "delivered")] {
        let mut request = text_to(PHONE, "x");
        request[key] = json!(value);
        assert_eq!(test.code(&request).await, 100, "{key}");
    }
    let mut request = text_to(PHONE, "x");
    request["biz_opaque_callback_data"] = json!("x".repeat(513));
    assert_eq!(test.code(&request).await, 100);
}

#[tokio::test]
async fn callback_data_is_stored_for_the_statuses() {
    let test = Test::start().await;
    let mut request = text_to(PHONE, "x");
    request["biz_opaque_callback_data"] = json!("x".repeat(512));
    test.ok(&request).await;
    assert_eq!(test.graph.received()[0].callback_data.as_deref().map(str::len), Some(512));
}

#[tokio::test]
async fn read_receipt_needs_a_message_and_may_show_typing() {
    let test = Test::start().await;
    let mut request = json!({ "messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A" });
    assert_eq!(test.ok(&request).await, json!({ "success": true }));
    request["typing_indicator"] = json!({ "type": "text" });
    assert_eq!(test.ok(&request).await, json!({ "success": true }));
    request["typing_indicator"] = json!({ "type": "dance" });
    assert_eq!(test.code(&request).await, 100);
    request.as_object_mut().unwrap().remove("message_id");
    assert_eq!(test.code(&request).await, 100);

    let stored = test.graph.stored();
    assert!(stored.received.is_empty());
    assert_eq!(stored.read_receipts.iter().map(|read| read.typing).collect::<Vec<_>>(), [false, true]);
    assert_eq!(stored.read_receipts[0].message_id, "wamid.A");
}

#[tokio::test]
async fn stored_messages_can_be_read_over_http_and_cleared() {
    let test = Test::start().await;
    test.ok(&text_to(PHONE, "hello")).await;
    let url = format!("{}/received", test.graph.url());
    let (status, stored) = answer(test.client.get(&url)).await;
    assert_eq!(status, 200);
    assert_eq!(stored, serde_json::to_value(test.graph.stored()).unwrap());
    assert_eq!(stored["received"][0]["body"], "hello");
    assert_eq!(stored["received"][0]["type"], "text");

    test.graph.clear();
    let (_, stored) = answer(test.client.get(&url)).await;
    assert_eq!(stored, json!({ "received": [], "dropped": [], "read_receipts": [] }));
}

#[tokio::test]
async fn browser_pages_can_neither_read_nor_send() {
    let test = Test::start().await;
    test.ok(&text_to(PHONE, "stored")).await;
    let received = format!("{}/received", test.graph.url());
    for (name, value) in [
        ("host", "rebound.example.com"),
        ("origin", "https://example.com"),
        ("origin", "http://localhost:3000"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let read = test.client.get(&received).header(name, value).send().await.unwrap();
        assert_eq!(read.status(), 403, "{name}: {value}");
        assert!(!read.text().await.unwrap().contains("stored"));
        let sent = test.post(&text_to(PHONE, "x")).header(name, value).send().await.unwrap();
        assert_eq!(sent.status(), 403, "{name}: {value}");
    }
    for host in ["localhost:1", "[::1]"] {
        let read = test.client.get(&received).header("host", host).send().await.unwrap();
        assert_eq!(read.status(), 200, "{host}");
    }
    assert_eq!(test.graph.received().len(), 1);
}
