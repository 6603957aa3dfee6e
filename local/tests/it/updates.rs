//! All updates other than a text message from a phone number, on the real binaries and a real database.

use local_graph::Received;
use local_process::Guardian;
use local_stack::Stack;
use local_supabase::{Options, USER_A, USER_B};
use reply::database::{Database, Project};
use reply::delivery::Work;
use reply::incoming::{Event, Status};
use reply::statuses::Applied;
use serde_json::{Value, json};
use shared::supabase::Supabase;

use local_testing::*;

/// Returns a payload of statuses, from the business number of the samples.
fn statuses(statuses: &[Value]) -> Vec<u8> {
    with_value(json!({"statuses": statuses}))
}

/// Returns a payload with these fields in its value.
fn with_value(value: Value) -> Vec<u8> {
    let mut payload: Value = serde_json::from_slice(&payload(&[])).expect("JSON");
    let whole = payload["entry"][0]["changes"][0]["value"].as_object_mut().expect("a value");
    whole.remove("messages");
    whole.extend(value.as_object().expect("an object").clone());
    payload.to_string().into_bytes()
}

fn status(wamid: &str, name: &str, second: i64) -> Value {
    json!({"id": wamid, "status": name, "timestamp": second.to_string(), "recipient_id": PHONE_A})
}

/// Returns a status of a reply, with the callback data of its send, as Meta returns it.
fn status_of(reply: &Received, name: &str, second: i64) -> Value {
    let mut status = status(&reply.id, name, second);
    status["biz_opaque_callback_data"] = json!(reply.callback_data);
    status
}

async fn history(stack: &Stack, user: usize, query: &str) -> Vec<Value> {
    let (_, token) = &stack.users().expect("tokens")[user];
    let client = shared::http::client().expect("a client");
    let response = client.get(format!("{}/messages{query}", stack.url())).bearer_auth(token).send().await;
    let response = response.expect("answered");
    assert_eq!(response.status().as_u16(), 200, "{query}");
    response.json().await.expect("JSON")
}

/// Returns the reply that the phone received, and its row in the history.
async fn answer(stack: &Stack, wamid: &str) -> (Received, Value) {
    let received = stack.services.graph.received();
    let received =
        received.into_iter().find(|reply| reply.quotes.as_deref() == Some(wamid)).expect("a reply");
    let rows = history(stack, 0, "?role=assistant").await;
    let row = rows.into_iter().find(|row| row["content"].as_str() == received.body.as_deref());
    (received, row.expect("a row"))
}

#[tokio::test]
async fn status_outcome_is_the_same_in_any_order_and_repetition() {
    let stack = stack().await;
    stack.play(&payload(&[text(PHONE_A, "wamid.q", "How far?")])).await.expect("played");
    let (reply, row) = answer(&stack, "wamid.q").await;
    assert_eq!((row.get("status"), &row["type"]), (None, &json!("text")));

    let [sent, delivered, read] = [("sent", 10), ("delivered", 20), ("read", 30)]
        .map(|(name, second)| status_of(&reply, name, 1_750_000_000 + second));
    let played = stack.play(&statuses(&[read.clone(), sent.clone()])).await.expect("played");
    let outcomes: Vec<_> = played.statuses.iter().map(|status| status.outcome.as_str()).collect();
    assert_eq!((outcomes.as_slice(), played.queued), (["applied", "applied"].as_slice(), 0));
    assert_eq!(answer(&stack, "wamid.q").await.1["status"], "read");
    // A different payload simulates a redelivery after the deduplication interval.
    let mut again = sent.clone();
    again["pricing"] = json!({"billable": true});
    let played = stack.play(&statuses(&[delivered, again])).await.expect("played");
    let outcomes: Vec<_> = played.statuses.iter().map(|status| status.outcome.as_str()).collect();
    assert_eq!(outcomes, ["applied", "applied_before"]);
    let (_, row) = answer(&stack, "wamid.q").await;
    assert_eq!((&row["status"], &row["read_at"]), (&json!("read"), &json!("2025-06-15T15:07:10Z")));
    assert_eq!(
        (&row["sent_at"], &row["delivered_at"]),
        (&json!("2025-06-15T15:06:50Z"), &json!("2025-06-15T15:07:00Z"))
    );

    // A reply that was not delivered.
    stack.play(&payload(&[text(PHONE_A, "wamid.r", "And this?")])).await.expect("played");
    let (reply, _) = answer(&stack, "wamid.r").await;
    let mut failed = status_of(&reply, "failed", 1_750_000_100);
    failed["errors"] =
        json!([{"code": 131_026, "title": "Undeliverable", "error_data": {"details": "No WhatsApp"}}]);
    stack.play(&statuses(&[failed, status_of(&reply, "sent", 1_750_000_099)])).await.expect("played");
    let (_, row) = answer(&stack, "wamid.r").await;
    assert_eq!(
        (&row["status"], &row["error_code"], &row["error_text"]),
        (&json!("failed"), &json!(131_026), &json!("No WhatsApp"))
    );
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn statuses_wait_for_the_database_without_delaying_messages() {
    let stack = stack().await;
    stack.play(&payload(&[text(PHONE_A, "wamid.q", "How far?")])).await.expect("played");
    let (reply, _) = answer(&stack, "wamid.q").await;
    let database = stack.services.supabase.own().expect("ours").database();
    database.stop().await.expect("stopped");
    let mark = stack.logs.mark();
    let many: Vec<_> = (0..20).map(|n| status_of(&reply, "delivered", 1_750_000_000 + n)).collect();
    assert_eq!(stack.post(&statuses(&many)).await.expect("answered"), 200);
    assert_eq!(
        stack.post(&payload(&[text(PHONE_A, "wamid.r", "Still there?")])).await.expect("answered"),
        200
    );
    outcome(&stack, mark, "wamid.r", "answered").await;
    outcome(&stack, mark, &reply.id, "deferred").await;
    database.start().await.expect("started");
    until("the status is applied", async || {
        let status: Option<(Option<String>, i64)> = sqlx::query_as(
            "select m.status, (select count(*) from message_statuses s where s.message_id = m.id) from messages m
                where $1 = any (m.wamids)")
            .bind(&reply.id).fetch_optional(database.pool()).await.ok().flatten();
        status == Some((Some("delivered".to_owned()), 20))
    })
    .await;
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn edits_revokes_and_reactions_refer_to_their_message() {
    let stack = stack().await;
    let message = |wamid: &str, kind: &str, body: Value| json!({"from": PHONE_A, "id": wamid, "timestamp": "1749416400", "type": kind, kind: body});
    stack
        .play(&payload(&[text(PHONE_A, "wamid.1", "Helo"), text(PHONE_A, "wamid.2", "Oops")]))
        .await
        .expect("played");
    let played = stack
        .play(&payload(&[
            message("wamid.3", "edit", json!({"original_message_id": "wamid.1", "message": {"type": "text", "text": {"body": "Hello"}}})),
            message("wamid.4", "revoke", json!({"original_message_id": "wamid.2"})),
            message("wamid.5", "reaction", json!({"message_id": "wamid.1", "emoji": "👍"})),
        ]))
        .await
        .expect("played");
    assert_eq!((played.queued, played.echoes.len(), played.rows.len()), (3, 0, 3));
    let rows = history(&stack, 0, "?role=user").await;
    let row = |content: &str| {
        rows.iter().find(|row| row["content"] == content).unwrap_or_else(|| panic!("{content}: {rows:?}"))
    };
    assert!(row("Helo")["edited_at"].is_string() && row("Helo").get("revoked_at").is_none());
    assert!(row("Oops")["revoked_at"].is_string() && row("Oops").get("edited_at").is_none());
    for (content, kind, refers_to) in [
        ("Hello", "edit", "wamid.1"),
        ("[deleted message]", "revoke", "wamid.2"),
        ("👍", "reaction", "wamid.1"),
    ] {
        assert_eq!((&row(content)["type"], &row(content)["refers_to"]), (&json!(kind), &json!(refers_to)));
    }
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_username_sender_is_found_by_completed_and_changed_links() {
    let stack = stack().await;
    let message = |wamid: &str, from: Option<&str>, user_id: &str, body: &str| {
        let mut message = text(from.unwrap_or_default(), wamid, body);
        if from.is_none() {
            message.as_object_mut().expect("an object").remove("from");
        }
        message["from_user_id"] = json!(user_id);
        message
    };
    let recipients = |stack: &Stack| -> Vec<_> {
        stack
            .services
            .graph
            .received()
            .into_iter()
            .map(|reply| (reply.to, reply.recipient, reply.body))
            .collect()
    };
    let reply = |to: Option<&str>, recipient: Option<&str>, body: &str| {
        (to.map(|number| format!("+{number}")), recipient.map(str::to_owned), Some(body.to_owned()))
    };
    // The link is completed by a message with both identities.
    stack.play(&payload(&[message("wamid.1", Some(PHONE_A), "US.1", "with both")])).await.expect("played");
    stack.play(&payload(&[message("wamid.2", None, "US.1", "without a number")])).await.expect("played");
    // The user gets another number, and with it another user id.
    let system = json!({"type": "user_changed_user_id", "user_id": "US.2", "previous_user_id": "US.1"});
    let changed = json!({"id": "wamid.3", "timestamp": "1749416400", "type": "system", "system": system});
    let played = stack.play(&payload(&[changed])).await.expect("played");
    assert_eq!(played.events[0].field, "messages.system");
    stack.play(&payload(&[message("wamid.4", None, "US.2", "somewhere else")])).await.expect("played");
    let expected = [
        reply(Some(PHONE_A), None, "with both"),
        reply(None, Some("US.1"), "without a number"),
        reply(None, Some("US.2"), "somewhere else"),
    ];
    assert_eq!(recipients(&stack), expected);
    assert_eq!(stack.services.graph.stored().dropped, [], "a user id in `to`");
    assert_eq!(history(&stack, 0, "").await.len(), 6);
    assert!(history(&stack, 1, "").await.is_empty());

    let update = json!({"user_id": {"previous": "US.2", "current": "US.3"}, "timestamp": "1750030073"});
    let mut event: Value =
        serde_json::from_slice(&with_value(json!({"user_id_update": [update]}))).expect("JSON");
    event["entry"][0]["changes"][0]["field"] = json!("user_id_update");
    stack.play(event.to_string().as_bytes()).await.expect("played");
    let played = stack.play(&payload(&[message("wamid.5", None, "US.3", "here")])).await.expect("played");
    assert_eq!(played.rows.iter().map(|row| row.user_id).collect::<Vec<_>>(), [USER_A, USER_A]);
    stack.stop().await.expect("stopped");
}

/// Writes rows twice with the functions' own client.
#[tokio::test]
async fn existing_rows_are_not_changed() {
    let guardian = Guardian::start().expect("a guardian");
    let supabase = local_supabase::Supabase::start(Options::default(), &guardian).await.expect("a project");
    let url = supabase.url().parse().expect("a URL");
    let key = supabase.secret_key().parse().expect("a key");
    let project = Project::new(Supabase::new(&url, key, shared::http::client().expect("a client")));

    let exchange = |question: &str, answer: Option<&str>| {
        let line = |content: &str| json!({"content": content, "at": "2025-06-08T20:59:43Z"});
        let exchange = json!({"wamid": "wamid.1", "question": line(question), "answer": answer.map(line)});
        serde_json::from_value(exchange).expect("an exchange")
    };
    for (question, answer) in [("first", None), ("second", Some("the answer")), ("third", Some("another"))] {
        project.record(USER_A, &exchange(question, answer)).await.expect("written");
    }
    let contents: Vec<String> = sqlx::query_scalar("select content from messages order by role desc")
        .fetch_all(supabase.pool())
        .await
        .expect("rows");
    assert_eq!(contents, ["first", "the answer"], "the row that was missing is added");

    let read = |kind: &str, update: Value| {
        let body = json!({"v1": {kind: update}}).to_string();
        Work::read(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    };
    // Rows older than the retention period would be deleted at once.
    let received_at = chrono::Utc::now();
    let event = json!({"received_at": received_at, "name": "account_update", "value": {"event": "first"}});
    let status = json!({"received_at": received_at, "status": {"id": "wamid.2", "status": "failed",
        "errors": [{"title": "first"}]}});
    let (Work::Event(event), Work::Status(status)) = (read("event", event), read("status", status)) else {
        panic!("an event and a status");
    };
    let mut applied = Vec::new();
    for text in ["first", "second"] {
        let event = Event { payload: json!({"event": text}).to_string(), ..event.clone() };
        project.store_event(&event).await.expect("stored");
        let status = Status { error_text: Some(text.to_owned()), ..status.clone() };
        applied.push(project.record_status(&status).await.expect("written"));
    }
    assert_eq!(applied, [Applied::NoRow, Applied::Before]);
    let stored: Vec<(Value, String)> =
        sqlx::query_as("select account_events.payload, error_text from account_events, message_statuses")
            .fetch_all(supabase.pool())
            .await
            .expect("rows");
    assert_eq!(stored, [(json!({"event": "first"}), "first".to_owned())]);
    supabase.stop().await.expect("stopped");
}

#[tokio::test]
async fn messages_of_the_business_are_in_the_history_with_statuses() {
    let stack = stack().await;
    // Modelled on a public bug report.
    let echo = json!({"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [
        {"field": "smb_message_echoes", "value": {"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
            "contacts": [{"wa_id": PHONE_A}],
            "message_echoes": [{"from": "15550783881", "to": PHONE_A, "id": "wamid.echo", "timestamp": "1749416390",
                "type": "text", "text": {"body": "from the shop phone"}}]}}]}]});
    let echo = echo.to_string();
    stack.play(&payload(&[text(PHONE_A, "wamid.q", "Are you open?")])).await.expect("played");
    let sent =
        json!({"id": "wamid.echo", "status": "read", "timestamp": "1749416395", "recipient_id": PHONE_A});
    let early = with_value(json!({"statuses": [sent]}));
    assert_eq!(stack.play(&early).await.expect("played").statuses[0].outcome, "stored");
    let played = stack.play(echo.as_bytes()).await.expect("played");
    assert_eq!((played.queued, played.rows.len(), played.echoes.len()), (1, 1, 0));
    assert_eq!(stack.post(echo.as_bytes()).await.expect("answered"), 200, "redelivered");
    until_queue_is_empty(&stack).await;
    let shown = history(&stack, 0, "").await;
    let sent: Vec<_> = shown.iter().filter(|row| row["content"] == "from the shop phone").collect();
    assert_eq!((shown.len(), sent.len()), (3, 1), "{shown:?}");
    let row = sent[0];
    assert_eq!((&row["role"], &row["status"]), (&json!("assistant"), &json!("read")));
    assert_eq!(row["type"], "text");
    // Meta's timestamp in seconds, and the order of arrival within a second.
    let at = row["created_at"].as_str().expect("a time");
    assert!(at.starts_with("2025-06-08T20:59:50"), "{at}");
    assert_eq!(stack.services.graph.received().len(), 1, "only the reply to the question");
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn two_spellings_of_a_number_are_one_number() {
    let stack = stack().await;
    for (linked, from) in [
        ("+5511987654321", "551187654321"),
        ("+525512345678", "5215512345678"),
        // Modelled on a public bug report.
        ("+541155501234", "5491155501234"),
        ("+22997123456", "2290197123456"),
        ("+2250707123456", "22507123456"),
    ] {
        let pool = stack.services.supabase.pool();
        sqlx::query("update user_preferences set whatsapp_phone = $1 where user_id = $2")
            .bind(linked)
            .bind(USER_B)
            .execute(pool)
            .await
            .expect("linked");
        let message = text(from, &format!("wamid.{from}"), "the other spelling");
        let played = stack.play(&payload(&[message])).await.expect("played");
        assert_eq!((&played.echoes[0].to, played.rows[0].user_id), (&format!("+{from}"), USER_B), "{linked}");
    }
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn replies_use_the_phone_number_id_of_the_message() {
    let stack = stack().await;
    let to = |number: &str, message: Value| json!({"field": "messages", "value": {"metadata": {"phone_number_id": number}, "messages": [message]}});
    let changes = [
        to("111111111111111", text(PHONE_A, "wamid.1", "one")),
        to("222222222222222", text(PHONE_B, "wamid.2", "two")),
    ];
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]});
    stack.play(body.to_string().as_bytes()).await.expect("played");
    let mut sent: Vec<_> = stack
        .services
        .graph
        .received()
        .into_iter()
        .map(|reply| (reply.body.expect("a string"), reply.phone_number_id))
        .collect();
    sent.sort();
    let expected = [("one", "111111111111111"), ("two", "222222222222222")];
    assert_eq!(sent, expected.map(|(body, number)| (body.to_owned(), number.to_owned())));
    for (user, (body, number)) in expected.into_iter().enumerate() {
        let rows = history(&stack, user, "").await;
        assert!(
            rows.iter().all(|row| row["content"] == body && row["phone_number_id"] == number),
            "{rows:?}"
        );
        assert_eq!(rows.len(), 2);
    }
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_thousand_mixed_updates_in_one_request_are_processed() {
    let stack = stack().await;
    let mut changes = Vec::new();
    for n in 0..250 {
        let from = [PHONE_A, PHONE_B][n % 2];
        let image = json!({"from": from, "id": format!("wamid.i{n}"), "type": "image", "image": {"id": n.to_string()}});
        let messages = [text(from, &format!("wamid.t{n}"), &format!("text {n}")), image];
        let statuses = [status(&format!("wamid.s{n}"), "delivered", 1_750_000_000)];
        let metadata = json!({"phone_number_id": local_stack::services::PHONE_NUMBER_ID});
        changes.push(json!({"field": "messages", "value": {"metadata": metadata, "messages": messages, "statuses": statuses}}));
        changes.push(json!({"field": "account_update", "value": {"event": "X", "number": n}}));
    }
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]});
    let played = stack.play(body.to_string().as_bytes()).await.expect("played");
    assert!(!played.incomplete, "{:?}", played.ignored);
    assert_eq!((played.status, played.queued, played.echoes.len(), played.rows.len()), (200, 500, 250, 750));
    assert_eq!((played.statuses.len(), played.events.len(), played.ignored.len()), (250, 250, 0));
    for user in [USER_A, USER_B] {
        let rows: (i64,) = sqlx::query_as("select count(*) from messages where user_id = $1")
            .bind(user)
            .fetch_one(stack.services.supabase.pool())
            .await
            .expect("rows");
        assert_eq!(rows.0, 375);
    }
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_too_large_message_is_truncated_and_marked_in_its_row() {
    let stack = stack().await;
    let caption = "long ".repeat(400_000);
    let large = json!({"from": PHONE_A, "id": "wamid.1", "timestamp": "1749416383", "type": "order",
        "order": {"catalog_id": "1", "text": caption, "product_items": [{}, {}]}});
    let played = stack.play(&payload(&[large, text(PHONE_A, "wamid.2", "short")])).await.expect("played");
    assert_eq!((played.queued, played.echoes.len(), played.rows.len()), (2, 1, 3));
    let (content, truncated): (String, Value) =
        sqlx::query_as("select content, payload->'truncation' from messages where 'wamid.1' = any (wamids)")
            .fetch_one(stack.services.supabase.pool())
            .await
            .expect("a row");
    assert!(caption.starts_with(&content) && content.len() > 4_000, "{}", content.len());
    assert!(truncated["bytes"].as_u64().is_some_and(|bytes| bytes > 2_000_000), "{truncated}");
    stack.stop().await.expect("stopped");
}
