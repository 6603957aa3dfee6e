//! The Supabase client over real HTTP: the request's shape, success, server error, timeout.
#![cfg(feature = "supabase")]

use std::time::Duration;

use secrecy::SecretString;
use shared::supabase::{ApiKey, Caller, Query, Supabase, SupabaseError};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const LEGACY: &str = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln";

async fn server(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

fn client(server: &MockServer, key: &str) -> Supabase {
    let url = server.uri().parse().expect("a URL");
    let key: ApiKey = key.parse().expect("a key");
    Supabase::new(&url, key, shared::http::client().expect("a client"))
}

fn select<'a>(supabase: &Supabase, caller: Caller<'a>) -> Query<'a> {
    let request = supabase.from("messages").select("id,content").order("created_at.desc").limit(2);
    Query { request, caller, prefer: None, timeout: Duration::from_secs(5) }
}

async fn sent(server: &MockServer) -> Request {
    server.received_requests().await.expect("recorded").pop().expect("a request")
}

fn header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request.headers.get(name).map(|value| value.to_str().expect("ASCII"))
}

#[tokio::test]
async fn a_token_is_sent_next_to_the_publishable_key() {
    let server = server(ResponseTemplate::new(200).set_body_string("[]")).await;
    let supabase = client(&server, "sb_publishable_k");
    let token = SecretString::from("user.jwt.token");
    let body = supabase.run(select(&supabase, Caller::User(&token))).await.expect("an answer");
    assert_eq!(body, b"[]");
    let request = sent(&server).await;
    assert_eq!(request.method.as_str(), "GET");
    assert_eq!(request.url.path(), "/rest/v1/messages");
    assert_eq!(request.url.query(), Some("select=id%2Ccontent&order=created_at.desc"));
    assert_eq!(header(&request, "range"), Some("0-1"), "PostgREST's header form of limit");
    assert_eq!(header(&request, "apikey"), Some("sb_publishable_k"));
    assert_eq!(header(&request, "authorization"), Some("Bearer user.jwt.token"));
}

#[tokio::test]
async fn a_request_carries_the_current_trace() {
    let server = server(ResponseTemplate::new(200).set_body_string("[]")).await;
    let supabase = client(&server, "sb_secret_k");
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1";
    let asked = supabase.run(select(&supabase, Caller::Key));
    shared::lambda::trace::within(Some(trace.to_owned()), asked).await.expect("an answer");
    assert_eq!(header(&sent(&server).await, "x-amzn-trace-id"), Some(trace));
    supabase.run(select(&supabase, Caller::Key)).await.expect("an answer");
    assert_eq!(header(&sent(&server).await, "x-amzn-trace-id"), None);
}

#[tokio::test]
async fn a_new_key_is_in_one_header_an_old_one_in_both() {
    let server = server(ResponseTemplate::new(200).set_body_string("[]")).await;
    let supabase = client(&server, "sb_secret_k");
    supabase.run(select(&supabase, Caller::Key)).await.expect("an answer");
    let request = sent(&server).await;
    assert_eq!(header(&request, "apikey"), Some("sb_secret_k"));
    assert_eq!(header(&request, "authorization"), None);

    let supabase = client(&server, LEGACY);
    supabase.run(select(&supabase, Caller::Key)).await.expect("an answer");
    let request = sent(&server).await;
    assert_eq!(header(&request, "apikey"), Some(LEGACY));
    assert_eq!(header(&request, "authorization"), Some(&*format!("Bearer {LEGACY}")));
}

#[tokio::test]
async fn an_insert_carries_its_rows_and_the_prefer_header() {
    let server = server(ResponseTemplate::new(201)).await;
    let supabase = client(&server, "sb_secret_k");
    let rows = r#"[{"id":1},{"id":2}]"#;
    let query = Query {
        request: supabase.from("messages").insert(rows),
        caller: Caller::Key,
        prefer: Some("resolution=ignore-duplicates,return=minimal"),
        timeout: Duration::from_secs(5),
    };
    supabase.run(query).await.expect("an answer");
    let request = sent(&server).await;
    assert_eq!(request.method.as_str(), "POST");
    assert_eq!(request.body, rows.as_bytes());
    assert_eq!(header(&request, "content-type"), Some("application/json"));
    let prefer: Vec<_> = request.headers.get_all("prefer").iter().collect();
    assert_eq!(prefer, ["resolution=ignore-duplicates,return=minimal"]);
}

#[tokio::test]
async fn an_error_includes_only_its_status_and_code() {
    let body =
        r#"{"code":"23503","message":"insert violates …","details":"Key (user_id)=(secret) …","hint":null}"#;
    let server = server(ResponseTemplate::new(409).set_body_string(body)).await;
    let supabase = client(&server, "sb_secret_k");
    let error = supabase.run(select(&supabase, Caller::Key)).await.expect_err("409");
    assert_eq!(error.to_string(), "Supabase returned 409 (23503)");
    assert!(!format!("{error:?}").contains("secret)"));
}

#[tokio::test]
async fn a_server_error_without_json_has_no_code() {
    let server = server(ResponseTemplate::new(502).set_body_string("<html>Bad gateway</html>")).await;
    let supabase = client(&server, "sb_secret_k");
    let error = supabase.run(select(&supabase, Caller::Key)).await.expect_err("502");
    assert!(matches!(error, SupabaseError::Rejected { status: 502, code: None }), "{error:?}");
}

#[tokio::test]
async fn an_invalid_code_is_not_repeated() {
    for code in ["12345678901", "a number", "naïve", "16505551234 "] {
        let body = serde_json::json!({"code": code, "message": "…"});
        let server = server(ResponseTemplate::new(400).set_body_json(body)).await;
        let supabase = client(&server, "sb_secret_k");
        let error = supabase.run(select(&supabase, Caller::Key)).await.expect_err("400");
        assert!(matches!(error, SupabaseError::Rejected { status: 400, code: None }), "{code}: {error:?}");
    }
}

#[tokio::test]
async fn no_response_is_a_timeout_and_a_closed_port_unreachable() {
    let server = server(ResponseTemplate::new(200).set_delay(Duration::from_secs(60))).await;
    let supabase = client(&server, "sb_secret_k");
    let mut query = select(&supabase, Caller::Key);
    query.timeout = Duration::from_millis(100);
    let error = supabase.run(query).await.expect_err("silence");
    assert!(matches!(error, SupabaseError::Timeout), "{error:?}");

    let closed = "http://127.0.0.1:1".parse().expect("a URL");
    let key = "sb_secret_k".parse().expect("a key");
    let supabase = Supabase::new(&closed, key, shared::http::client().expect("a client"));
    let error = supabase.run(select(&supabase, Caller::Key)).await.expect_err("closed");
    assert!(matches!(error, SupabaseError::Unreachable), "{error:?}");
}

#[tokio::test]
async fn a_token_with_a_line_break_is_an_error() {
    let server = server(ResponseTemplate::new(200)).await;
    let supabase = client(&server, "sb_publishable_k");
    let token = SecretString::from("a\nb");
    let error = supabase.run(select(&supabase, Caller::User(&token))).await.expect_err("unsendable");
    assert!(matches!(error, SupabaseError::Unsendable), "{error:?}");
    assert!(server.received_requests().await.expect("recorded").is_empty());
}

#[test]
fn a_project_url_may_end_in_a_slash_and_must_be_http() {
    use shared::supabase::ProjectUrl;
    assert!("https://abc.supabase.co/".parse::<ProjectUrl>().is_ok());
    for text in ["", "abc.supabase.co", "ftp://abc", "postgres://x/y", "https://abc?x=1"] {
        assert!(text.parse::<ProjectUrl>().is_err(), "{text}");
    }
}
