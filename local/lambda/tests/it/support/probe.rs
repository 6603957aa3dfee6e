//! A Lambda function for the tests of this crate: it performs the actions named in its event.

#![allow(clippy::panic, reason = "a test asks for it")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    match std::env::var("PROBE_INIT").as_deref() {
        Ok("exit") => {
            eprintln!("exiting before the first poll");
            std::process::exit(7);
        }
        Ok("hang") => tokio::time::sleep(Duration::from_secs(3600)).await,
        Ok("report") => report_init_error()?,
        Ok("poll-once") => poll_once()?,
        _ => {}
    }
    if let Ok(directory) = std::env::var("PROBE_STARTS") {
        // One empty file per start, which lets a test count the starts.
        std::fs::write(Path::new(&directory).join(std::process::id().to_string()), "")?;
    }
    if std::env::var_os("PROBE_IGNORE_SIGTERM").is_some() {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::spawn(async move { while terminate.recv().await.is_some() {} });
    }
    lambda_runtime::run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context } = event;
    if payload.get("Records").is_some() {
        return records(&payload).await;
    }
    if payload.get("requestContext").is_some() {
        return Ok(http(payload));
    }
    match payload["do"].as_str().unwrap_or("echo") {
        "sleep" => {
            tokio::time::sleep(Duration::from_millis(payload["ms"].as_u64().unwrap_or(0))).await;
            Ok(json!({"slept": true}))
        }
        "exit" => std::process::exit(3),
        "panic" => panic!("requested panic"),
        "error" => Err(payload["message"].as_str().unwrap_or("failed").into()),
        "context" => Ok(json!({
            "request_id": context.request_id,
            "deadline_ms": context.deadline,
            "arn": context.invoked_function_arn,
            "trace_id": context.xray_trace_id,
            "pid": std::process::id(),
        })),
        "environment" => Ok(json!(std::env::vars().collect::<std::collections::BTreeMap<_, _>>())),
        "log" => {
            println!("to standard output");
            eprintln!("to standard error");
            Ok(Value::Null)
        }
        "respond" => Ok(json!("x".repeat(usize::try_from(payload["bytes"].as_u64().unwrap_or(0))?))),
        "meet" => meet(&payload).await,
        _ => Ok(payload),
    }
}

/// Responds once `count` processes are here at the same time.
async fn meet(payload: &Value) -> Result<Value, Error> {
    let directory = Path::new(payload["directory"].as_str().unwrap_or_default());
    std::fs::write(directory.join(std::process::id().to_string()), "")?;
    let count = usize::try_from(payload["count"].as_u64().unwrap_or(1))?;
    let until = Instant::now() + Duration::from_secs(20);
    while std::fs::read_dir(directory)?.count() < count {
        if Instant::now() > until {
            return Err("the other processes did not arrive".into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(json!({"pid": std::process::id()}))
}

/// Prints each body, then performs the actions in the bodies.
async fn records(event: &Value) -> Result<Value, Error> {
    let mut failures = Vec::new();
    for record in event["Records"].as_array().into_iter().flatten() {
        let body = record["body"].as_str().unwrap_or_default();
        println!("record {body} group {} {record}", record["attributes"]["MessageGroupId"]);
        if body.starts_with("block") {
            std::future::pending::<()>().await;
        }
        if body.starts_with("error") {
            return Err("requested failure of the whole batch".into());
        }
        if body.starts_with("garbage") {
            return Ok(json!({"batchItemFailures": [{"itemIdentifier": "unknown"}]}));
        }
        if body.starts_with("fail") && record["attributes"]["ApproximateReceiveCount"] == "1" {
            failures.push(json!({"itemIdentifier": record["messageId"]}));
        }
    }
    Ok(json!({ "batchItemFailures": failures }))
}

/// `/event` returns the event, `/bytes` echoes the body, `/response` returns the body as the response.
fn http(event: Value) -> Value {
    let body = event["body"].as_str().unwrap_or_default();
    match event["rawPath"].as_str() {
        Some("/bytes") => json!({
            "statusCode": 200,
            "headers": {"content-type": "application/octet-stream"},
            "body": body,
            "isBase64Encoded": event["isBase64Encoded"],
        }),
        Some("/response") => serde_json::from_str(body).unwrap_or_default(),
        Some("/exit") => std::process::exit(3),
        _ => event,
    }
}

/// Polls for an event without waiting for it.
fn poll_once() -> Result<(), Error> {
    eprintln!("polling once");
    let address = std::env::var("AWS_LAMBDA_RUNTIME_API")?;
    let mut stream = TcpStream::connect(&address)?;
    write!(stream, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
    // Without an event there is no response; with one, this process ends before reading it.
    std::thread::sleep(Duration::from_millis(500));
    std::process::exit(0);
}

/// The call of a custom runtime that cannot start.
fn report_init_error() -> Result<(), Error> {
    let address = std::env::var("AWS_LAMBDA_RUNTIME_API")?;
    let body = r#"{"errorType":"Probe.NoConfiguration","errorMessage":"a setting is missing"}"#;
    let mut stream = TcpStream::connect(&address)?;
    write!(
        stream,
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    std::process::exit(1);
}
