//! Linking by the person who holds the number: codes, the question, taps, and the registration text.

use reply::batch::Disposition;
use reply::responder::Echo;
use serde_json::{Value, json};
use shared::lambda::deadline::Deadline;
use wiremock::ResponseTemplate;

use crate::support::*;

fn said(body: &str) -> Value {
    let mut message = text();
    message["text"]["body"] = json!(body);
    message
}

fn tap(choice: &str) -> Value {
    json!({"from": "16505551234", "from_user_id": "US.1349", "id": "wamid.T", "timestamp": "1749416383",
        "type": "interactive", "context": {"id": "wamid.answer"},
        "interactive": {"type": "button_reply", "button_reply": {"id": format!("whatsapp_link:{LINK_ID}:{choice}"), "title": "Link"}}})
}

fn unlinked() -> Answers {
    Answers { lookup: answer(json!([])), ..all_well() }
}

fn answer(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn down() -> ResponseTemplate {
    ResponseTemplate::new(503)
}

/// The texts that were sent.
async fn texts(world: &World) -> Vec<String> {
    let text = |request| match json_of(request) {
        sent if sent["type"] == "text" => sent["text"]["body"].as_str().map(str::to_owned),
        sent => sent["interactive"]["body"]["text"].as_str().map(str::to_owned),
    };
    world.sends().await.iter().filter_map(text).collect()
}

#[tokio::test]
async fn a_code_is_claimed_and_its_sender_is_asked() {
    let world = World::new(unlinked()).await;
    assert_eq!(world.handle(envelope(&said("Link my account: ab4cd ef7gh"))).await, Disposition::Delete);

    let claims = world.writes("POST", "rpc/claim_whatsapp_link").await;
    let claim = json_of(&claims[0]);
    assert_eq!(claim["code_hash"], "175f03ad4a49aee0d7b421f1b791d2b28e9a076787945b739c59ff3ef021576c");
    assert_eq!(claim["sent_at"].as_str().map(|at| &at[..19]), Some("2025-06-08T20:59:43"));
    for pseudonym in ["sender", "message"] {
        let pseudonym = claim[pseudonym].as_str().expect("a string");
        assert!(
            pseudonym.len() == 64 && pseudonym.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{pseudonym}"
        );
    }
    let question = json_of(&world.sends().await[0]);
    assert_eq!(question["type"], "interactive");
    assert_eq!(question["to"], "+16505551234");
    assert_eq!(question["context"]["message_id"], "wamid.Q");
    let body = question["interactive"]["body"]["text"].as_str().expect("a text");
    assert!(body.contains("a•••@example.com") && body.chars().count() <= 1024, "{body}");
    let button = |choice, title| {
        let id = format!("whatsapp_link:{LINK_ID}:{choice}");
        json!({"type": "reply", "reply": {"id": id, "title": title}})
    };
    let buttons = json!([button("link", "Link"), button("discard", "Not me")]);
    let expected = json!({"type": "button", "body": {"text": body}, "action": {"buttons": buttons}});
    assert_eq!(question["interactive"], expected);
    assert!(question.get("text").is_none());
    assert!(world.inserts().await.is_empty(), "the messages of linking are not recorded");
    assert!(world.writes("POST", "rpc/claim_registration_text").await.is_empty());
}

#[tokio::test]
async fn pseudonyms_are_equal_for_one_sender_and_message_only() {
    let world = World::new(unlinked()).await;
    let message = |from: &str, id: &str| {
        let mut message = said("AB4CD-EF7GH");
        message["from"] = json!(from);
        message["id"] = json!(id);
        envelope(&message)
    };
    // The second is the other spelling of the first, a Brazilian mobile number.
    for (from, id) in [("5511987654321", "wamid.1"), ("551187654321", "wamid.1"), ("16505551234", "wamid.2")]
    {
        assert_eq!(world.handle(message(from, id)).await, Disposition::Delete);
    }
    let claims = world.writes("POST", "rpc/claim_whatsapp_link").await;
    let [first, spelled, other] = [&claims[0], &claims[1], &claims[2]].map(json_of);
    assert_eq!((&first["sender"], &first["message"]), (&spelled["sender"], &spelled["message"]));
    assert!(first["sender"] != other["sender"] && first["message"] != other["message"]);
}

#[tokio::test]
async fn a_tap_links_its_sender_and_the_answer_says_so() {
    for (choice, accept, outcome, expected) in [
        ("link", true, "linked", "is now linked"),
        ("discard", false, "discarded", "was not linked"),
        ("link", true, "expired", "too old"),
    ] {
        let confirm = answer(json!({"outcome": outcome, "user_id": USER, "moved": false, "answer": true}));
        let world = World::new(Answers { confirm, ..unlinked() }).await;
        assert_eq!(world.handle(envelope(&tap(choice))).await, Disposition::Delete);
        let taps = world.writes("POST", "rpc/confirm_whatsapp_link").await;
        let sent = json_of(&taps[0]);
        assert_eq!((&sent["link_id"], &sent["accept"]), (&json!(LINK_ID), &json!(accept)));
        assert_eq!(sent["numbers"], json!(["+16505551234", "16505551234"]));
        assert_eq!(sent["whatsapp_user_id"], "US.1349");
        let texts = texts(&world).await;
        assert!(texts.len() == 1 && texts[0].contains(expected), "{texts:?}");
        assert!(world.inserts().await.is_empty(), "the messages of linking are not recorded");
    }
}

#[tokio::test]
async fn a_wrong_code_is_answered_until_there_are_too_many() {
    for outcome in ["unknown", "expired"] {
        for (told, expected) in [(true, vec![true]), (false, vec![])] {
            let claim = answer(json!({"outcome": outcome, "answer": told}));
            let world = World::new(Answers { claim, ..unlinked() }).await;
            assert_eq!(world.handle(envelope(&said("AB4CD-EF7GH"))).await, Disposition::Delete);
            let is_expected: Vec<_> =
                texts(&world).await.iter().map(|text| text.contains("not valid")).collect();
            assert_eq!(is_expected, expected, "{outcome}");
            assert!(world.writes("POST", "rpc/claim_registration_text").await.is_empty());
        }
    }
}

#[tokio::test]
async fn a_tap_after_too_many_wrong_codes_gets_no_answer() {
    let confirm = answer(json!({"outcome": "expired", "answer": false}));
    let world = World::new(Answers { confirm, ..unlinked() }).await;
    assert_eq!(world.handle(envelope(&tap("link"))).await, Disposition::Delete);
    assert!(world.sends().await.is_empty());
}

#[tokio::test]
async fn a_tap_with_values_that_the_database_refuses_is_dead_lettered() {
    let refused = json!({"code": "23514", "message": "whatsapp_phone is not in E.164"});
    let confirm = ResponseTemplate::new(400).set_body_json(refused);
    let world = World::new(Answers { confirm, ..unlinked() }).await;
    assert_eq!(world.handle(envelope(&tap("link"))).await, Disposition::Delete);
    assert_eq!(world.queues.dead_letters.lock().expect("a lock").len(), 1);
    assert!(world.sends().await.is_empty());
}

#[tokio::test]
async fn a_linked_user_may_write_what_looks_like_a_code() {
    let claim = answer(json!({"outcome": "unknown", "answer": true}));
    let world = World::new(Answers { claim, ..all_well() }).await;
    assert_eq!(world.handle(envelope(&said("order AB4CD-EF7GH"))).await, Disposition::Delete);
    assert_eq!(texts(&world).await, ["order AB4CD-EF7GH"]);
    assert_eq!(world.inserts().await.len(), 1);
}

#[tokio::test]
async fn a_linked_user_can_link_to_another_account() {
    let world = World::new(all_well()).await;
    assert_eq!(world.handle(envelope(&said("AB4CD-EF7GH"))).await, Disposition::Delete);
    assert!(texts(&world).await[0].contains("a•••@example.com"));
    assert!(world.inserts().await.is_empty());
}

#[tokio::test]
async fn a_redelivered_claim_that_is_decided_gets_no_answer() {
    let world = World::new(Answers { claim: answer(json!({"outcome": "decided"})), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&said("AB4CD-EF7GH"))).await, Disposition::Delete);
    assert!(world.sends().await.is_empty() && world.inserts().await.is_empty());
}

#[tokio::test]
async fn without_the_database_a_step_of_linking_is_redelivered() {
    let code = said("AB4CD-EF7GH");
    for (answers, message) in [
        (Answers { claim: down(), ..unlinked() }, code.clone()),
        (Answers { claim: down(), lookup: down(), recorded: down(), ..all_well() }, code.clone()),
        (Answers { claim: answer(json!({"outcome": "of a later version"})), ..unlinked() }, code),
        (Answers { confirm: down(), ..unlinked() }, tap("link")),
    ] {
        let world = World::new(answers).await;
        assert!(is_returned(world.handle(envelope(&message)).await), "{message}");
        assert!(world.sends().await.is_empty() && world.inserts().await.is_empty());
        assert!(world.queues.take().is_empty());
    }
}

#[tokio::test]
async fn a_step_is_redelivered_if_its_answer_is_not_sent() {
    for message in [said("AB4CD-EF7GH"), tap("link")] {
        let world = World::new(Answers { send: graph_error(500, 2), ..unlinked() }).await;
        assert!(is_returned(world.handle(envelope(&message)).await));
    }
}

#[tokio::test]
async fn a_code_in_a_group_or_in_a_field_of_another_app_is_not_claimed() {
    let mut in_group = said("AB4CD-EF7GH");
    in_group["group_id"] = json!("Y2FwaV9ncm91cDox");
    let standby = |message: Value| {
        let mut envelope: Value = serde_json::from_str(&envelope(&message)).expect("JSON");
        envelope["v1"]["message"]["field"] = json!("standby");
        envelope.to_string()
    };
    let world = World::new(unlinked()).await;
    for body in [envelope(&in_group), standby(said("AB4CD-EF7GH")), standby(tap("link"))] {
        assert_eq!(world.handle(body).await, Disposition::Delete);
    }
    assert!(world.writes("POST", "rpc/claim_whatsapp_link").await.is_empty());
    assert!(world.writes("POST", "rpc/confirm_whatsapp_link").await.is_empty());
    assert!(world.sends().await.is_empty());
}

#[tokio::test]
async fn the_registration_text_is_sent_if_the_database_allows_it() {
    for (registration, sent, stored) in [
        (answer(json!(true)), 1, 1),
        (answer(json!(false)), 0, 0),
        // Without the memory nothing is sent, and nothing fails.
        (down(), 0, 0),
        (answer(json!("maybe")), 0, 0),
    ] {
        let world = World::new(Answers { registration, ..unlinked() }).await;
        let unsupported = json!({"from": "16505551234", "id": "wamid.U", "timestamp": "1749416383",
            "type": "unsupported", "errors": [{"code": 131051}]});
        for message in [text(), unsupported] {
            assert_eq!(world.handle(envelope(&message)).await, Disposition::Delete);
        }
        assert_eq!(texts(&world).await, vec!["Please register."; 2 * sent]);
        assert_eq!(world.writes("POST", "rpc/registration_text_sent").await.len(), 2 * stored);
    }
}

#[tokio::test]
async fn a_registration_text_that_is_not_sent_is_not_stored_as_sent() {
    for (send, is_redelivered) in [(graph_error(500, 2), true), (graph_error(400, 131026), false)] {
        let world = World::new(Answers { send, ..unlinked() }).await;
        assert_eq!(is_returned(world.handle(envelope(&text())).await), is_redelivered);
        assert_eq!(world.writes("POST", "rpc/claim_registration_text").await.len(), 1);
        assert!(world.writes("POST", "rpc/registration_text_sent").await.is_empty());
    }
}

#[tokio::test]
async fn the_configured_business_number_is_stored_for_links() {
    let world = World::new(unlinked()).await;
    let received = |phone_number_id: &str| {
        let mut envelope: Value = serde_json::from_str(&envelope(&text())).expect("JSON");
        envelope["v1"]["message"]["metadata"] =
            json!({"phone_number_id": phone_number_id, "display_phone_number": "+1 555-078-3881"});
        envelope.to_string()
    };
    // 999 is configured; 123456123 is the one of the console's test button. A process of its own for each, because the
    // messages have one wamid.
    for (phone_number_id, number) in [("999", json!("15550783881")), ("123456123", json!(null))] {
        let reply = world.reply(Echo);
        let handled = reply.handle(&delivery(received(phone_number_id), 1), Deadline::NONE).await;
        assert_eq!(handled, Disposition::Delete);
        let claims = world.writes("POST", "rpc/claim_registration_text").await;
        let claim = json_of(claims.last().expect("a claim"));
        assert_eq!(
            (&claim["phone_number_id"], &claim["business_number"]),
            (&json!(phone_number_id), &number)
        );
    }
}
