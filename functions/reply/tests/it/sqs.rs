//! The SQS client over real HTTP: each request's shape, success, server error, timeout.

use std::time::Duration;

use reply::delivery::{Delivery, Source, Work};
use reply::queues::{QueueClient, QueueError, QueueSettings, Sqs};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::aws::AwsSettings;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

fn url(name: &str) -> String {
    format!("https://sqs.us-east-1.amazonaws.com/000000000000/{name}")
}

fn sqs(endpoint: &str) -> Sqs {
    let http = shared::http::client().expect("a client");
    let settings = QueueSettings {
        inbound_url: url("inbound.fifo"),
        inbound_dead_letters_url: url("inbound-dead-letters.fifo"),
        records_url: url("records"),
        record_dead_letters_url: url("records-dead-letters"),
        sqs: AwsSettings {
            endpoint_url: Some(endpoint.to_owned()),
            region: "us-east-1".to_owned(),
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: SecretString::from("secret"),
            session_token: None,
        },
    };
    Sqs::new(settings, &http)
}

fn delivery(source: Source) -> Delivery {
    let (message_id, receipt_handle) = ("m1".to_owned(), "r1".to_owned());
    let (group, body) = (Some("group".to_owned()), "an envelope".to_owned());
    Delivery {
        message_id,
        receipt_handle,
        source,
        group,
        receive_count: 50,
        sent_at: None,
        first_received_at: None,
        trace: None,
        work: Work::read(&body),
        body,
    }
}

async fn server(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

fn sent() -> ResponseTemplate {
    let answer = json!({"MessageId": "m2", "MD5OfMessageBody": "841a2d689ad86bd1611447453c22c6fc"});
    ResponseTemplate::new(200)
        .insert_header("content-type", "application/x-amz-json-1.0")
        .set_body_json(answer)
}

/// The action and the body of the only request.
async fn request(server: &MockServer) -> (String, Value) {
    let requests = server.received_requests().await.expect("recorded");
    let [request] = requests.as_slice() else { panic!("{} calls", requests.len()) };
    let action = request.headers["x-amz-target"].to_str().expect("ASCII").to_owned();
    (action, serde_json::from_slice(&request.body).expect("JSON"))
}

#[tokio::test]
async fn a_message_is_hidden_on_its_queue_for_whole_seconds() {
    for (queue, name) in [(Source::Inbound, "inbound.fifo"), (Source::Records, "records")] {
        let server = server(sent()).await;
        sqs(&server.uri()).change_visibility(queue, "r1", Duration::from_secs(64)).await.expect("hidden");
        let expected = json!({"QueueUrl": url(name), "ReceiptHandle": "r1", "VisibilityTimeout": 64});
        assert_eq!(request(&server).await, ("AmazonSQS.ChangeMessageVisibility".to_owned(), expected));
    }
}

#[tokio::test]
async fn a_task_that_waits_is_delayed() {
    let server = server(sent()).await;
    sqs(&server.uri()).record_later("a task".to_owned(), Duration::from_secs(20)).await.expect("sent");
    assert_eq!(request(&server).await.1["DelaySeconds"], 20);
}

#[tokio::test]
async fn rows_go_to_the_record_queue() {
    let server = server(sent()).await;
    sqs(&server.uri()).record_later("a task".to_owned(), Duration::ZERO).await.expect("sent");
    let expected = json!({"QueueUrl": url("records"), "MessageBody": "a task"});
    assert_eq!(request(&server).await, ("AmazonSQS.SendMessage".to_owned(), expected));
}

#[tokio::test]
async fn a_message_has_the_trace_of_its_delivery() {
    let server = server(sent()).await;
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1";
    let sqs = sqs(&server.uri());
    let sending = sqs.record_later("a task".to_owned(), Duration::ZERO);
    shared::lambda::trace::within(Some(trace.to_owned()), sending).await.expect("sent");
    let attributes = json!({"AWSTraceHeader": {"DataType": "String", "StringValue": trace}});
    assert_eq!(request(&server).await.1["MessageSystemAttributes"], attributes);
}

#[tokio::test]
async fn a_closed_port_is_a_connection_error() {
    let sent = sqs("http://127.0.0.1:1").record_later("a task".to_owned(), Duration::ZERO).await;
    assert_eq!(sent, Err(QueueError("no connection".to_owned())));
}

#[tokio::test]
async fn a_dead_letter_has_its_queue_cause_and_message_group() {
    let attributes = json!({"cause": {"DataType": "String", "StringValue": "code 190"}});
    let expected = [
        json!({"QueueUrl": url("inbound-dead-letters.fifo"), "MessageBody": "an envelope",
            "MessageAttributes": attributes, "MessageGroupId": "group", "MessageDeduplicationId": "m1"}),
        json!({"QueueUrl": url("records-dead-letters"), "MessageBody": "an envelope",
            "MessageAttributes": attributes}),
    ];
    for (queue, expected) in [Source::Inbound, Source::Records].into_iter().zip(expected) {
        let server = server(sent()).await;
        sqs(&server.uri()).dead_letter(&delivery(queue), "code 190").await.expect("sent");
        assert_eq!(request(&server).await, ("AmazonSQS.SendMessage".to_owned(), expected));
    }
}

#[tokio::test]
async fn a_check_of_the_record_queue_asks_for_one_attribute() {
    let arn = "arn:aws:sqs:us-east-1:000000000000:records";
    let attributes = ResponseTemplate::new(200)
        .insert_header("content-type", "application/x-amz-json-1.0")
        .set_body_json(json!({"Attributes": {"QueueArn": arn}}));
    let server = server(attributes).await;
    sqs(&server.uri()).check_records().await.expect("a response");
    let expected = json!({"QueueUrl": url("records"), "AttributeNames": ["QueueArn"]});
    assert_eq!(request(&server).await, ("AmazonSQS.GetQueueAttributes".to_owned(), expected));
}

/// The results of the four calls.
async fn all_calls(sqs: &Sqs) -> [Result<(), QueueError>; 4] {
    [
        sqs.check_records().await,
        sqs.change_visibility(Source::Inbound, "r1", Duration::ZERO).await,
        sqs.record_later("a task".to_owned(), Duration::ZERO).await,
        sqs.dead_letter(&delivery(Source::Inbound), "code 190").await,
    ]
}

#[tokio::test]
async fn failed_calls_are_errors_without_text_of_the_message() {
    for (answer, calls, error_prefix) in [
        (ResponseTemplate::new(500), 12, "SQS: "),
        (
            ResponseTemplate::new(400)
                .insert_header("content-type", "application/x-amz-json-1.0")
                .set_body_json(json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "a task"})),
            4,
            "SQS: QueueDoesNotExist",
        ),
    ] {
        let server = server(answer).await;
        for result in all_calls(&sqs(&server.uri())).await {
            let error = result.expect_err("refused").to_string();
            assert!(error.starts_with(error_prefix) && !error.contains("a task"), "{error}");
        }
        // After a server error, a call is attempted three times in total.
        assert_eq!(server.received_requests().await.expect("recorded").len(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_without_a_response_time_out_within_the_budget() {
    // The listener never accepts: the kernel establishes the connection, but no response arrives. Time is paused, so
    // that the client's timeouts elapse at once.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let sqs = sqs(&format!("http://{}", silent.local_addr().expect("an address")));
    let calls = tokio::time::timeout(Duration::from_secs(4 * 3 + 1), all_calls(&sqs));
    for result in calls.await.expect("within three seconds each") {
        assert_eq!(result, Err(QueueError("no response in time".to_owned())));
    }
}
