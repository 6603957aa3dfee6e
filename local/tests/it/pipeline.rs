//! The pipeline on the real binaries: from a signed webhook to replies, rows and the history.

use std::collections::BTreeMap;
use std::iter::repeat;
use std::time::Duration;

use chrono::{DateTime, Utc};
use local::demo;
use local_graph::Fault;
use local_stack::Options;
use local_stack::fresh_ids::FreshIds;
use local_stack::logs::Mark;
use local_stack::payloads;
use local_stack::play::{Played, Sent};
use local_stack::queues::INBOUND;
use local_stack::services::VERIFY_TOKEN;
use local_supabase::{USER_A, USER_B};
use reply::settings::REGISTRATION_TEXT;
use serde_json::{Value, json};

use local_testing::*;

#[tokio::test]
async fn a_sample_gets_one_reply_two_rows_and_a_private_history() {
    for legacy_keys in [false, true] {
        let stack = stack_with(Options { legacy_keys, ..Options::default() }).await;
        let demo = demo::play(&stack).await.expect("played");
        assert_eq!(demo.differences, Vec::<String>::new(), "legacy keys: {legacy_keys}");
        assert_eq!(demo.history[&USER_A].len(), 2);
        assert_eq!(demo.history[&USER_B].len(), 0);
        stack.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn every_sample_returns_200_and_every_message_is_queued() {
    let stack = stack().await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/meta-webhook-examples.json");
    let samples = payloads::read(&[file.into()]).expect("samples");
    assert_eq!(samples.len(), 16);
    let mut fresh_ids = FreshIds::new(true);
    for mut sample in samples {
        fresh_ids.replace_used(&mut sample);
        let json: Value = serde_json::from_slice(&sample.body).expect("JSON");
        let messages =
            json["entry"][0]["changes"][0]["value"]["messages"].as_array().cloned().unwrap_or_default();
        let kind =
            messages.first().and_then(|message| message["type"].as_str()).unwrap_or_default().to_owned();
        let played = stack.play(&sample.body).await.expect("played");
        let name = &sample.name;
        assert_eq!((played.status, played.queued), (200, messages.len()), "{name}");
        let expected = match kind.as_str() {
            "text" | "image" | "button" | "interactive" => (1, 2, 0),
            "" | "system" => (0, 0, 1),
            _ => (0, 1, 0),
        };
        assert_eq!((played.echoes.len(), played.rows.len(), played.events.len()), expected, "{name}");
        assert_eq!(played.ignored, [], "{name}");
    }
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_redelivered_message_is_answered_and_stored_once() {
    let stack = stack().await;
    let mark = stack.logs.mark();
    let body = payload(&[text(PHONE_A, "wamid.twice", "once")]);
    let (first, second) = tokio::join!(stack.post(&body), stack.post(&body));
    assert_eq!((first.expect("answered"), second.expect("answered")), (200, 200));
    outcome(&stack, mark, "wamid.twice", "answered").await;
    until_queue_is_empty(&stack).await;
    assert_eq!(stack.services.graph.received().len(), 1);
    assert_eq!(rows(&stack).await.len(), 2);
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn duplicates_are_recognized_as_the_queue_does() {
    let stack = stack().await;
    let nameless = |body: &str| json!({"from": PHONE_A, "type": "text", "text": {"body": body}});
    let messages = [nameless("one"), nameless("two"), nameless("one"), text(PHONE_A, "wamid.1", "three")];
    let mut sent = Sent::default();
    let first = stack.play_next(&payload(&messages), &mut sent).await.expect("played");
    let bodies: Vec<_> = first.echoes.iter().filter_map(|reply| reply.body.as_deref()).collect();
    assert_eq!((first.queued, bodies, first.rows.len()), (4, vec!["one", "two", "three"], 6));
    let ignored = |played: &Played| -> Vec<String> {
        played.ignored.iter().map(|one| format!("{}: {}", one.what, one.why)).collect()
    };
    let again = "message text without an id: a duplicate in the same payload: the queue accepts only one";
    assert_eq!(ignored(&first), [again]);

    let messages = [nameless("two"), text(PHONE_A, "wamid.1", "three"), nameless("four")];
    let second = stack.play_next(&payload(&messages), &mut sent).await.expect("played");
    assert_eq!((second.queued, second.echoes.len(), second.rows.len()), (3, 1, 2));
    let earlier = "a duplicate of an earlier payload: the queue accepts only one";
    let duplicates =
        ["message text without an id", "message text wamid.1"].map(|what| format!("{what}: {earlier}"));
    assert_eq!(ignored(&second), duplicates);
    assert!(!first.incomplete && !second.incomplete);
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn senders_are_answered_in_parallel_and_each_in_order() {
    let stack = stack().await;
    let senders = [PHONE_A, PHONE_B, "491701234567", "447700900123", "33612345678"];
    // A message that did not wait for the first answer would overtake it.
    for sender in senders {
        stack.services.graph.fail_recipient(sender, Some(1), Fault::slow(Duration::from_millis(500)));
    }
    let messages: Vec<Value> = (0..60)
        .map(|n| text(senders[n % senders.len()], &format!("wamid.{n:03}"), &format!("question {n}")))
        .collect();
    let played = stack.play(&payload(&messages)).await.expect("played");
    assert_eq!((played.status, played.queued, played.echoes.len()), (200, 60, 27));

    let mut quoted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for reply in &played.echoes {
        quoted.entry(&reply.to).or_default().push(reply.quotes.as_deref().expect("a quotation"));
    }
    assert_eq!(quoted.len(), senders.len());
    let is_linked = |to: &str| [PHONE_A, PHONE_B].contains(&to.trim_start_matches('+'));
    for (to, wamids) in &quoted {
        // An unlinked sender gets the registration text once.
        assert_eq!(wamids.len(), if is_linked(to) { 12 } else { 1 }, "{quoted:?}");
        assert!(wamids.is_sorted(), "{quoted:?}");
    }
    for reply in &played.echoes {
        let linked = is_linked(&reply.to);
        let body = reply.body.as_deref().expect("a string");
        assert_eq!(body.starts_with("question "), linked, "{body}");
        assert_eq!(body == REGISTRATION_TEXT, !linked, "{body}");
    }
    // The history has the order of the conversation: messages of the same second keep their order.
    let rows = rows(&stack).await;
    assert_eq!(rows.len(), 48);
    let of_a = rows.iter().filter(|(role, _, user)| role == "user" && *user == USER_A.to_string());
    let questions: Vec<u32> =
        of_a.map(|(_, content, _)| content["question ".len()..].parse().expect("a number")).collect();
    assert_eq!(questions.len(), 12);
    assert!(questions.is_sorted(), "{questions:?}");

    // While the Graph API does not respond for one sender, the others are answered.
    stack.services.graph.fail_recipient(PHONE_B, None, Fault::slow(10 * DEADLINE));
    let mark = stack.logs.mark();
    let hangs = [text(PHONE_B, "wamid.hangs", "hangs"), text(PHONE_B, "wamid.behind", "behind it")];
    assert_eq!(stack.post(&payload(&hangs)).await.expect("answered"), 200);
    let queue = stack.services.queues.server.as_ref().expect("our own queue");
    until("one message is in flight", async || {
        queue.view(INBOUND).is_some_and(|view| view.counts.in_flight > 0)
    })
    .await;
    let others: Vec<_> = senders.into_iter().filter(|sender| *sender != PHONE_B).collect();
    let messages: Vec<_> = others.iter().map(|sender| text(sender, sender, "meanwhile")).collect();
    assert_eq!(stack.post(&payload(&messages)).await.expect("answered"), 200);
    for (sender, expected) in others.into_iter().zip(["answered"].into_iter().chain(repeat("ignored"))) {
        outcome(&stack, mark, sender, expected).await;
    }
    let quoted: Vec<_> =
        stack.services.graph.received().into_iter().filter_map(|reply| reply.quotes).collect();
    assert_eq!(quoted.len(), 28, "none of the hanging or waiting messages: {quoted:?}");
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_transient_graph_error_is_retried_and_later_messages_wait() {
    let stack = stack().await;
    stack.services.graph.fail_recipient(PHONE_A, Some(1), Fault::error(500, 131_000));
    let mark = stack.logs.mark();
    let messages = [
        text(PHONE_A, "wamid.1", "first"),
        text(PHONE_A, "wamid.2", "second"),
        text(PHONE_B, "wamid.3", "other"),
    ];
    assert_eq!(stack.post(&payload(&messages)).await.expect("answered"), 200);
    outcome(&stack, mark, "wamid.1", "returned").await;
    for wamid in ["wamid.3", "wamid.1", "wamid.2"] {
        outcome(&stack, mark, wamid, "answered").await;
    }
    let quoted: Vec<_> =
        stack.services.graph.received().into_iter().filter_map(|reply| reply.quotes).collect();
    let position = |wamid: &str| quoted.iter().position(|quoted| quoted == wamid).expect("a reply");
    assert_eq!(quoted.len(), 3);
    assert!(position("wamid.1") < position("wamid.2"), "{quoted:?}");
    assert_eq!(rows(&stack).await.len(), 6);
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_permanent_graph_error_is_not_retried() {
    let stack = stack().await;
    stack.services.graph.fail_next(1, Fault::error(400, 131_047));
    let mark = stack.logs.mark();
    assert_eq!(stack.post(&payload(&[text(PHONE_A, "wamid.1", "late")])).await.expect("answered"), 200);
    outcome(&stack, mark, "wamid.1", "undeliverable").await;
    until_queue_is_empty(&stack).await;
    assert!(stack.services.graph.received().is_empty());
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_database_outage_stops_no_reply_but_the_history() {
    let stack = stack().await;
    let [(_, token), _] = stack.users().expect("tokens");
    stack.services.supabase.own().expect("ours").database().stop().await.expect("stopped");
    let mark = stack.logs.mark();
    assert_eq!(stack.post(&payload(&[text(PHONE_A, "wamid.1", "hello?")])).await.expect("answered"), 200);
    outcome(&stack, mark, "wamid.1", "answered").await;
    assert_eq!(stack.services.graph.received().len(), 1);
    // The failure is logged as an error, with the wamid and the cause.
    let logged = stack.logs.since(mark);
    for counter in ["failed_lookups", "deferred_records"] {
        let entry = logged.iter().find(|entry| entry.field("counter") == counter).expect(counter);
        assert_eq!((entry.field("level"), entry.field("wamid")), ("ERROR", "wamid.1"), "{}", entry.text);
    }
    let problem = get(&format!("{}/messages", stack.url()), Some(&token)).await;
    assert!([502, 503, 504].contains(&problem.status), "{}", problem.status);
    assert_eq!(problem.content_type, "application/problem+json");

    stack.services.supabase.own().expect("ours").database().start().await.expect("started");
    until("the history is available again", async || {
        get(&format!("{}/messages", stack.url()), Some(&token)).await.status == 200
    })
    .await;
    // The rows were deferred, not lost.
    outcome(&stack, mark, "wamid.1", "recorded").await;
    assert_eq!(rows(&stack).await.len(), 2);
    assert_eq!(stack.services.graph.received().len(), 1, "no second reply");
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_history_is_paginated_and_only_for_its_owner() {
    let stack = stack().await;
    let messages: Vec<Value> =
        (0..7).map(|n| text(PHONE_A, &format!("wamid.{n}"), &format!("m{n}"))).collect();
    stack.play(&payload(&messages)).await.expect("played");
    let [(_, token_a), (_, token_b)] = stack.users().expect("tokens");

    let mut seen: Vec<Value> = Vec::new();
    let mut next = Some("/messages?limit=4".to_owned());
    let mut pages = 0;
    while let Some(path) = next {
        let page = get(&format!("{}{path}", stack.url()), Some(&token_a)).await;
        assert_eq!(page.status, 200, "{}", page.body);
        seen.extend(page.body.as_array().expect("an array").iter().cloned());
        next = page.link.map(|link| {
            let path = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
            path.unwrap_or_else(|| panic!("{link}")).to_owned()
        });
        pages += 1;
    }
    assert_eq!((pages, seen.len()), (4, 14));
    // Compared as times: as strings, a whole millisecond sorts after its later microseconds.
    let time = |message: &Value| message["created_at"].as_str()?.parse::<DateTime<Utc>>().ok();
    let times: Vec<_> = seen.iter().map(|message| time(message).expect("a time")).collect();
    assert!(times.is_sorted_by(|newer, older| newer > older), "newest first, no duplicates: {times:?}");
    let keys: Vec<_> = seen[0].as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        ["channel", "content", "created_at", "id", "phone_number_id", "role", "type", "user_id"]
    );

    let url = format!("{}/messages", stack.url());
    assert_eq!(get(&url, Some(&token_b)).await.body, json!([]));
    let supabase = stack.services.supabase.own().expect("ours");
    let expired = supabase.expired_token(USER_A).expect("a token");
    let refused = [
        None,
        Some("garbage"),
        Some("a.b.c"),
        Some(expired.as_str()),
        Some(supabase.publishable_key()),
        Some(supabase.secret_key()),
        Some(supabase.anon_key()),
    ];
    for token in refused {
        let answer = get(&url, token).await;
        assert_eq!(answer.status, 401, "{token:?}: {}", answer.body);
        assert!(answer.challenge.is_some_and(|challenge| challenge.starts_with("Bearer")));
        assert_eq!(
            (&answer.body["status"], answer.content_type.as_str()),
            (&json!(401), "application/problem+json")
        );
    }
    for (query, status) in [("limit=200", 200), ("limit=0", 400), ("limit=201", 400), ("before=x", 400)] {
        assert_eq!(get(&format!("{url}?{query}"), Some(&token_a)).await.status, status, "{query}");
    }
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_gateway_returns_the_refusals_of_the_functions() {
    let stack = stack().await;
    let url = format!("{}/webhook", stack.url());
    let handshake =
        |token: &str| format!("{url}?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444");
    let accepted = get(&handshake(VERIFY_TOKEN), None).await;
    assert_eq!((accepted.status, accepted.text.as_str()), (200, "1158201444"));
    assert_eq!(accepted.content_type, "text/plain; charset=utf-8");
    assert_eq!(get(&handshake("wrong"), None).await.status, 403);
    assert_eq!(get(&url, None).await.status, 400);

    let client = shared::http::client().expect("a client");
    let unsigned =
        client.post(&url).body(payload(&[text(PHONE_A, "w", "x")])).send().await.expect("an answer");
    assert_eq!(unsigned.status(), 401);
    assert_eq!(client.delete(&url).send().await.expect("an answer").status(), 405);
    assert_eq!(
        client.post(format!("{}/messages", stack.url())).send().await.expect("an answer").status(),
        405
    );
    assert_eq!(get(&format!("{}/elsewhere", stack.url()), None).await.status, 404);
    for body in ["", "not JSON", "[]", r#"{"object":"page"}"#] {
        assert_eq!(stack.post(body.as_bytes()).await.expect("an answer"), 200, "{body}");
    }
    until_queue_is_empty(&stack).await;
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn logs_contain_no_message_text_number_or_secret() {
    let stack = stack().await;
    let secret_text = "a very private question";
    stack.services.graph.fail_recipient("4915112345678", None, Fault::error(400, 131_026));
    let messages = [
        text(PHONE_A, "wamid.1", secret_text),
        text("4915112345678", "wamid.2", secret_text),
        json!({"from": PHONE_B, "id": "wamid.3", "type": "image", "image": {"caption": secret_text}}),
    ];
    stack.play(&payload(&messages)).await.expect("played");
    let [(_, token), _] = stack.users().expect("tokens");
    stack.history(&token).await.expect("a history");
    let supabase = &stack.services.supabase;
    let hidden = [
        secret_text,
        PHONE_A,
        PHONE_B,
        "4915112345678",
        &token,
        supabase.secret_key(),
        local_stack::services::ACCESS_TOKEN,
        local_stack::services::APP_SECRET,
        VERIFY_TOKEN,
    ];
    let lines: Vec<_> = stack.logs.since(Mark::default()).into_iter().map(|entry| entry.text).collect();
    assert!(lines.len() >= 8, "{lines:#?}");
    for line in lines {
        assert!(hidden.iter().all(|hidden| !line.contains(hidden)), "{line}");
        serde_json::from_str::<Value>(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    }
    stack.stop().await.expect("stopped");
}

struct Answer {
    status: u16,
    content_type: String,
    challenge: Option<String>,
    link: Option<String>,
    text: String,
    body: Value,
}

async fn get(url: &str, token: Option<&str>) -> Answer {
    let mut request = shared::http::client().expect("a client").get(url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.expect("an answer");
    let header =
        |name: &str| response.headers().get(name).map(|value| value.to_str().expect("ASCII").to_owned());
    let (content_type, challenge, link) =
        (header("content-type").unwrap_or_default(), header("www-authenticate"), header("link"));
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    let body = serde_json::from_str(&text).unwrap_or_default();
    Answer { status, content_type, challenge, link, text, body }
}
