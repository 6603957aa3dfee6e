//! Secrets from Secrets Manager over real HTTP: request, success, errors, timeout, rotation.
#![cfg(feature = "aws")]

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use shared::aws::AwsSettings;
use shared::lambda::env::EnvError;
use shared::lambda::secrets::{FRESH, REFRESH_TIMEOUT, Rotating, Secrets, SecretsError};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

const ID: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:whatsapp-lambda-a1b2c3";

fn settings(endpoint: &str) -> AwsSettings {
    AwsSettings {
        endpoint_url: Some(endpoint.to_owned()),
        region: "eu-central-1".to_owned(),
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: SecretString::from("secret"),
        session_token: Some(SecretString::from("session")),
    }
}

fn answer(version: &str, secret: &Value) -> ResponseTemplate {
    let answer = json!({"ARN": ID, "Name": "whatsapp-lambda", "VersionId": version, "SecretString": secret.to_string()});
    ResponseTemplate::new(200)
        .insert_header("content-type", "application/x-amz-json-1.1")
        .set_body_json(answer)
}

fn refusal(status: u16, code: &str) -> ResponseTemplate {
    ResponseTemplate::new(status)
        .insert_header("content-type", "application/x-amz-json-1.1")
        .set_body_json(json!({"__type": code, "message": "a secret message"}))
}

fn http() -> reqwest::Client {
    shared::http::client().expect("a client")
}

/// Builds the token alone.
fn token(secrets: &Secrets) -> Result<String, EnvError> {
    Ok(secrets.required("WHATSAPP_ACCESS_TOKEN")?.expose_secret().to_owned())
}

async fn start(server: &MockServer) -> Result<Rotating<String>, SecretsError> {
    Rotating::start_with(&settings(&server.uri()), ID, &http(), token).await
}

#[tokio::test]
async fn the_secret_is_read_once_and_its_values_are_used() {
    let server = MockServer::start().await;
    let secret = json!({"WHATSAPP_ACCESS_TOKEN": "EAAx\n", "OTHER": ""});
    Mock::given(any()).respond_with(answer("1", &secret)).expect(1).mount(&server).await;
    let rotating = start(&server).await.expect("read");
    assert_eq!(*rotating.current().await, "EAAx");
    assert_eq!(*rotating.current().await, "EAAx");
    let request = server.received_requests().await.expect("recorded").remove(0);
    assert_eq!(request.headers["x-amz-target"], "secretsmanager.GetSecretValue");
    assert!(
        request.headers["authorization"].to_str().expect("text").contains("/eu-central-1/secretsmanager/")
    );
    assert_eq!(request.headers["x-amz-security-token"], "session");
    assert_eq!(serde_json::from_slice::<Value>(&request.body).expect("JSON"), json!({"SecretId": ID}));
}

#[tokio::test]
async fn a_failed_start_names_the_missing_secret_and_shows_none() {
    for (answer, expected) in [
        (refusal(400, "ResourceNotFoundException"), "Secrets Manager: ResourceNotFoundException"),
        (refusal(400, "AccessDeniedException"), "Secrets Manager: AccessDeniedException"),
        (
            answer("1", &json!({"OTHER": "hunter2"})),
            "WHATSAPP_ACCESS_TOKEN is not in the secret of SECRET_ID",
        ),
        (answer("1", &json!({"WHATSAPP_ACCESS_TOKEN": " "})), "WHATSAPP_ACCESS_TOKEN is not in the secret"),
        (answer("1", &json!({"WHATSAPP_ACCESS_TOKEN": ["hunter2"]})), "is not a JSON object"),
        (answer("1", &json!("hunter2")), "is not a JSON object"),
    ] {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(answer).mount(&server).await;
        let error = start(&server).await.err().expect("an error");
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains(expected) && !shown.contains("hunter2") && !shown.contains("message"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_transient_failure_is_retried_and_a_refusal_is_not() {
    let secret = json!({"WHATSAPP_ACCESS_TOKEN": "EAAx"});
    for (passing, refused) in
        [(refusal(500, "InternalServiceError"), 2), (refusal(400, "ThrottlingException"), 2)]
    {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(passing).up_to_n_times(refused).mount(&server).await;
        Mock::given(any()).respond_with(answer("1", &secret)).expect(1).mount(&server).await;
        assert_eq!(*start(&server).await.expect("read").current().await, "EAAx");
    }
    for (answer, calls) in
        [(refusal(503, "ServiceUnavailable"), 3), (refusal(400, "AccessDeniedException"), 1)]
    {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(answer).expect(calls).mount(&server).await;
        assert!(matches!(start(&server).await, Err(SecretsError::Call(_))));
    }
}

#[tokio::test]
async fn a_call_on_broken_connections_is_tried_three_times() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (settings, http) = (settings(&url), http());
    let starting = Rotating::start_with(&settings, ID, &http, token);
    let breaking = async {
        for _ in 0..3 {
            drop(listener.accept().await.expect("a connection"));
        }
    };
    let (started, ()) = tokio::join!(starting, breaking);
    assert!(matches!(started, Err(SecretsError::Call(reason)) if reason.contains("no connection")));
}

#[tokio::test(start_paused = true)]
async fn an_unresponsive_service_is_waited_for_four_seconds() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let start = tokio::time::Instant::now();
    let error = Rotating::start_with(&settings(&url), ID, &http(), token).await.err().expect("an error");
    assert!(matches!(error, SecretsError::Call(_)), "{error}");
    assert!(start.elapsed() <= Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_rotated_secret_is_used_and_an_outage_keeps_the_old_one() {
    let server = MockServer::start().await;
    let value = |token: &str| json!({"WHATSAPP_ACCESS_TOKEN": token});
    let once = |answer: ResponseTemplate| Mock::given(any()).respond_with(answer).up_to_n_times(1);
    once(answer("1", &value("old"))).mount(&server).await;
    let rotating = start(&server).await.expect("read");
    // Only the clock of the runtime is advanced; the sockets use real time.
    let later = async |time: Duration| {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
        rotating.current().await
    };
    once(answer("1", &value("not used: the version is the same"))).mount(&server).await;
    assert_eq!(*later(FRESH).await, "old");
    once(refusal(400, "AccessDeniedException")).mount(&server).await;
    assert_eq!(*later(FRESH).await, "old");
    once(answer("2", &json!({}))).mount(&server).await;
    assert_eq!(*later(Duration::from_secs(31)).await, "old");
    once(answer("3", &value("new"))).mount(&server).await;
    assert_eq!(*later(Duration::from_secs(31)).await, "new");
    assert_eq!(*later(Duration::from_secs(60)).await, "new", "fresh");
    assert_eq!(server.received_requests().await.expect("recorded").len(), 5);
}

#[tokio::test]
async fn a_slow_refresh_does_not_delay_the_invocation() {
    let server = MockServer::start().await;
    let secret = json!({"WHATSAPP_ACCESS_TOKEN": "EAAx"});
    Mock::given(any()).respond_with(answer("1", &secret)).mount(&server).await;
    let rotating = start(&server).await.expect("read");
    server.reset().await;
    let slow = answer("2", &json!({"WHATSAPP_ACCESS_TOKEN": "new"})).set_delay(Duration::from_secs(60));
    Mock::given(any()).respond_with(slow).mount(&server).await;
    // Time is paused: when the runtime is idle, it advances to the next timer.
    tokio::time::pause();
    tokio::time::advance(FRESH).await;
    let start = tokio::time::Instant::now();
    assert_eq!(*rotating.current().await, "EAAx");
    assert!(start.elapsed() <= REFRESH_TIMEOUT + Duration::from_millis(10), "{:?}", start.elapsed());
    // The next invocations do not wait.
    let start = tokio::time::Instant::now();
    assert_eq!(*rotating.current().await, "EAAx");
    assert_eq!(start.elapsed(), Duration::ZERO);
}
