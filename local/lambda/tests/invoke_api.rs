//! `Invoke` over HTTP.

mod support;

use local_lambda::{HttpServer, invoke_api};
use serde_json::{Value, json};
use support::{Started, http, probe, start, until};

#[tokio::test]
async fn invoke_answers_as_lambda_does() {
    let Started { function, logs, .. } = start(probe("echo"));
    let server = HttpServer::start(invoke_api::router([function.clone()]), 0).await.unwrap();
    let client = http();
    let url = |name: &str| format!("{}/2015-03-31/functions/{name}/invocations", server.url());

    for name in ["echo", "arn:aws:lambda:us-east-1:000000000000:function:echo"] {
        let response = client.post(url(name)).body(r#"{"a":1}"#).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-amz-executed-version"], "$LATEST");
        assert!(response.headers().get("x-amz-function-error").is_none());
        assert_eq!(response.json::<Value>().await.unwrap(), json!({"a": 1}));
    }

    for (event, error_type) in [(r#"{"do":"error"}"#, None), (r#"{"do":"exit"}"#, Some("Runtime.ExitError"))]
    {
        let response = client.post(url("echo")).body(event).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-amz-function-error"], "Unhandled");
        let body: Value = response.json().await.unwrap();
        assert!(body["errorMessage"].is_string());
        assert!(error_type.is_none_or(|error_type| body["errorType"] == error_type), "{body}");
    }

    let response = client.post(url("nobody")).send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["x-amzn-errortype"], "ResourceNotFoundException");

    let request = client.post(url("echo")).header("x-amz-invocation-type", "Event").body(r#"{"do":"log"}"#);
    assert_eq!(request.send().await.unwrap().status(), 202);
    until("the event to be handled", || logs.lines().iter().any(|line| line.text == "to standard error"))
        .await;

    server.stop().await;
    function.stop().await;
}
