//! Lookup of users by number, by user id or by both; completion of links; identity changes.

use reply::batch::Disposition;
use reply::delivery::Work;
use reply::responder::Echo;
use serde_json::{Value, json};
use shared::lambda::deadline::Deadline;
use wiremock::ResponseTemplate;

use crate::support::*;

#[tokio::test]
async fn the_lookup_has_both_spellings_and_the_secret_key() {
    let world = World::new(all_well()).await;
    assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
    let requests = world.supabase.received_requests().await.expect("recorded");
    let lookup = requests.iter().find(|request| request.method.as_str() == "GET").expect("a lookup");
    let filter = lookup.url.query_pairs().find(|(name, _)| name == "whatsapp_phone").expect("a filter").1;
    let spellings = filter.replace('"', "");
    assert_eq!(spellings, "in.(+16505551234,16505551234)");
    assert_eq!(lookup.headers["apikey"], "sb_secret_k");
    assert_eq!(lookup.headers["range"], "0-99", "a smaller limit may hide the row of another user");
}

#[tokio::test]
async fn an_unlinked_sender_gets_the_registration_text_and_no_row() {
    let lookup = ResponseTemplate::new(200).set_body_json(json!([]));
    let world = World::new(Answers { lookup, ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
    let sends = world.sends().await;
    assert_eq!(json_of(&sends[0])["text"]["body"], "Please register.");
    assert!(world.inserts().await.is_empty());
}

#[tokio::test]
async fn a_number_linked_by_several_users_is_unlinked() {
    let [mine, other] = [linked(json!(USER)), linked(json!("22222222-2222-4222-8222-222222222222"))];
    let hidden = json!([mine, mine, linked(json!(null)), other]);
    // As many rows as the limit: there may be more.
    let many = Value::from(vec![mine.clone(); 100]);
    for rows in [json!([mine, other]), hidden, many] {
        let lookup = ResponseTemplate::new(200).set_body_json(rows);
        let world = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
        assert_eq!(json_of(&world.sends().await[0])["text"]["body"], "Please register.");
        assert!(world.inserts().await.is_empty());
    }
}

#[tokio::test]
async fn rows_without_a_user_and_duplicate_rows_are_ignored() {
    let (mine, none) = (linked(json!(USER)), linked(json!(null)));
    for (rows, expected) in [
        (json!([none, mine]), "Hello"),
        (json!([mine, mine, mine]), "Hello"),
        (json!([none, none]), "Please register."),
    ] {
        let lookup = ResponseTemplate::new(200).set_body_json(rows);
        let world = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
        assert_eq!(json_of(&world.sends().await[0])["text"]["body"], expected);
    }
}

fn both() -> Value {
    let mut message = text();
    message["from_user_id"] = json!("US.1349");
    message
}

#[tokio::test]
async fn a_user_is_found_by_user_id_before_number_and_by_either() {
    let row = |user: &str, phone: Value, user_id: Value| json!({"user_id": user, "whatsapp_phone": phone, "whatsapp_user_id": user_id});
    let other = "22222222-2222-4222-8222-222222222222";
    let theirs = |user_id: Value| row(other, json!("+16505551234"), user_id);
    for (rows, found) in [
        (json!([row(USER, json!("+16505551234"), json!("US.1349"))]), Some(USER)),
        (json!([row(USER, json!("16505551234"), json!(null))]), Some(USER)),
        // Number and user id of two different users are unlinked.
        (json!([theirs(json!("US.7")), row(USER, json!("+1"), json!("US.1349"))]), None),
        (json!([theirs(json!(null)), row(USER, json!(null), json!("US.1349"))]), None),
        // The number now belongs to another user id.
        (json!([theirs(json!("US.7"))]), None),
        (json!([]), None),
    ] {
        let lookup = ResponseTemplate::new(200).set_body_json(&rows);
        let world = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(world.handle(envelope(&both())).await, Disposition::Delete);
        let inserts = world.inserts().await;
        assert_eq!(inserts.first().and_then(|rows| rows[0]["user_id"].as_str()), found, "{rows}");
        let request = world.writes("GET", "user_preferences").await.remove(0);
        let filter =
            request.url.query_pairs().find(|(name, _)| name == "or").expect("a filter").1.into_owned();
        assert_eq!(filter, "(whatsapp_user_id.eq.\"US.1349\",whatsapp_phone.in.(+16505551234,16505551234))");
    }
}

#[tokio::test]
async fn a_user_without_a_number_is_found_and_answered_by_user_id() {
    let message = json!({"from_user_id": "US.1349", "id": "w", "type": "text", "text": {"body": "Hello"}});
    let lookup = json!([{"user_id": USER, "whatsapp_phone": null, "whatsapp_user_id": "US.1349"}]);
    let world =
        World::new(Answers { lookup: ResponseTemplate::new(200).set_body_json(lookup), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&message)).await, Disposition::Delete);
    let send = json_of(&world.sends().await[0]);
    assert_eq!((&send["recipient"], send.get("to")), (&json!("US.1349"), None));
    let lookup = world.writes("GET", "user_preferences").await.remove(0);
    assert!(
        lookup.url.query_pairs().any(|(name, value)| name == "whatsapp_user_id" && value == "eq.US.1349")
    );
    assert!(world.writes("PATCH", "user_preferences").await.is_empty(), "the link is complete");
}

/// An envelope of a message to a business account.
fn to_account(message: &Value, waba_id: &str) -> String {
    let mut envelope: Value = serde_json::from_str(&envelope(message)).expect("JSON");
    envelope["v1"]["message"]["waba_id"] = json!(waba_id);
    envelope.to_string()
}

#[tokio::test]
async fn a_user_id_is_scoped_to_its_business_account() {
    let known = |waba_id: Value| json!([{"user_id": USER, "whatsapp_phone": "+16505551234", "whatsapp_user_id": "US.7", "whatsapp_waba_id": waba_id}]);
    for (known_account, answer) in
        [(json!("W"), "Please register."), (json!(null), "Please register."), (json!("X"), "Hello")]
    {
        let lookup = ResponseTemplate::new(200).set_body_json(known(known_account));
        let world = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(world.handle(to_account(&both(), "W")).await, Disposition::Delete);
        assert_eq!(json_of(&world.sends().await[0])["text"]["body"], answer);
        assert_eq!(world.inserts().await.len(), usize::from(answer == "Hello"));
        assert!(world.writes("PATCH", "user_preferences").await.is_empty(), "the link is left unchanged");
    }
}

#[tokio::test]
async fn a_number_linked_later_does_not_own_earlier_messages() {
    let link = |at: Option<&str>| {
        json!([{"user_id": USER, "whatsapp_phone": "+16505551234", "whatsapp_user_id": null,
            "whatsapp_link_state": "changed", "whatsapp_identity_at": "2026-01-01T00:00:00Z",
            "whatsapp_number_at": at}])
    };
    // The message was written at 20:59:43.
    for (rows, answer) in [
        (link(Some("2025-06-08T21:05:00Z")), "Please register."),
        (link(Some("2025-06-08T21:00:00Z")), "Hello"),
        (link(None), "Hello"),
    ] {
        let lookup = ResponseTemplate::new(200).set_body_json(&rows);
        let world = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
        assert_eq!(json_of(&world.sends().await[0])["text"]["body"], answer, "{rows}");
    }
    // The same holds for rows with a deferred user lookup.
    let unavailable = World::new(Answers { lookup: ResponseTemplate::new(503), ..all_well() }).await;
    assert_eq!(unavailable.handle(envelope(&text())).await, Disposition::Delete);
    let task = unavailable.queues.take().remove(0);
    for (at, rows) in [("2025-06-08T21:05:00Z", 0), ("2025-06-08T21:00:00Z", 1)] {
        let lookup = ResponseTemplate::new(200).set_body_json(link(Some(at)));
        let available = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(
            available.reply(Echo).handle(&record_delivery(&task), Deadline::NONE).await,
            Disposition::Delete
        );
        assert_eq!(available.inserts().await.len(), rows, "{at}");
    }
}

#[tokio::test]
async fn a_link_is_completed_unless_it_has_changed() {
    let row = |phone: Value, user_id: Value| json!({"user_id": USER, "whatsapp_phone": phone, "whatsapp_user_id": user_id});
    let sent_at = "2025-06-08T20:59:43.008Z";
    let untouched = ("or", "(whatsapp_link_state.is.null,whatsapp_link_state.eq.changed)");
    for (row, body, conditions) in [
        (
            row(json!("+16505551234"), json!(null)),
            json!({"whatsapp_user_id": "US.1349", "whatsapp_waba_id": "W", "whatsapp_identity_at": sent_at,
                "whatsapp_link_state": "added_user_id"}),
            vec![
                ("whatsapp_phone", "in.(+16505551234,16505551234)"),
                ("whatsapp_user_id", "is.null"),
                untouched,
            ],
        ),
        (
            row(json!(null), json!("US.1349")),
            json!({"whatsapp_phone": "+16505551234", "whatsapp_waba_id": "W", "whatsapp_identity_at": sent_at,
                "whatsapp_link_state": "added_number"}),
            vec![("whatsapp_user_id", "eq.US.1349"), ("whatsapp_phone", "is.null"), untouched],
        ),
        (
            row(json!("+16505551234"), json!("US.1349")),
            json!({"whatsapp_waba_id": "W"}),
            vec![("whatsapp_user_id", "eq.US.1349"), ("whatsapp_waba_id", "is.null")],
        ),
    ] {
        // A failure does not affect the message.
        for link in [200, 409, 503] {
            let lookup = ResponseTemplate::new(200).set_body_json(json!([row]));
            let link = ResponseTemplate::new(link).set_body_json(json!([]));
            let world = World::new(Answers { lookup, link, ..all_well() }).await;
            assert_eq!(world.handle(to_account(&both(), "W")).await, Disposition::Delete);
            assert_eq!(world.inserts().await.len(), 1);
            let completions = world.writes("PATCH", "user_preferences").await;
            assert_eq!(completions.len(), 1, "{row}");
            assert_eq!(json_of(&completions[0]), body);
            assert_eq!(completions[0].headers["prefer"], "return=representation");
            let query: Vec<_> = completions[0]
                .url
                .query_pairs()
                .map(|(name, value)| (name.into_owned(), value.replace('"', "")))
                .collect();
            let user = format!("eq.{USER}");
            for (name, value) in conditions.iter().chain([&("user_id", user.as_str())]) {
                assert!(query.contains(&((*name).to_owned(), (*value).to_owned())), "{name}: {query:?}");
            }
        }
    }
    // A removed identity is not added again.
    let mut removed = row(json!("+16505551234"), json!(null));
    removed["whatsapp_link_state"] = json!("removed");
    let lookup = ResponseTemplate::new(200).set_body_json(json!([removed]));
    let world = World::new(Answers { lookup, ..all_well() }).await;
    assert_eq!(world.handle(to_account(&both(), "W")).await, Disposition::Delete);
    assert_eq!(world.inserts().await.len(), 1);
    assert!(world.writes("PATCH", "user_preferences").await.is_empty());
}

/// An envelope of a system message: a user has another number and user id.
fn changed(field: &str) -> String {
    let system = json!({"type": "user_changed_number", "wa_id": "12195555358", "user_id": "US.B", "previous_user_id": "US.A"});
    let message = json!({"from": "16505551234", "id": "w", "timestamp": "1749416383", "type": "system", "system": system});
    let mut envelope: Value = serde_json::from_str(&to_account(&message, "W")).expect("JSON");
    envelope["v1"]["message"]["field"] = json!(field);
    envelope.to_string()
}

#[tokio::test]
async fn an_identity_change_is_stored_and_applied_in_one_call() {
    let world = World::new(all_well()).await;
    assert_eq!(world.handle(changed("messages")).await, Disposition::Delete);
    let call = json_of(&world.writes("POST", "rpc/keep_identity_event").await[0]);
    let change = json!({"previous_numbers": ["+16505551234", "16505551234"], "previous_user_id": "US.A",
        "numbers": ["+12195555358", "12195555358"], "user_id": "US.B", "at": "2025-06-08T20:59:43Z"});
    assert_eq!(call["changes"], json!([change]));
    assert_eq!(
        (&call["event"]["field"], &call["event"]["waba_id"]),
        (&json!("messages.system"), &json!("W"))
    );
    assert!(world.writes("POST", "account_events").await.is_empty());

    let update = json!({"user_id": {"previous": "US.A", "current": "US.B"}, "timestamp": "1749416383"});
    let event = |value: &Value| {
        json!({"v1": {"event": {"received_at": "2025-06-08T20:59:43.500Z", "name": "user_id_update", "value": value}}})
            .to_string()
    };
    let world = World::new(all_well()).await;
    assert_eq!(world.handle(event(&json!({"user_id_update": [update]}))).await, Disposition::Delete);
    let call = json_of(&world.writes("POST", "rpc/keep_identity_event").await[0]);
    assert_eq!(call["changes"][0]["numbers"], json!([]));
    assert_eq!(call["changes"][0]["user_id"], "US.B");

    // In a field in which Meta does not send identity changes, it is an ordinary event.
    for field in ["history", "standby", "holograms"] {
        let world = World::new(all_well()).await;
        assert_eq!(world.handle(changed(field)).await, Disposition::Delete);
        assert_eq!(world.writes("POST", "account_events").await.len(), 1);
        assert!(world.writes("POST", "rpc/keep_identity_event").await.is_empty());
    }
}

#[tokio::test]
async fn a_redelivered_identity_change_is_the_same_event() {
    let id = |envelope: &str| {
        let received: Value = serde_json::from_str(envelope).expect("JSON");
        let mut later = received.clone();
        for kind in ["message", "event"] {
            if received["v1"][kind].is_object() {
                later["v1"][kind]["received_at"] = json!("2025-06-14T20:59:43.500Z");
            }
        }
        [received, later].map(|envelope| match Work::read(&envelope.to_string()).expect("an envelope") {
            Work::MessageEvent(message) => message.event.id,
            Work::Event(event) => event.id,
            other => panic!("{other:?}"),
        })
    };
    let update = json!({"user_id": {"previous": "US.A", "current": "US.B"}, "timestamp": "1749416383"});
    let value = json!({"user_id_update": [update]});
    let update = json!({"v1": {"event": {"received_at": "2025-06-08T20:59:43.500Z", "name": "user_id_update", "value": value}}});
    for envelope in [changed("messages"), update.to_string()] {
        let [first, again] = id(&envelope);
        assert_eq!(first, again);
    }
}

#[tokio::test]
async fn an_identity_change_waits_in_its_message_group() {
    for status in [503, 404] {
        let world =
            World::new(Answers { identity_change: ResponseTemplate::new(status), ..all_well() }).await;
        assert!(is_returned(world.handle(changed("messages")).await));
        assert!(
            world.queues.take().is_empty(),
            "it is not deferred, so that its user's messages wait for it"
        );
    }
}

#[tokio::test]
async fn brazilian_and_mexican_numbers_match_in_both_spellings() {
    for (linked, from) in [
        ("+5511987654321", "551187654321"),
        ("551187654321", "5511987654321"),
        ("+525512345678", "5215512345678"),
        ("+5215512345678", "525512345678"),
    ] {
        let row = |user: &str, phone: &str| json!({"user_id": user, "whatsapp_phone": phone, "whatsapp_user_id": null});
        let mut message = text();
        message["from"] = json!(from);
        let lookup = ResponseTemplate::new(200).set_body_json(json!([row(USER, linked)]));
        let world = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(world.handle(envelope(&message)).await, Disposition::Delete);
        assert_eq!(world.inserts().await[0][0]["user_id"], USER, "{linked} {from}");
        let digits = linked.trim_start_matches('+');
        let lookup = world.writes("GET", "user_preferences").await.remove(0);
        assert!(lookup.url.query_pairs().any(|(_, filter)| filter.contains(from) && filter.contains(digits)));
        // A user with the exact spelling of the sender's number takes precedence.
        let other = "22222222-2222-4222-8222-222222222222";
        let lookup = ResponseTemplate::new(200).set_body_json(json!([row(USER, linked), row(other, from)]));
        let world = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(world.handle(envelope(&message)).await, Disposition::Delete);
        assert_eq!(world.inserts().await[0][0]["user_id"], other);
    }
}
