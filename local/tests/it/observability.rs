//! Observability of a run: logs without secrets and personal data, metrics, one trace from end to end.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local_graph::Fault;
use local_stack::Stack;
use local_stack::logs::{Entry, Mark};
use local_stack::responder::FAKE_API_KEY;
use local_stack::services::{ACCESS_TOKEN, APP_SECRET, VERIFY_TOKEN};
use secrecy::SecretString;
use serde_json::json;
use shared::lambda::logging::ShortWamid;
use shared::lambda::metrics::VERSION_ERRORS;
use webhook::signature::{self, AppSecret};

use local_testing::*;

const BSUID: &str = "US.13491208655302741918";
/// An unlinked number.
const UNLINKED: &str = "447700900123";

/// Returns a wamid in Meta's layout, which contains the user's number.
fn wamid(number: &str, id: u32) -> String {
    let mut bytes = vec![0x1c, 0x18, u8::try_from(number.len()).expect("short")];
    bytes.extend_from_slice(number.as_bytes());
    bytes.extend_from_slice(&[0x15, 0x02, 0x00, 0x12, 0x18, 0x14]);
    bytes.extend_from_slice(format!("3A4A6599AEE0{id:08X}").as_bytes());
    bytes.push(0);
    format!("wamid.{}", STANDARD.encode(bytes))
}

/// Returns the base64 encodings of `part` at each of the three alignments, without the characters that depend on the
/// bytes beside it.
fn in_base64(part: &str) -> [String; 3] {
    [0, 1, 2].map(|before| {
        let text = STANDARD.encode([&[0; 2][..before], part.as_bytes()].concat());
        let start = (before * 8).div_ceil(6);
        let end = (before + part.len()) * 8 / 6;
        text[start..end].to_owned()
    })
}

/// Makes every function log: answers, failures, statuses, events, pages, refusals.
async fn busy_run(stack: &Stack) {
    let contacts = json!([{"wa_id": PHONE_A, "user_id": BSUID, "profile": {"name": "Sheena Private"}}]);
    let messages = json!([
        {"from": PHONE_A, "from_user_id": BSUID, "id": wamid(PHONE_A, 1), "type": "text", "text": {"body": "a private text"}},
        {"from": PHONE_A, "id": wamid(PHONE_A, 2), "type": "image", "image": {"id": "1", "caption": "a private caption"}},
        {"from": PHONE_A, "id": wamid(PHONE_A, 3), "type": "system",
            "system": {"type": "customer_identity_changed", "wa_id": "12195555358", "body": "a private body"}},
        {"from": "a private sender", "id": wamid(PHONE_A, 4), "type": "a private type", "text": {"body": "a private text"}},
        {"from": UNLINKED, "id": wamid(UNLINKED, 5), "type": "text", "text": {"body": "a private text, unlinked"}},
    ]);
    let statuses = json!([
        {"id": wamid(PHONE_A, 6), "status": "a private status", "recipient_id": PHONE_A},
        {"id": wamid(UNLINKED, 7), "status": "failed", "timestamp": "1749416383", "recipient_user_id": BSUID,
            "errors": [{"code": 131026, "title": "a private title", "error_data": {"details": "a private detail"}}]},
        {"id": wamid(PHONE_A, 8), "status": "delivered", "recipient_id": PHONE_A,
            "pricing": {"billable": true, "pricing_model": "PMP", "type": "regular", "category": "service"}},
    ]);
    let value = json!({"metadata": {"phone_number_id": "106540352242922", "display_phone_number": "15550783881"},
        "contacts": contacts, "messages": messages, "statuses": statuses, "errors": [{"title": "a private error"}]});
    let payload = json!({"object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}, {"field": "a private field", "value": {}}]}]});
    stack.services.graph.fail_recipient(PHONE_A, Some(1), Fault::error(500, 131_000));
    let played = stack.play(payload.to_string().as_bytes()).await.expect("played");
    assert!(!played.incomplete, "{:?}", played.ignored);
    let client = shared::http::client().expect("a client");
    let get = async |url: String, token: Option<&str>| {
        let request = client.get(format!("{}{url}", stack.url()));
        let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        request.send().await.expect("answered").status().as_u16()
    };
    let [(_, token), _] = &stack.users().expect("tokens");
    assert_eq!(get("/messages?limit=1".to_owned(), Some(token)).await, 200);
    assert_eq!(get("/messages?role=a%20private%20role".to_owned(), Some(token)).await, 400);
    assert_eq!(get("/messages".to_owned(), Some("a.private.token")).await, 401);
    let handshake = "/webhook?hub.mode=subscribe&hub.challenge=1&hub.verify_token=";
    assert_eq!(get(format!("{handshake}{VERIFY_TOKEN}"), None).await, 200);
    assert_eq!(get(format!("{handshake}private"), None).await, 403);
}

/// The processes start with an empty environment and these variables.
fn assert_each_function_has_its_own_secrets_alone(stack: &Stack) {
    let services = &stack.services;
    let of_webhook = vec![APP_SECRET, VERIFY_TOKEN];
    let of_reply = vec![ACCESS_TOKEN, services.supabase.secret_key(), FAKE_API_KEY];
    for (environment, own, others) in [
        (services.webhook_environment(), &of_webhook, &of_reply),
        (services.reply_environment(), &of_reply, &of_webhook),
        (services.messages_environment(), &Vec::new(), &[&*of_webhook, &*of_reply].concat()),
    ] {
        let has = |secret: &&str| environment.values().any(|value| value.contains(*secret));
        assert!(own.iter().all(has) && !others.iter().any(has), "{:?}", environment.keys());
    }
}

#[tokio::test]
async fn logs_trace_every_update_without_personal_data_or_secrets() {
    let stack = stack().await;
    assert_each_function_has_its_own_secrets_alone(&stack);
    busy_run(&stack).await;
    let supabase = &stack.services.supabase;
    let [(_, token), _] = stack.users().expect("tokens");
    let secrets =
        [ACCESS_TOKEN, APP_SECRET, VERIFY_TOKEN, supabase.secret_key(), supabase.publishable_key(), &token];
    let personal = ["private", "Private", PHONE_A, UNLINKED, "12195555358", &BSUID[3..]];
    let encoded: Vec<_> = [PHONE_A, UNLINKED, BSUID].into_iter().flat_map(in_base64).collect();
    assert!(encoded.iter().any(|part| wamid(PHONE_A, 1).contains(part)), "{encoded:?}");
    let logged = stack.logs.since(Mark::default());
    for entry in &logged {
        let encoded = encoded.iter().map(String::as_str).chain(["wamid.HBg"]);
        for forbidden in secrets.into_iter().chain(personal).chain(encoded) {
            assert!(!entry.text.contains(forbidden), "{forbidden}: {}", entry.text);
        }
    }

    // One wamid through all three functions, with the invocation's id in each line.
    let wamid = wamid(PHONE_A, 1);
    let short = ShortWamid::of(&wamid).as_str();
    let of_wamid: Vec<_> = logged.iter().filter(|entry| entry.field("wamid") == short).collect();
    let said = |function: &str, message: &str| {
        let line =
            of_wamid.iter().find(|entry| &*entry.function == function && entry.field("message") == message);
        let line = line.unwrap_or_else(|| panic!("{function}: no line {message}: {of_wamid:#?}"));
        assert!(line.fields["span"]["requestId"].is_string(), "{}", line.text);
        (*line).clone()
    };
    said("webhook", "message queued");
    said("reply", "message returned");
    for message in ["reply sent", "rows written", "message handled"] {
        assert!(said("reply", message).fields["duration_ms"].is_u64());
    }
    let handled = said("reply", "message handled");
    assert_eq!(
        (handled.field("outcome"), handled.field("user_id")),
        ("answered", &*local_supabase::USER_A.to_string())
    );
    let pages: Vec<_> = logged.iter().filter(|entry| entry.field("message") == "history read").collect();
    let [page] = pages.as_slice() else { panic!("one page: {pages:#?}") };
    assert!(page.fields["duration_ms"].is_u64(), "{}", page.text);
    let answers: Vec<_> = logged.iter().map(|entry| entry.field("answer")).collect();
    let mut read = page.field("wamids").split(' ');
    assert!(read.all(|wamid| answers.contains(&wamid)), "the newest row is an answer: {}", page.text);
    stack.stop().await.expect("stopped");
}

/// Returns the sums of a function's metrics: counts, and the number of measured times.
fn metrics(logged: &[Entry], function: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for entry in logged.iter().filter(|entry| &*entry.function == function) {
        let Some(directives) = entry.fields["_aws"]["CloudWatchMetrics"].as_array() else { continue };
        assert!(entry.fields["_aws"]["Timestamp"].is_u64(), "{}", entry.text);
        assert_eq!(entry.field("function"), function, "the dimension's value: {}", entry.text);
        for directive in directives {
            assert_eq!(directive["Namespace"], "WhatsAppLambda");
            for metric in directive["Metrics"].as_array().expect("metrics") {
                let name = metric["Name"].as_str().expect("a name");
                let by_version = name == VERSION_ERRORS;
                let dimensions =
                    if by_version { json!([["function", "version"]]) } else { json!([["function"]]) };
                assert_eq!(directive["Dimensions"], dimensions, "{name}");
                assert!(!by_version || entry.field("version") == "$LATEST", "{}", entry.text);
                let milliseconds = name.ends_with("_ms").then_some("Milliseconds");
                assert_eq!(metric["Unit"].as_str(), milliseconds, "{name}");
                let value = &entry.fields[name];
                let value = match value.as_array() {
                    Some(times) => f64::from(u32::try_from(times.len()).expect("few")),
                    None => value.as_f64().unwrap_or_else(|| panic!("{name}: {}", entry.text)),
                };
                *sums.entry(name.to_owned()).or_default() += value;
            }
        }
    }
    sums
}

#[tokio::test]
async fn every_step_is_counted_and_timed_in_embedded_metric_format() {
    let stack = stack().await;
    busy_run(&stack).await;
    let database = stack.services.supabase.own().expect("ours").database();
    database.stop().await.expect("stopped");
    let mark = stack.logs.mark();
    stack.post(&payload(&[text(PHONE_B, "wamid.8", "hello")])).await.expect("answered");
    outcome(&stack, mark, "wamid.8", "answered").await;
    // The metrics of an invocation come after its last line.
    let counted = |logged: &[Entry]| metrics(logged, "reply").contains_key("deferred_records");
    let logged = stack.logs.wait(Mark::default(), DEADLINE, counted).await;
    let webhook = metrics(&logged, "webhook");
    let messages = metrics(&logged, "messages");
    let reply = metrics(&logged, "reply");
    for (of, name, expected) in [
        (&webhook, "accepted_messages", 6.0),
        (&webhook, "accepted_statuses", 3.0),
        (&webhook, "accepted_events", 2.0),
        (&webhook, "webhook_ms", 3.0),
        (&webhook, "queue_ms", 2.0),
        (&reply, "answered_messages", 3.0),
        (&reply, "registration_texts", 1.0),
        (&reply, "graph_passing_errors", 1.0),
        (&reply, "stored_events", 4.0),
        (&reply, "handled_statuses", 3.0),
        (&reply, "failed_answers", 1.0),
        (&reply, "billed_messages", 1.0),
        (&reply, "billed_service_messages", 1.0),
        (&reply, "deferred_records", 1.0),
        (&reply, "send_ms", 5.0),
        (&reply, "receipt_to_reply_ms", 3.0),
        (&reply, "insert_ms", 2.0),
        (&messages, "history_pages", 1.0),
        (&messages, "history_ms", 1.0),
    ] {
        assert_eq!(of.get(name), Some(&expected), "{name}: {webhook:?} {reply:?} {messages:?}");
    }
    for of in [&webhook, &reply, &messages] {
        assert!(of["cold_starts"] >= 1.0);
    }
    // The metric that rolls a new version back: every counted line at level ERROR.
    let errors = |function: &str| {
        let is_error = |entry: &&Entry| {
            &*entry.function == function
                && entry.field("level") == "ERROR"
                && !entry.field("counter").is_empty()
        };
        f64::from(u32::try_from(logged.iter().filter(is_error).count()).expect("few"))
    };
    assert!(errors("reply") >= 2.0, "one returned, one deferred: {logged:#?}");
    assert_eq!(reply.get(VERSION_ERRORS), Some(&errors("reply")));
    assert_eq!((webhook.get(VERSION_ERRORS), errors("webhook")), (None, 0.0));
    database.start().await.expect("started");
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_refused_request_logs_one_short_line_and_no_metric() {
    let stack = stack().await;
    let client = shared::http::client().expect("a client");
    let url = |path: &str| format!("{}{path}", stack.url());
    let cases = [
        ("webhook", client.get(url("/webhook?hub.mode=subscribe")), 400, "missing_parameter"),
        (
            "webhook",
            client.get(url("/webhook?hub.mode=subscribe&hub.verify_token=x&hub.challenge=1")),
            403,
            "wrong_verify_token",
        ),
        ("webhook", client.put(url("/webhook")), 405, "method_not_allowed"),
        ("webhook", client.post(url("/webhook")).body("{}"), 401, "missing_signature"),
        ("webhook", client.post(url("/webhook")).header(signature::HEADER, "x"), 401, "malformed_signature"),
        (
            "webhook",
            client.post(url("/webhook")).header(signature::HEADER, format!("sha256={}", "0".repeat(64))),
            401,
            "wrong_signature",
        ),
        ("messages", client.get(url("/messages")), 401, "missing_token"),
        ("messages", client.get(url("/messages")).bearer_auth("x.y.z"), 401, "token_PGRST301"),
        ("messages", client.get(url("/messages?limit=0")).bearer_auth("x.y.z"), 400, "bad_parameter"),
        ("messages", client.post(url("/messages")), 405, "method_not_allowed"),
    ];
    let template = include_str!("../../../template.yaml");
    for filter in [r#"'{ $.message = "refused" }'"#, r#"'{ $.reason = "wrong_signature" }'"#] {
        assert!(
            template.contains(&format!("FilterPattern: {filter}")),
            "the refusals are counted by {filter}"
        );
    }
    // The first line of a process is its metric `cold_starts`.
    for path in ["/webhook", "/messages"] {
        client.get(url(path)).send().await.expect("answered");
    }
    for (function, request, status, reason) in cases {
        let mark = stack.logs.mark();
        let answer = request.send().await.expect("answered");
        assert_eq!(answer.status().as_u16(), status, "{reason}");
        // An accepted request: its last line follows all lines of the refused one.
        let token = &stack.users().expect("tokens")[0].1;
        let handshake =
            format!("/webhook?hub.mode=subscribe&hub.challenge=1&hub.verify_token={VERIFY_TOKEN}");
        let path = if function == "webhook" { handshake.as_str() } else { "/messages" };
        client.get(url(path)).bearer_auth(token).send().await.expect("answered");
        let is_metric = |entry: &Entry| &*entry.function == function && entry.fields["_aws"].is_object();
        let logged = stack.logs.wait(mark, DEADLINE, |logged| logged.iter().any(is_metric)).await;
        let refused = |entry: &&Entry| entry.field("message") == "refused";
        let [line] = logged.iter().filter(refused).collect::<Vec<_>>()[..] else {
            panic!("{reason}: {logged:?}")
        };
        println!("{} bytes: {}", line.text.len(), line.text);
        assert!(line.text.len() <= 210, "{} bytes: {}", line.text.len(), line.text);
        assert_eq!((line.fields["status"].as_u64(), line.field("reason")), (Some(status.into()), reason));
        let id = line.fields["span"]["requestId"].as_str().expect("an id");
        assert_eq!(logged.iter().filter(|entry| entry.text.contains(id)).count(), 1, "{logged:?}");
        assert_eq!(
            logged.iter().filter(|entry| is_metric(entry)).count(),
            1,
            "the other request's: {logged:?}"
        );
    }
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn one_trace_leads_from_the_webhook_request_to_the_answer() {
    let stack = stack().await;
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let body = payload(&[text(PHONE_A, "wamid.1", "hello")]);
    let mark = stack.logs.mark();
    let signature = AppSecret::new(&SecretString::from(APP_SECRET)).sign(&body);
    let request = shared::http::client().expect("a client").post(stack.webhook_url());
    let request = request.header(signature::HEADER, signature).header("x-amzn-trace-id", trace).body(body);
    assert_eq!(request.send().await.expect("answered").status().as_u16(), 200);
    let handled = outcome(&stack, mark, "wamid.1", "answered").await;
    assert_eq!(handled.field("trace_id"), trace);
    let queued = stack.logs.since(mark).into_iter().find(|entry| entry.field("message") == "message queued");
    assert_eq!(queued.expect("queued").field("trace_id"), trace);
    let sent = stack.services.graph.received().remove(0);
    assert_eq!(sent.trace.as_deref(), Some(trace));
    stack.stop().await.expect("stopped");
}
