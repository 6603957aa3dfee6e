//! The SQS client over real HTTP: the request's shape, success, refused entries, server error, timeout.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use shared::aws::AwsSettings;
use shared::lambda::deadline::Deadline;
use shared::lambda::names::UpdateKind;
use shared::lambda::secrets::{FRESH, Rotating, Secrets};
use shared_testing::stale::{Breaks, Peer};
use webhook::Webhook;
use webhook::batches::{Batch, pack};
use webhook::entry::{Entry, Subject};
use webhook::handshake::VerifyToken;
use webhook::queue::{Queue, QueueError, Sqs};
use webhook::settings::QueueSettings;
use webhook::signature::{AppSecret, HEADER};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

fn sqs(endpoint: &str) -> Sqs {
    let http = shared::http::client().expect("a client");
    let settings = QueueSettings {
        url: "https://sqs.us-east-1.amazonaws.com/000000000000/inbound.fifo".to_owned(),
        sqs: AwsSettings {
            endpoint_url: Some(endpoint.to_owned()),
            region: "us-east-1".to_owned(),
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: SecretString::from("secret"),
            session_token: Some(SecretString::from("session")),
        },
    };
    Sqs::new(&settings, &http)
}

fn batch(size: usize) -> Batch {
    let entry = |n: usize| Entry {
        subject: Subject {
            update: UpdateKind::Message,
            wamid: Some(format!("w{n}")),
            name: None,
            original_bytes: None,
        },
        message_group_id: "group".to_owned(),
        deduplication_id: format!("dedup-{n}"),
        body: format!("body-{n}"),
    };
    pack((0..size).map(entry).collect()).remove(0).batches.remove(0)
}

async fn server(respond: impl wiremock::Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(respond).mount(&server).await;
    server
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

fn answer(successful: &[&str], failed: &[&str]) -> ResponseTemplate {
    let successful: Vec<_> = successful
        .iter()
        .map(|id| json!({"Id": id, "MessageId": "m", "MD5OfMessageBody": "841a2d689ad86bd1611447453c22c6fc"}))
        .collect();
    let failed: Vec<_> =
        failed.iter().map(|id| json!({"Id": id, "SenderFault": false, "Code": "InternalError"})).collect();
    ResponseTemplate::new(200)
        .insert_header("content-type", "application/x-amz-json-1.0")
        .set_body_json(json!({"Successful": successful, "Failed": failed}))
}

#[tokio::test]
async fn a_batch_is_one_signed_call_with_the_ids_of_each_entry() {
    let server = server(answer(&["0", "1"], &[])).await;
    assert_eq!(sqs(&server.uri()).send(batch(2)).await, Ok(()));
    let requests = server.received_requests().await.expect("recorded");
    let [request] = requests.as_slice() else { panic!("{} calls", requests.len()) };
    assert_eq!(request.headers["x-amz-target"], "AmazonSQS.SendMessageBatch");
    assert_eq!(request.headers["x-amz-security-token"], "session");
    let authorization = request.headers["authorization"].to_str().expect("ASCII");
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{authorization}");
    let body = body(request);
    assert_eq!(body["QueueUrl"], "https://sqs.us-east-1.amazonaws.com/000000000000/inbound.fifo");
    let entries = json!([
        {"Id": "0", "MessageBody": "body-0", "MessageGroupId": "group", "MessageDeduplicationId": "dedup-0"},
        {"Id": "1", "MessageBody": "body-1", "MessageGroupId": "group", "MessageDeduplicationId": "dedup-1"},
    ]);
    assert_eq!(body["Entries"], entries);
}

#[tokio::test]
async fn each_entry_carries_the_current_trace() {
    let server = server(answer(&["0", "1"], &[])).await;
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1";
    let sqs = sqs(&server.uri());
    shared::lambda::trace::within(Some(trace.to_owned()), sqs.send(batch(2))).await.expect("sent");
    let requests = server.received_requests().await.expect("recorded");
    let attributes = json!({"AWSTraceHeader": {"DataType": "String", "StringValue": trace}});
    for entry in body(&requests[0])["Entries"].as_array().expect("entries") {
        assert_eq!(entry["MessageSystemAttributes"], attributes);
    }
}

#[tokio::test]
async fn a_refused_or_unmentioned_entry_is_an_error() {
    let refusing = server(answer(&["0"], &["1"])).await;
    let expected = QueueError::Entries { refused: 1, sent: 2, code: "InternalError".to_owned() };
    assert_eq!(sqs(&refusing.uri()).send(batch(2)).await, Err(expected));
    let forgetful = server(answer(&["0"], &[])).await;
    assert!(matches!(
        sqs(&forgetful.uri()).send(batch(2)).await,
        Err(QueueError::Entries { refused: 1, .. })
    ));
}

#[tokio::test]
async fn a_server_error_is_retried_and_then_returned() {
    let failing = server(ResponseTemplate::new(500)).await;
    assert!(matches!(sqs(&failing.uri()).send(batch(1)).await, Err(QueueError::Call(_))));
    assert_eq!(failing.received_requests().await.expect("recorded").len(), 3);

    let recovering = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(503)).up_to_n_times(1).mount(&recovering).await;
    Mock::given(any()).respond_with(answer(&["0"], &[])).mount(&recovering).await;
    assert_eq!(sqs(&recovering.uri()).send(batch(1)).await, Ok(()));
}

#[tokio::test]
async fn an_unknown_queue_is_an_error_that_names_it() {
    let refusing = ResponseTemplate::new(400)
        .insert_header("content-type", "application/x-amz-json-1.0")
        .set_body_json(json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no such queue"}));
    let server = server(refusing).await;
    let error = sqs(&server.uri()).send(batch(1)).await.expect_err("no queue");
    assert!(error.to_string().contains("QueueDoesNotExist"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn no_response_before_the_timeout_is_an_error() {
    // The kernel accepts the connection, but no response follows. Time is paused, so that the client's timeouts expire
    // immediately.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let sqs = sqs(&endpoint);
    let sending = tokio::time::timeout(Duration::from_secs(60), sqs.send(batch(1)));
    let error = sending.await.expect("within its own timeout").expect_err("silence");
    assert!(matches!(&error, QueueError::Call(_)), "{error}");
}

#[tokio::test]
async fn unresponsive_services_do_not_exceed_the_function_timeout() {
    let secrets_manager = server(
        ResponseTemplate::new(200)
            .insert_header("content-type", "application/x-amz-json-1.1")
            .set_body_json(json!({"VersionId": "1", "SecretString": "{}"})),
    )
    .await;
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let app_secret = || AppSecret::new(&SecretString::from("app"));
    let build = move |_: &Secrets| {
        Ok(Webhook::new(app_secret(), VerifyToken::new(SecretString::from("verify")), sqs(&endpoint)))
    };
    let settings = AwsSettings {
        endpoint_url: Some(secrets_manager.uri()),
        region: "us-east-1".to_owned(),
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: SecretString::from("secret"),
        session_token: None,
    };
    let http = shared::http::client().expect("a client");
    let webhook = Rotating::start_with(&settings, "secret", &http, build).await.expect("read");
    secrets_manager.reset().await;
    let never = ResponseTemplate::new(200).set_delay(Duration::from_secs(3600));
    Mock::given(any()).respond_with(never).mount(&secrets_manager).await;
    let message = json!({"from": "16505551234", "id": "wamid.1", "type": "text", "text": {"body": "Hello"}});
    let change = json!({"field": "messages", "value": {"messages": [message]}});
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]})
        .to_string();

    tokio::time::pause();
    // The function's timeout, and an invocation with little time left.
    for seconds in [10, 3] {
        tokio::time::advance(FRESH).await;
        let start = tokio::time::Instant::now();
        let time = Duration::from_secs(seconds);
        let mut request = lambda_http::Request::new(lambda_http::Body::Text(body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = "/webhook".parse().expect("a URI");
        let signature = app_secret().sign(body.as_bytes()).parse().expect("a header");
        request.headers_mut().insert(HEADER, signature);
        request.extensions_mut().insert(Deadline::after(time));
        let answer = webhook.current().await.handle(request).await;
        assert_eq!(answer.status(), 500);
        assert!(start.elapsed() < time, "{:?} of {time:?}", start.elapsed());
    }
}

#[tokio::test]
async fn connections_closed_by_sqs_are_replaced_without_a_pause() {
    let answer = r#"{"Successful":[{"Id":"0","MessageId":"m","MD5OfMessageBody":"841a2d689ad86bd1611447453c22c6fc"}],"Failed":[]}"#;
    let peer = Peer::start(Breaks::AtSecond, 200, answer).await;
    let sqs = sqs(&peer.url);
    for _ in 0..3 {
        assert_eq!(sqs.send(batch(1)).await, Ok(()));
        assert!(peer.seen().is_first_attempt, "the SDK would pause before the second");
    }
    assert_eq!((peer.seen().answered, peer.seen().broken), (3, 2));
}
