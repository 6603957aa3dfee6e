//! `GET /messages` as API Gateway passes it on, with a fake Supabase over real HTTP.

use std::time::Duration;

use lambda_http::{Body, Request, Response};
use messages::Messages;
use messages::history::History;
use serde_json::{Value, json};
use shared::supabase::Supabase;
use shared_testing::event;
use shared_testing::stale::{Breaks, Peer};
use wiremock::matchers::{any, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

const USER: &str = "11111111-1111-4111-8111-111111111111";

async fn supabase(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

/// Starts a fake Supabase that returns `rows` for the first page, and no rows after it.
async fn last_page(rows: &[Value]) -> MockServer {
    let server = MockServer::start().await;
    let answer = |rows: &[Value]| ResponseTemplate::new(200).set_body_json(rows);
    Mock::given(query_param_is_missing("or")).respond_with(answer(rows)).mount(&server).await;
    Mock::given(any()).respond_with(answer(&[])).mount(&server).await;
    server
}

fn messages(url: &str) -> Messages<History> {
    let url = url.parse().expect("a URL");
    let key = "sb_publishable_k".parse().expect("a key");
    Messages::new(History::new(Supabase::new(&url, key, shared::http::client().expect("a client"))))
}

fn event(method: &str, path: &str, query: &[(&str, &str)], headers: Value) -> Request {
    let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let event = event::http("GET /messages", method, path, &query.join("&"), &headers);
    shared::lambda::api::request(&event.to_string()).expect("an event")
}

fn get(query: &[(&str, &str)]) -> Request {
    event("GET", "/messages", query, json!({"authorization": "Bearer user.jwt.token"}))
}

fn rows(count: usize) -> Vec<Value> {
    let row = |n: usize| {
        json!({
            "id": format!("00000000-0000-4000-8000-{n:012}"), "user_id": USER, "channel": "whatsapp",
            "role": if n.is_multiple_of(2) { "user" } else { "assistant" }, "content": format!("message {n}"),
            "created_at": format!("2026-11-24T03:05:{:02}.000001+00:00", 59 - n % 60)
        })
    };
    (0..count).map(row).collect()
}

fn json_of(response: &Response<Body>) -> Value {
    serde_json::from_slice(response.body().as_ref()).expect("JSON")
}

#[tokio::test]
async fn a_page_is_an_array_newest_first_read_with_the_callers_token() {
    let server = last_page(&rows(2)).await;
    let response = messages(&server.uri()).handle(get(&[])).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(!response.headers().contains_key("link"), "there is no other page");
    let expected = json!({
        "id": "00000000-0000-4000-8000-000000000000", "user_id": USER, "channel": "whatsapp", "role": "user",
        "content": "message 0", "created_at": "2026-11-24T03:05:59.000001Z"
    });
    let body = json_of(&response);
    assert_eq!((&body[0], body.as_array().map(Vec::len)), (&expected, Some(2)));

    let request = server.received_requests().await.expect("recorded").remove(0);
    assert_eq!(request.headers["authorization"], "Bearer user.jwt.token");
    assert_eq!(request.headers["apikey"], "sb_publishable_k");
    assert_eq!(request.url.path(), "/rest/v1/messages");
    let query: Vec<_> = request.url.query_pairs().into_owned().collect();
    let columns = "id,user_id,channel,role,content,created_at,type,phone_number_id,refers_to,status,sent_at,\
        delivered_at,read_at,played_at,failed_at,error_code,error_text,edited_at,revoked_at,wamids";
    let expected = [("select", columns), ("order", "created_at.desc,id.desc")];
    assert_eq!(query, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(request.headers["range"], "0-50", "the default limit, and one to see whether more follow");
}

#[tokio::test]
async fn a_link_leads_to_the_next_page() {
    let server = supabase(ResponseTemplate::new(206).set_body_json(rows(3))).await;
    let messages = messages(&server.uri());
    let response = messages.handle(get(&[("limit", "2")])).await;
    assert_eq!(json_of(&response).as_array().map(Vec::len), Some(2));
    let link = response.headers()["link"].to_str().expect("ASCII");
    let cursor =
        link.strip_prefix("</messages?limit=2&before=").and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
    let cursor = cursor.unwrap_or_else(|| panic!("{link}"));

    messages.handle(get(&[("limit", "2"), ("before", cursor)])).await;
    let request = server.received_requests().await.expect("recorded").remove(1);
    let filter =
        |name| request.url.query_pairs().find(|(key, _)| key == name).expect("a filter").1.into_owned();
    let last = "2026-11-24T03:05:58.000001Z";
    assert_eq!(filter("created_at"), format!("lte.{last}"));
    let expected = format!("(created_at.lt.{last},id.lt.00000000-0000-4000-8000-000000000001)");
    assert_eq!(filter("or"), expected);
}

#[tokio::test]
async fn only_a_page_that_may_be_truncated_costs_a_second_request() {
    let calls_of = async |server: &MockServer| server.received_requests().await.expect("recorded").len();
    let full = supabase(ResponseTemplate::new(206).set_body_json(rows(3))).await;
    messages(&full.uri()).handle(get(&[("limit", "2")])).await;
    assert_eq!(calls_of(&full).await, 1, "a full page");

    let server = last_page(&rows(2)).await;
    let messages = messages(&server.uri());
    let response = messages.handle(get(&[("limit", "2")])).await;
    assert!(!response.headers().contains_key("link"));
    let requests = server.received_requests().await.expect("recorded");
    assert_eq!(requests.len(), 2, "a short page may be truncated");
    let parameter = |name| {
        requests[1].url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    assert_eq!(parameter("select").as_deref(), Some("id"));
    assert_eq!(parameter("created_at").as_deref(), Some("lte.2026-11-24T03:05:58.000001Z"));
    assert_eq!(requests[1].headers["range"], "0-0");
    // A response with more rows has shown that the server's limit is not this low; no rows follow an empty page.
    for (more, calls) in [(rows(3), 1), (rows(2), 1), (rows(0), 1), (rows(4), 2)] {
        server.reset().await;
        let answer = ResponseTemplate::new(200).set_body_json(&more);
        Mock::given(query_param_is_missing("or")).respond_with(answer).mount(&server).await;
        Mock::given(any()).respond_with(ResponseTemplate::new(500)).mount(&server).await;
        let limit = if more.len() == 4 { "9" } else { "2" };
        let response = messages.handle(get(&[("limit", limit)])).await;
        assert_eq!(calls_of(&server).await, calls, "{} rows", more.len());
        // The link is present when the check failed: the request for the next page will report the error.
        assert_eq!(response.headers().contains_key("link"), more.len() > 2);
    }
}

#[tokio::test]
async fn the_status_of_a_message_is_shown_where_there_is_one() {
    let mut row = rows(1).remove(0);
    let nothing = ["phone_number_id", "refers_to", "played_at", "edited_at", "revoked_at"];
    for (name, value) in [
        ("type", json!("hologram")),
        ("status", json!("failed")),
        ("sent_at", json!("2026-11-24T03:06:00+00:00")),
        ("delivered_at", json!("2026-11-24T03:06:01.5+00:00")),
        ("read_at", json!("2026-11-24T05:06:02+02:00")),
        ("failed_at", json!("2026-11-24T03:07:00+00:00")),
        ("error_code", json!(131_047)),
        ("error_text", json!("Re-engagement message")),
    ] {
        row[name] = value;
    }
    for name in nothing {
        row[name] = Value::Null;
    }
    let server = supabase(ResponseTemplate::new(200).set_body_json(json!([row]))).await;
    let response = messages(&server.uri()).handle(get(&[])).await;
    let expected = json!([{
        "id": "00000000-0000-4000-8000-000000000000", "user_id": USER, "channel": "whatsapp", "role": "user",
        "content": "message 0", "created_at": "2026-11-24T03:05:59.000001Z", "type": "hologram",
        "status": "failed", "sent_at": "2026-11-24T03:06:00Z", "delivered_at": "2026-11-24T03:06:01.500Z",
        "read_at": "2026-11-24T03:06:02Z", "failed_at": "2026-11-24T03:07:00Z", "error_code": 131_047,
        "error_text": "Re-engagement message"
    }]);
    assert_eq!(json_of(&response), expected);
}

#[tokio::test]
async fn a_filter_applies_to_every_page_and_is_never_an_operator() {
    let server = supabase(ResponseTemplate::new(206).set_body_json(rows(3))).await;
    let messages = messages(&server.uri());
    let cases: [(&[_], _); 5] = [
        (&[("role", "user")], "&role=user"),
        (&[("role", "assistant"), ("channel", "whatsapp")], "&channel=whatsapp&role=assistant"),
        (&[("channel", "null"), ("role", "true")], "&channel=null&role=true"),
        (&[("channel", "not.eq.web"), ("role", "is.null")], "&channel=not.eq.web&role=is.null"),
        (&[("select", "*"), ("or", "(role.is.null)"), ("roles", "x"), ("user_id", "eq.x")], ""),
    ];
    for (filter, in_link) in cases {
        let response = messages.handle(get(&[&[("limit", "2")], filter].concat())).await;
        let link = response.headers()["link"].to_str().expect("ASCII");
        let next = link.strip_prefix("</messages?").and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
        let next = next.unwrap_or_else(|| panic!("{link}"));
        assert!(next.starts_with("limit=2&before=") && next.ends_with(in_link), "{next}");
        let next: Vec<_> = next.split('&').filter_map(|pair| pair.split_once('=')).collect();
        assert_eq!(next.len(), 2 + in_link.matches('&').count(), "{next:?}");

        messages.handle(get(&next)).await;
        let requests = server.received_requests().await.expect("recorded");
        let queries: Vec<_> = requests.iter().map(|request| request.url.query().expect("a query")).collect();
        let [first, second] = queries[queries.len() - 2..] else { panic!("{queries:?}") };
        let compared = in_link.replace('=', "=eq.");
        assert!(first.ends_with(&format!("&order=created_at.desc%2Cid.desc{compared}")), "{first}");
        let before = "&or=%28created_at.lt.2026-11-24T03%3A05%3A58.000001Z%2Cid.lt.00000000-0000-4000-8000-000000000001%29";
        assert!(second.ends_with(&format!("{before}{compared}")), "{second}");
    }
}

#[tokio::test]
async fn a_request_without_a_token_is_401_without_a_call_to_supabase() {
    let server = supabase(ResponseTemplate::new(200).set_body_json(json!([]))).await;
    for headers in [json!({}), json!({"authorization": "Basic dTpw"}), json!({"authorization": "Bearer "})] {
        let response = messages(&server.uri()).handle(event("GET", "/messages", &[], headers)).await;
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    assert!(server.received_requests().await.expect("recorded").is_empty());
}

#[tokio::test]
async fn a_bad_or_repeated_parameter_is_400_with_the_valid_values() {
    let server = supabase(ResponseTemplate::new(200).set_body_json(json!([]))).await;
    let name = |parameter| format!("{parameter} must be 1 to 64 of the characters a-z, A-Z, 0-9, _, - and .");
    let (channel, role) = (name("channel"), name("role"));
    let cases: [(&[_], &str); 14] = [
        (&[("limit", "0")], "limit must be a whole number from 1 to 200"),
        (&[("limit", "201")], "limit must be a whole number from 1 to 200"),
        (&[("limit", "ten")], "limit must be a whole number from 1 to 200"),
        (&[("before", "yesterday")], "before must be a cursor taken from a Link header of this API"),
        (&[("limit", "2"), ("limit", "abc")], "limit must not be given more than once"),
        (&[("before", ""), ("limit", "2"), ("before", "")], "before must not be given more than once"),
        (&[("channel", "")], &channel),
        (&[("channel", "web,whatsapp")], &channel),
        (&[("role", "user)")], &role),
        (&[("role", "%22user%22")], &role),
        (&[("role", "user%00")], &role),
        (&[("role", &"a".repeat(65))], &role),
        (&[("role", "user"), ("role", "assistant")], "role must not be given more than once"),
        (&[("channel", "web"), ("channel", "web")], "channel must not be given more than once"),
    ];
    for (query, detail) in cases {
        let response = messages(&server.uri()).handle(get(query)).await;
        assert_eq!(response.status(), 400, "{query:?}");
        let expected =
            json!({"type": "about:blank", "title": "Bad Request", "status": 400, "detail": detail});
        assert_eq!(json_of(&response), expected, "{query:?}");
    }
}

#[tokio::test]
async fn errors_of_supabase_are_reported_without_its_text() {
    for (status, body, expected) in [
        (401, json!({"code": "PGRST301", "message": "JWSError SECRET"}), 401),
        (401, json!({"code": "PGRST303", "message": "JWT expired SECRET"}), 401),
        // The token of an anonymous caller; the token of a signed-in user without a grant.
        (401, json!({"code": "42501", "message": "permission denied SECRET"}), 401),
        (403, json!({"code": "42501", "message": "permission denied SECRET"}), 502),
        (403, json!({"code": "42501", "message": "permission denied to set role \"SECRET\""}), 401),
        // Signed but invalid claims.
        (400, json!({"code": "22P02", "message": "invalid input syntax for type uuid: SECRET"}), 401),
        (400, json!({"code": "22P05", "message": "unsupported Unicode escape sequence SECRET"}), 401),
        (400, json!({"code": "22023", "message": "role SECRET does not exist"}), 401),
        (500, json!({"code": "22P02", "message": "SECRET"}), 502),
        // The function's own key is wrong or retired: another token would not help.
        (401, json!({"message": "Invalid API key", "hint": "Double check SECRET"}), 502),
        (403, json!({"message": "SECRET"}), 502),
        (401, json!("SECRET"), 502),
        (400, json!({"code": "42703", "message": "column SECRET does not exist"}), 502),
        (404, json!({"code": "PGRST205", "message": "no table SECRET"}), 502),
        (500, json!({"message": "SECRET"}), 502),
        (503, json!({"code": "PGRST001", "message": "SECRET"}), 503),
        (504, json!({"message": "SECRET"}), 504),
        (200, json!({"not": "an array SECRET"}), 502),
        (200, json!([{"id": "SECRET"}]), 502),
    ] {
        let server = supabase(ResponseTemplate::new(status).set_body_json(&body)).await;
        let response = messages(&server.uri()).handle(get(&[])).await;
        assert_eq!(response.status().as_u16(), expected, "{status} {body}");
        let problem = json_of(&response);
        assert_eq!(problem["status"], expected);
        assert!(!problem.to_string().contains("SECRET"), "{problem}");
        let challenge =
            response.headers().get("www-authenticate").map(|value| value.to_str().expect("ASCII"));
        assert_eq!(challenge, (expected == 401).then_some(r#"Bearer error="invalid_token""#));
        assert_eq!(response.headers().contains_key("retry-after"), expected == 503);
    }
}

#[tokio::test]
async fn a_cursor_with_an_invalid_time_is_400_a_bad_claim_401() {
    let refusal = json!({"code": "22007", "message": "invalid input syntax for type timestamp SECRET"});
    let server = supabase(ResponseTemplate::new(400).set_body_json(&refusal)).await;
    // `infinitely` and an id, a cursor of a row at `infinity`, and an ordinary one.
    for (before, status) in [
        ("aW5maW5pdGVseQAAAAAAAAAAAAAAAAAAAAA", 400),
        ("aW5maW5pdHkAAAAAAAAAAAAAAAAAAAAA", 400),
        ("AAZEVn9QS-A2qbj2_X5YILCAvVuvorLm", 401),
    ] {
        let response = messages(&server.uri()).handle(get(&[("before", before)])).await;
        assert_eq!(response.status().as_u16(), status, "{before}");
        let detail = json_of(&response)["detail"].to_string();
        assert_eq!(detail.contains("before must be a cursor"), status == 400, "{detail}");
    }
}

#[tokio::test]
async fn an_unreachable_database_is_503() {
    let response = messages("http://127.0.0.1:1").handle(get(&[])).await;
    assert_eq!(response.status(), 503);
}

#[tokio::test(start_paused = true)]
async fn an_unresponsive_database_is_504() {
    // The kernel accepts the connection, but no response follows. Time is paused: the timeout expires immediately.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let messages = messages(&url);
    let answer = tokio::time::timeout(Duration::from_secs(20), messages.handle(get(&[])));
    assert_eq!(answer.await.expect("within its own timeout").status(), 504);
}

#[tokio::test]
async fn other_methods_are_405_and_other_paths_404() {
    let messages = messages("http://127.0.0.1:1");
    for method in ["POST", "PUT", "DELETE", "PATCH", "HEAD"] {
        let response = messages.handle(event(method, "/messages", &[], json!({}))).await;
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.headers()["allow"], "GET");
    }
    let response = messages.handle(event("GET", "/message", &[], json!({}))).await;
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn connections_closed_by_supabase_lose_no_page() {
    let peer = Peer::start(Breaks::AtSecond, 200, "[]").await;
    let messages = messages(&peer.url);
    for _ in 0..3 {
        assert_eq!(messages.handle(get(&[])).await.status(), 200);
    }
    assert_eq!((peer.seen().answered, peer.seen().broken), (3, 2));
}
