//! The Graph API client over real HTTP: the request's shape, success, errors, timeout.

use std::time::Duration;

use chrono::DateTime;
use reply::graph::{
    Callback, Class, Graph, GraphError, GraphSettings, MARK_READ_TIMEOUT, Messenger, ReadReceipt, Recipient,
    SEND_TIMEOUT, Text,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::meta::sender::Sender;
use shared::meta::wamid::Wamid;
use shared_testing::stale::{Breaks, Peer};
use uuid::Uuid;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

fn graph(url: &str) -> Graph {
    let settings = GraphSettings {
        url: url.parse().expect("a URL"),
        version: "v25.0".parse().expect("a version"),
        access_token: SecretString::from("token-1"),
    };
    Graph::new(settings, shared::http::client().expect("a client"))
}

async fn server(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

/// Meta's own sample of a success.
fn sent() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": "48XXXXXXXXX", "wa_id": "48XXXXXXXXX "}],
        "messages": [{"id": "wamid.gBGGSFcCNEOPAgkO_KJ55r4w_ww"}]
    }))
}

fn callback() -> Callback {
    Callback { answer_id: Uuid::from_u128(7), part: 1, sent_at: DateTime::UNIX_EPOCH }
}

async fn send(graph: &Graph, to: &Sender, quotes: Option<&str>) -> Result<Option<String>, GraphError> {
    let from = "106540352242922".parse().expect("an id");
    let quotes = quotes.map(|id| Wamid::parse(id).expect("a wamid"));
    let text = Text {
        from: &from,
        to: Recipient::Person(to),
        body: "¿Qué tal?",
        quotes: quotes.as_ref(),
        callback: callback(),
        buttons: &[],
    };
    Ok(graph.send(&text).await?.map(String::from))
}

fn phone() -> Sender {
    Sender::parse("16505551234").expect("a number")
}

#[tokio::test]
async fn a_reply_quotes_its_message_and_is_sent_from_its_number() {
    let server = server(sent()).await;
    let id = send(&graph(&server.uri()), &phone(), Some("wamid.Q")).await.expect("sent");
    assert_eq!(id.as_deref(), Some("wamid.gBGGSFcCNEOPAgkO_KJ55r4w_ww"));
    let request = server.received_requests().await.expect("recorded").remove(0);
    assert_eq!(request.method.as_str(), "POST");
    assert_eq!(request.url.path(), "/v25.0/106540352242922/messages");
    assert_eq!(request.headers["authorization"], "Bearer token-1");
    assert_eq!(request.headers["content-type"], "application/json");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let expected = json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": "+16505551234",
        "context": {"message_id": "wamid.Q"}, "type": "text", "text": {"body": "¿Qué tal?", "preview_url": false},
        "biz_opaque_callback_data": "v1:00000000-0000-0000-0000-000000000007:1:0"
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_user_id_is_sent_in_recipient_and_never_in_to() {
    let answer = json!({"messages": [{"id": "wamid.1"}], "contacts": [{"user_id": "US.1349"}]});
    let server = server(ResponseTemplate::new(200).set_body_json(answer)).await;
    let to = Sender::parse("US.1349").expect("a user id");
    assert_eq!(send(&graph(&server.uri()), &to, None).await, Ok(Some("wamid.1".to_owned())));
    let request = server.received_requests().await.expect("recorded").remove(0);
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!((&body["recipient"], body.get("to")), (&json!("US.1349"), None));
    assert_eq!(body.get("context"), None);
    assert_eq!(body["recipient_type"], "individual");
}

#[tokio::test]
async fn the_number_precedes_the_user_id_and_a_group_has_its_id() {
    let server = server(sent()).await;
    let graph = graph(&server.uri());
    let both: Sender =
        serde_json::from_value(json!({"phone": "16505551234", "user_id": "US.1349"})).expect("both");
    send(&graph, &both, None).await.expect("sent");
    let from = "106540352242922".parse().expect("an id");
    let text = Text {
        from: &from,
        to: Recipient::Group("Y2FwaV9ncm91cDox"),
        body: "Hi all",
        quotes: None,
        callback: callback(),
        buttons: &[],
    };
    graph.send(&text).await.expect("sent");
    let bodies: Vec<Value> = server
        .received_requests()
        .await
        .expect("recorded")
        .iter()
        .map(|request| serde_json::from_slice(&request.body).expect("JSON"))
        .collect();
    assert_eq!((&bodies[0]["to"], bodies[0].get("recipient")), (&json!("+16505551234"), None));
    assert_eq!(
        (&bodies[1]["to"], &bodies[1]["recipient_type"]),
        (&json!("Y2FwaV9ncm91cDox"), &json!("group"))
    );
}

async fn mark_read(graph: &Graph, typing: bool) -> Result<(), GraphError> {
    let by = "106540352242922".parse().expect("an id");
    let wamid = Wamid::parse("wamid.Q").expect("a wamid");
    graph.mark_read(&ReadReceipt { by: &by, wamid: &wamid, typing }).await
}

#[tokio::test]
async fn a_read_receipt_has_an_optional_typing_indicator() {
    let server = server(ResponseTemplate::new(200).set_body_json(json!({"success": true}))).await;
    for typing in [false, true] {
        mark_read(&graph(&server.uri()), typing).await.expect("marked");
    }
    let requests = server.received_requests().await.expect("recorded");
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.Q"});
    let mut typing = read.clone();
    typing["typing_indicator"] = json!({"type": "text"});
    for (request, expected) in requests.iter().zip([read, typing]) {
        assert_eq!(request.url.path(), "/v25.0/106540352242922/messages");
        assert_eq!(serde_json::from_slice::<Value>(&request.body).expect("JSON"), expected);
    }
}

#[tokio::test]
async fn marking_as_read_returns_errors_like_a_send() {
    let error = json!({"error": {"message": "…", "code": 131009}});
    let failing = server(ResponseTemplate::new(400).set_body_json(error)).await;
    assert!(matches!(mark_read(&graph(&failing.uri()), true).await, Err(GraphError::Rejected(_))));
    assert_eq!(mark_read(&graph("http://127.0.0.1:1"), true).await, Err(GraphError::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn marking_as_read_times_out_after_two_seconds() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let start = tokio::time::Instant::now();
    assert!(mark_read(&graph(&url), true).await.is_err());
    assert!(start.elapsed() <= MARK_READ_TIMEOUT + Duration::from_secs(1));
}

#[test]
fn a_phone_number_id_is_one_segment_of_a_path() {
    use reply::graph::PhoneNumberId;
    for id in ["106540352242922", "a-b_C"] {
        assert_eq!(id.parse::<PhoneNumberId>().map(|id| id.to_string()).ok().as_deref(), Some(id));
    }
    for text in ["", "..", "1/2", "1?x", "1 ", "é"] {
        assert!(text.parse::<PhoneNumberId>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn a_base_url_may_have_a_path_and_a_trailing_slash() {
    let server = server(sent()).await;
    send(&graph(&format!("{}/graph/", server.uri())), &phone(), None).await.expect("sent");
    let request = server.received_requests().await.expect("recorded").remove(0);
    assert_eq!(request.url.path(), "/graph/v25.0/106540352242922/messages");
}

#[tokio::test]
async fn an_error_response_is_classified_by_its_code() {
    let error =
        json!({"error": {"message": "(#131056) Pair rate limit hit", "code": 131056, "fbtrace_id": "Az8"}});
    let server = server(ResponseTemplate::new(400).set_body_json(error)).await;
    let error = send(&graph(&server.uri()), &phone(), None).await.expect_err("400");
    assert_eq!(error.class(), Class::Transient);
    assert_eq!(error.to_string(), "the Graph API returned 400, code 131056, fbtrace_id Az8");
}

#[tokio::test]
async fn a_server_error_is_transient_an_unreadable_success_is_sent() {
    let failing = server(ResponseTemplate::new(503).set_body_string("<html>")).await;
    assert_eq!(
        send(&graph(&failing.uri()), &phone(), None).await.expect_err("503").class(),
        Class::Transient
    );
    let strange = server(ResponseTemplate::new(200).set_body_string("ok")).await;
    assert_eq!(send(&graph(&strange.uri()), &phone(), None).await, Ok(None));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = server(sent()).await;
    let server = server(ResponseTemplate::new(302).insert_header("location", elsewhere.uri())).await;
    let error = send(&graph(&server.uri()), &phone(), None).await.expect_err("302");
    assert!(error.to_string().starts_with("the Graph API returned 302"), "{error}");
    assert!(elsewhere.received_requests().await.expect("recorded").is_empty());
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let error = send(&graph("http://127.0.0.1:1"), &phone(), None).await.expect_err("closed");
    assert_eq!(error, GraphError::Unreachable);
}

#[tokio::test]
async fn a_response_that_takes_over_ten_seconds_is_lost() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let graph = graph(&format!("http://{}", listener.local_addr().expect("an address")));
    let silent = async {
        let (connection, _) = listener.accept().await.expect("a connection");
        connection.readable().await.expect("a request");
        // From here on only the response is awaited. With the time paused, its timeout elapses at once.
        tokio::time::pause();
        std::future::pending::<()>().await;
    };
    let start = tokio::time::Instant::now();
    let to = phone();
    let result = tokio::select! {
        result = send(&graph, &to, None) => result,
        () = silent => unreachable!("the server never responds"),
    };
    assert_eq!(result, Err(GraphError::Lost));
    let waited = start.elapsed();
    assert!((SEND_TIMEOUT..=SEND_TIMEOUT + Duration::from_secs(1)).contains(&waited), "{waited:?}");
    assert_eq!(GraphError::Lost.class(), Class::Transient);
}

const SENT: &str = r#"{"messages":[{"id":"wamid.1"}]}"#;

#[tokio::test]
async fn a_send_on_a_connection_closed_while_idle_is_repeated() {
    let peer = Peer::start(Breaks::AtSecond, 200, SENT).await;
    let graph = graph(&peer.url).closing_after(Duration::ZERO);
    for _ in 0..3 {
        assert_eq!(send(&graph, &phone(), None).await, Ok(Some("wamid.1".to_owned())));
    }
    assert_eq!((peer.seen().answered, peer.seen().broken), (3, 2));
}

#[tokio::test]
async fn a_send_on_any_other_broken_connection_is_not_repeated() {
    // The connection was used a moment ago.
    let peer = Peer::start(Breaks::AtSecond, 200, SENT).await;
    let busy = graph(&peer.url);
    assert!(send(&busy, &phone(), None).await.is_ok());
    assert_eq!(send(&busy, &phone(), None).await, Err(GraphError::Lost));
    assert_eq!((peer.seen().answered, peer.seen().broken), (1, 1));
    // The connection breaks after more than a round trip.
    let peer = Peer::start(Breaks::LateAtSecond, 200, SENT).await;
    let late = graph(&peer.url).closing_after(Duration::ZERO);
    assert!(send(&late, &phone(), None).await.is_ok());
    assert_eq!(send(&late, &phone(), None).await, Err(GraphError::Lost));
    assert_eq!((peer.seen().answered, peer.seen().broken), (1, 1));
    // The connection was opened for this send.
    let peer = Peer::start(Breaks::AtFirst, 200, SENT).await;
    let new = graph(&peer.url).closing_after(Duration::ZERO);
    assert_eq!(send(&new, &phone(), None).await, Err(GraphError::Lost));
    assert_eq!((peer.seen().answered, peer.seen().broken), (0, 1));
}

#[tokio::test]
async fn marking_as_read_is_repeated_on_any_broken_connection() {
    for breaks in [Breaks::AtFirst, Breaks::AtSecond, Breaks::LateAtSecond] {
        let peer = Peer::start(breaks, 200, r#"{"success":true}"#).await;
        let graph = graph(&peer.url);
        for _ in 0..2 {
            assert_eq!(mark_read(&graph, true).await, Ok(()), "{breaks:?}");
        }
        assert_eq!(peer.seen().broken, 1, "{breaks:?}");
    }
}
