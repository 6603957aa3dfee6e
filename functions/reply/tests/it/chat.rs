//! The client of `chat/completions` over real HTTP: the request's shape, success, each class of error, timeouts.

use std::time::{Duration, Instant};

use reply::llm::client::ChatCompletions;
use reply::llm::error::{ErrorClass, ModelError};
use reply::llm::model::{ChatMessage, ChatRole, Completion, Model, Usage};
use reply::llm::settings::ApiSettings;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{any, body_partial_json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::json_of;

const TIMEOUT: Duration = Duration::from_secs(10);

fn client(base: &str, key: Option<&str>) -> ChatCompletions {
    let settings = ApiSettings {
        url: base.parse().expect("a base address"),
        model: "small".to_owned(),
        key: key.map(SecretString::from),
        max_tokens: 500,
    };
    ChatCompletions::new(settings, shared::http::client().expect("a client"))
}

fn conversation() -> Vec<ChatMessage> {
    let message = |role, content: &str| ChatMessage { role, content: content.to_owned() };
    vec![
        message(ChatRole::System, "Sell cheese."),
        message(ChatRole::User, "Hello"),
        message(ChatRole::Assistant, "Hi!"),
        message(ChatRole::User, "\"Gouda\"?\n"),
    ]
}

fn answer() -> Value {
    json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "small-2026",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}})
}

async fn server(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

async fn ask(server: &MockServer) -> Result<Completion, ModelError> {
    client(&format!("{}/v1", server.uri()), Some("sk-1")).complete(&conversation(), TIMEOUT).await
}

async fn requests(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.expect("recorded")
}

#[tokio::test]
async fn the_request_has_the_documented_shape_and_the_answer_is_read() {
    let server = server(ResponseTemplate::new(200).set_body_json(answer())).await;
    let completion = ask(&server).await.expect("an answer");
    let usage = Usage { input_tokens: Some(12), output_tokens: Some(3) };
    let (model, finish_reason) = (Some("small-2026".to_owned()), Some("stop".to_owned()));
    assert_eq!(completion, Completion { text: "Yes.".to_owned(), model, usage, finish_reason });
    let [request] = requests(&server).await.try_into().expect("one request");
    assert_eq!((request.method.as_str(), request.url.path()), ("POST", "/v1/chat/completions"));
    assert_eq!(request.headers["authorization"], "Bearer sk-1");
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(
        json_of(&request),
        json!({"model": "small", "max_tokens": 500, "messages": [
            {"role": "system", "content": "Sell cheese."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi!"},
            {"role": "user", "content": "\"Gouda\"?\n"},
        ]})
    );
    assert!(!format!("{completion:?}").contains("Yes"));
}

#[tokio::test]
async fn a_base_address_may_end_with_a_slash_and_a_server_may_need_no_key() {
    let server = server(ResponseTemplate::new(200).set_body_json(answer())).await;
    for (base, path) in [
        ("", "/chat/completions"),
        ("/", "/chat/completions"),
        ("/v1beta/openai/", "/v1beta/openai/chat/completions"),
    ] {
        server.reset().await;
        Mock::given(any())
            .respond_with(ResponseTemplate::new(200).set_body_json(answer()))
            .mount(&server)
            .await;
        let client = client(&format!("{}{base}", server.uri()), None);
        assert!(client.complete(&conversation(), TIMEOUT).await.is_ok());
        let request = requests(&server).await.remove(0);
        assert_eq!(request.url.path(), path);
        assert!(request.headers.get("authorization").is_none());
    }
}

#[tokio::test]
async fn each_class_of_error_is_recognized_and_nothing_is_sent_twice() {
    for (status, body, class) in [
        (401, json!({"error": {"message": "Incorrect API key"}}), ErrorClass::Account),
        (
            404,
            json!({"error": {"message": "The model `small` does not exist", "code": "model_not_found"}}),
            ErrorClass::Account,
        ),
        (307, json!({}), ErrorClass::Account),
        (429, json!({"error": {"message": "Rate limit reached"}}), ErrorClass::Throttled),
        (400, json!({"error": {"code": "context_length_exceeded"}}), ErrorClass::Context),
        (400, json!({"error": {"code": "content_filter"}}), ErrorClass::Unusable),
        (500, json!({"error": {"message": "The server had an error"}}), ErrorClass::Server),
        (200, json!({"choices": [{"message": {"content": null, "refusal": "No."}}]}), ErrorClass::Unusable),
        (200, json!("garbage"), ErrorClass::Unusable),
    ] {
        let server = server(ResponseTemplate::new(status).set_body_json(&body)).await;
        let error = ask(&server).await.expect_err("an error");
        assert_eq!(error.class, class, "{status} {body}");
        assert_eq!(requests(&server).await.len(), 1, "{status} {body}");
        assert!(!error.to_string().contains("key\"") && !format!("{error:?}").contains("sk-1"));
    }
}

#[tokio::test]
async fn the_time_to_wait_is_returned() {
    for (header, value, expected) in [
        ("retry-after", "7", Some(Duration::from_secs(7))),
        ("retry-after-ms", "1500", Some(Duration::from_millis(1500))),
        ("retry-after", "soon", None),
    ] {
        let server = server(ResponseTemplate::new(429).insert_header(header, value)).await;
        let error = ask(&server).await.expect_err("an error");
        assert_eq!((error.class, error.retry_after), (ErrorClass::Throttled, expected), "{header}: {value}");
    }
}

#[tokio::test]
async fn a_late_answer_is_a_timeout_also_in_its_middle() {
    let server =
        server(ResponseTemplate::new(200).set_body_json(answer()).set_delay(Duration::from_secs(60))).await;
    let client = client(&server.uri(), None);
    let start = Instant::now();
    let error = client.complete(&conversation(), Duration::from_millis(200)).await.expect_err("late");
    assert_eq!(error.class, ErrorClass::Timeout);
    assert!(start.elapsed() < TIMEOUT);

    let base = talker(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"choices\":", false).await;
    let error = crate::chat::client(&base, None).complete(&conversation(), Duration::from_millis(200)).await;
    assert_eq!(error.map_err(|error| error.class), Err(ErrorClass::Timeout));
}

/// A server that reads a request, writes these bytes, and then closes the connection or says no more. Returns its address.
async fn talker(bytes: &'static [u8], closes: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(bytes).await;
            if !closes {
                std::future::pending::<()>().await;
            }
        }
    });
    format!("http://{address}/v1")
}

#[tokio::test]
async fn a_connection_that_fails_or_breaks_is_told_apart_from_an_answer() {
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    for base in [
        format!("http://{unused}/v1"),
        talker(b"", true).await,
        talker(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"choices\":", true).await,
    ] {
        let asked = client(&base, None).complete(&conversation(), TIMEOUT).await;
        assert_eq!(asked.map_err(|error| error.class), Err(ErrorClass::Connection), "{base}");
    }
}

#[tokio::test]
async fn an_endless_response_is_not_read_to_its_end() {
    for status in [200, 500] {
        let server = server(ResponseTemplate::new(status).set_body_string("x".repeat(4 * 1024 * 1024))).await;
        let error = ask(&server).await.expect_err("unreadable");
        let class = if status == 200 { ErrorClass::Unusable } else { ErrorClass::Server };
        assert_eq!(error.class, class, "{status}");
    }
}

#[tokio::test]
async fn the_limit_of_tokens_has_the_name_that_the_server_accepts() {
    let newer = json!({"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
        'max_completion_tokens' instead.", "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter"}});
    let server = MockServer::start().await;
    let refused = Mock::given(body_partial_json(json!({"max_tokens": 500})));
    refused.respond_with(ResponseTemplate::new(400).set_body_json(newer)).mount(&server).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(answer())).mount(&server).await;
    let client = client(&server.uri(), None);
    for _ in 0..2 {
        assert!(client.complete(&conversation(), TIMEOUT).await.is_ok());
    }
    let sent: Vec<_> = requests(&server).await.iter().map(json_of).collect();
    let names: Vec<_> = sent.iter().map(|sent| sent.get("max_tokens").is_some()).collect();
    assert_eq!(names, [true, false, false], "remembered after the first refusal");
    assert_eq!(sent[1]["max_completion_tokens"], 500);
}

#[tokio::test]
async fn a_server_that_refuses_both_names_is_asked_twice_and_not_more() {
    let body = json!({"error": {"message": "max_completion_tokens: Extra inputs are not permitted"}});
    let server = server(ResponseTemplate::new(422).set_body_json(body)).await;
    assert_eq!(ask(&server).await.map_err(|error| error.class), Err(ErrorClass::Unusable));
    assert_eq!(requests(&server).await.len(), 2);
    // A limit that is too large for the context is not a name that is refused.
    let body = json!({"error": {"message": "'max_tokens' or 'max_completion_tokens' is too large: 1000. This model's maximum context length is 512 tokens"}});
    let server = self::server(ResponseTemplate::new(400).set_body_json(body)).await;
    assert_eq!(ask(&server).await.map_err(|error| error.class), Err(ErrorClass::Context));
    assert_eq!(requests(&server).await.len(), 1);
}
