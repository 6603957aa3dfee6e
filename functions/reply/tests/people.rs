//! Whose a message is: by number, by user id, by both; what is learned, and who is followed.

mod support;

use reply::batch::Outcome;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use support::*;

#[tokio::test]
async fn the_lookup_asks_for_both_spellings_with_the_service_key() {
    let world = World::new(all_well()).await;
    assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
    let requests = world.supabase.received_requests().await.expect("recorded");
    let lookup = requests.iter().find(|request| request.method.as_str() == "GET").expect("a lookup");
    let filter = lookup.url.query_pairs().find(|(name, _)| name == "whatsapp_phone").expect("a filter").1;
    let spellings = filter.replace('"', "");
    assert_eq!(spellings, "in.(+16505551234,16505551234)");
    assert_eq!(lookup.headers["apikey"], "sb_secret_k");
    assert_eq!(lookup.headers["range"], "0-99", "two rows may be one user's, and hide another owner");
}

#[tokio::test]
async fn nobody_s_number_is_told_how_to_register_and_nothing_is_written() {
    let lookup = ResponseTemplate::new(200).set_body_json(json!([]));
    let world = World::new(Answers { lookup, ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
    let sends = world.sends().await;
    assert_eq!(json_of(&sends[0])["text"]["body"], "Please register.");
    assert!(world.inserts().await.is_empty());
}

#[tokio::test]
async fn a_number_that_several_users_linked_is_nobody_s() {
    let [mine, other] = [linked(json!(USER)), linked(json!("22222222-2222-4222-8222-222222222222"))];
    let hidden = json!([mine, mine, linked(json!(null)), other]);
    // As many rows as are asked for: there may be more.
    let many = Value::from(vec![mine.clone(); 100]);
    for rows in [json!([mine, other]), hidden, many] {
        let lookup = ResponseTemplate::new(200).set_body_json(rows);
        let world = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
        assert_eq!(json_of(&world.sends().await[0])["text"]["body"], "Please register.");
        assert!(world.inserts().await.is_empty());
    }
}

#[tokio::test]
async fn rows_without_a_user_link_nothing_and_several_rows_of_one_user_are_one() {
    let (mine, none) = (linked(json!(USER)), linked(json!(null)));
    for (rows, expected) in [
        (json!([none, mine]), "Hello"),
        (json!([mine, mine, mine]), "Hello"),
        (json!([none, none]), "Please register."),
    ] {
        let lookup = ResponseTemplate::new(200).set_body_json(rows);
        let world = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
        assert_eq!(json_of(&world.sends().await[0])["text"]["body"], expected);
    }
}

fn both() -> Value {
    let mut message = text();
    message["from_user_id"] = json!("US.1349");
    message
}

#[tokio::test]
async fn a_person_is_found_by_user_id_before_number_and_by_either() {
    let row = |user: &str, phone: Value, user_id: Value| json!({"user_id": user, "whatsapp_phone": phone, "whatsapp_user_id": user_id});
    let other = "22222222-2222-4222-8222-222222222222";
    let theirs = |user_id: Value| row(other, json!("+16505551234"), user_id);
    for (rows, found) in [
        (json!([row(USER, json!("+16505551234"), json!("US.1349"))]), Some(USER)),
        (json!([theirs(json!(null)), row(USER, json!(null), json!("US.1349"))]), Some(USER)),
        (json!([theirs(json!("US.7")), row(USER, json!("+1"), json!("US.1349"))]), Some(USER)),
        (json!([row(USER, json!("16505551234"), json!(null))]), Some(USER)),
        // Its own way of writing it, or a user id towards another business.
        (json!([theirs(json!("US.7"))]), Some(other)),
        (json!([]), None),
    ] {
        let lookup = ResponseTemplate::new(200).set_body_json(&rows);
        let world = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(world.handle(envelope(&both())).await, Outcome::Done);
        let inserts = world.inserts().await;
        assert_eq!(inserts.first().and_then(|rows| rows[0]["user_id"].as_str()), found, "{rows}");
        let request = world.writes("GET", "user_preferences").await.remove(0);
        let filter =
            request.url.query_pairs().find(|(name, _)| name == "or").expect("a filter").1.into_owned();
        assert_eq!(filter, "(whatsapp_user_id.eq.\"US.1349\",whatsapp_phone.in.(+16505551234,16505551234))");
    }
}

#[tokio::test]
async fn a_person_without_a_number_is_found_by_user_id_and_answered_by_it() {
    let message = json!({"from_user_id": "US.1349", "id": "w", "type": "text", "text": {"body": "Hello"}});
    let lookup = json!([{"user_id": USER, "whatsapp_phone": null, "whatsapp_user_id": "US.1349"}]);
    let world =
        World::new(Answers { lookup: ResponseTemplate::new(200).set_body_json(lookup), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&message)).await, Outcome::Done);
    let send = json_of(&world.sends().await[0]);
    assert_eq!((&send["recipient"], send.get("to")), (&json!("US.1349"), None));
    let lookup = world.writes("GET", "user_preferences").await.remove(0);
    assert!(
        lookup.url.query_pairs().any(|(name, value)| name == "whatsapp_user_id" && value == "eq.US.1349")
    );
    assert!(world.writes("PATCH", "user_preferences").await.is_empty(), "nothing to learn");
}

#[tokio::test]
async fn the_missing_one_of_number_and_user_id_is_learned_and_failing_in_that_is_no_failure() {
    for (row, column, value) in [
        (
            json!({"user_id": USER, "whatsapp_phone": "+16505551234", "whatsapp_user_id": null}),
            "whatsapp_user_id",
            "US.1349",
        ),
        (
            json!({"user_id": USER, "whatsapp_phone": null, "whatsapp_user_id": "US.1349"}),
            "whatsapp_phone",
            "+16505551234",
        ),
    ] {
        for status in [204, 409, 503] {
            let lookup = ResponseTemplate::new(200).set_body_json(json!([row]));
            let link = ResponseTemplate::new(status);
            let world = World::new(Answers { lookup, link, ..all_well() }).await;
            assert_eq!(world.handle(envelope(&both())).await, Outcome::Done);
            let writes = world.writes("PATCH", "user_preferences").await;
            // A refusal may end it before the column in question.
            assert!(!writes.is_empty(), "{column} {status}");
            for write in &writes {
                let written = json_of(write);
                let written = written.as_object().expect("an object").keys().next().expect("a column");
                let query = write.url.query().expect("a query");
                assert_eq!(query, format!("user_id=eq.{USER}&{written}=is.null"));
                assert_eq!(write.headers["prefer"], "return=minimal");
            }
            let learned: Vec<_> = writes.iter().map(json_of).collect();
            assert!(status != 204 || learned.contains(&json!({column: value})), "{learned:?}");
            assert_eq!(world.inserts().await.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_user_is_followed_to_a_new_number_and_user_id() {
    let system = json!({"type": "user_changed_number", "wa_id": "12195555358", "user_id": "US.B", "previous_user_id": "US.A"});
    let message = json!({"from": "16505551234", "id": "w", "type": "system", "system": system});
    let lookup = json!([{"user_id": USER, "whatsapp_phone": "+16505551234", "whatsapp_user_id": "US.A"}]);
    let answers = || Answers { lookup: ResponseTemplate::new(200).set_body_json(&lookup), ..all_well() };
    let world = World::new(answers()).await;
    assert_eq!(world.handle(envelope(&message)).await, Outcome::Done);
    let relinked = world.writes("PATCH", "user_preferences").await.remove(0);
    assert_eq!(json_of(&relinked), json!({"whatsapp_phone": "+12195555358", "whatsapp_user_id": "US.B"}));
    assert_eq!(relinked.url.query(), Some(format!("user_id=eq.{USER}").as_str()));
    assert_eq!(world.writes("POST", "account_events").await.len(), 1);

    let value = json!({"user_id_update": [{"user_id": {"previous": "US.A", "current": "US.B"}}]});
    let update = json!({"v1": {"event": {"received_at": "2025-06-08T20:59:43.500Z", "name": "user_id_update", "value": value}}});
    let world = World::new(answers()).await;
    assert_eq!(world.handle(update.to_string()).await, Outcome::Done);
    assert_eq!(
        json_of(&world.writes("PATCH", "user_preferences").await[0]),
        json!({"whatsapp_user_id": "US.B"})
    );

    // While the database is away it waits; when somebody else has the number, a person must look.
    let away = World::new(Answers { lookup: ResponseTemplate::new(503), ..all_well() }).await;
    assert_eq!(away.handle(envelope(&message)).await, Outcome::Done);
    assert_eq!(away.queues.take().len(), 1);
    let taken = World::new(Answers { link: ResponseTemplate::new(409), ..answers() }).await;
    assert_eq!(taken.handle(envelope(&message)).await, Outcome::Done);
    assert_eq!(taken.writes("POST", "account_events").await.len(), 1);
}

#[tokio::test]
async fn brazilian_and_mexican_numbers_find_their_user_whichever_way_they_were_linked() {
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
        assert_eq!(world.handle(envelope(&message)).await, Outcome::Done);
        assert_eq!(world.inserts().await[0][0]["user_id"], USER, "{linked} {from}");
        let digits = linked.trim_start_matches('+');
        let lookup = world.writes("GET", "user_preferences").await.remove(0);
        assert!(lookup.url.query_pairs().any(|(_, filter)| filter.contains(from) && filter.contains(digits)));
        // Somebody who linked the very number that wrote comes first.
        let other = "22222222-2222-4222-8222-222222222222";
        let lookup = ResponseTemplate::new(200).set_body_json(json!([row(USER, linked), row(other, from)]));
        let world = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(world.handle(envelope(&message)).await, Outcome::Done);
        assert_eq!(world.inserts().await[0][0]["user_id"], other);
    }
}
