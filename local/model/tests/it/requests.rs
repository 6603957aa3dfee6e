//! Checks and storage of requests.

use std::time::Duration;

use local_model::Message;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Test, conversation};

#[tokio::test]
async fn requests_are_stored_in_order_with_or_without_a_key() {
    let test = Test::start().await;
    let parts = json!([{"type": "text", "text": "He"}, {"type": "text", "text": "llo"}]);
    let body = json!({"model": "a", "messages": [{"role": "user", "content": parts}], "temperature": 0.5});
    test.choice(&body).await;
    let with_key = test.post(&conversation(&["Hi"])).bearer_auth("a key").send().await.unwrap();
    assert_eq!(with_key.status(), 200);

    let received = test.model.wait_for(2, Duration::ZERO).await.unwrap();
    assert_eq!((received[0].model.as_str(), &received[0].raw, &received[0].api_key), ("a", &body, &None));
    assert_eq!(received[0].messages, [Message { role: "user".to_owned(), content: "Hello".to_owned() }]);
    assert_eq!(received[1].api_key.as_deref(), Some("a key"));
    assert!(received.iter().all(|request| request.billed));
    let shown: Value = test.beside(Method::GET, "/received").send().await.unwrap().json().await.unwrap();
    assert_eq!(shown, json!(received));
    test.model.clear();
    assert!(test.model.received().is_empty());
}

#[tokio::test]
async fn invalid_requests_are_refused_and_not_stored() {
    let test = Test::start().await;
    let user = json!({"role": "user", "content": "Hi"});
    for (body, param) in [
        (json!({"messages": [user]}), "model"),
        (json!({"model": "", "messages": [user]}), "model"),
        (json!({"model": "a"}), "messages"),
        (json!({"model": "a", "messages": []}), "messages"),
        (json!({"model": "a", "messages": [{"role": "human", "content": "Hi"}]}), "messages"),
        (json!({"model": "a", "messages": [{"role": "user"}]}), "messages"),
        (
            json!({"model": "a", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
            "messages",
        ),
        (json!({"model": "a", "messages": [user], "stream": true}), "stream"),
        (json!({"model": "a", "messages": [user], "max_tokens": 0}), "max_tokens"),
        (json!([]), ""),
    ] {
        let (status, answer) = test.call(&body).await;
        assert_eq!((status, &answer["error"]["type"]), (400, &json!("invalid_request_error")), "{body}");
        assert_eq!(answer["error"]["param"].as_str().unwrap_or_default(), param, "{body}");
    }
    let unknown = test.client.post(format!("{}/embeddings", test.model.url())).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(test.beside(Method::GET, "/v1/chat/completions").send().await.unwrap().status(), 404);
    assert!(test.model.received().is_empty());
}

#[tokio::test]
async fn pages_of_a_browser_are_refused() {
    let test = Test::start().await;
    let request = test.post(&conversation(&["Hi"])).header("origin", "http://127.0.0.1:1");
    assert_eq!(request.send().await.unwrap().status(), 403);
}
