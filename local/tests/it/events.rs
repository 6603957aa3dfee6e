//! The sample events of `events/`: they match the local secrets and the formats of Lambda's callers, and the real
//! binaries answer each with the status in its `.status` file.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeZone, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use local_lambda::Function;
use local_stack::compile;
use local_stack::services::APP_SECRET;
use local_supabase::{JWT_SECRET, USER_A, USER_B};
use md5::{Digest, Md5};
use reply::settings::REGISTRATION_TEXT;
use secrecy::SecretString;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::meta::envelope::{Envelope, V1};
use webhook::entry::Entry;
use webhook::payload;
use webhook::readable::Readable;
use webhook::signature::{self, AppSecret};

use local_testing::*;

/// In the order of the pipeline, so that the history is not empty when it is read.
const FUNCTIONS: [&str; 3] = ["webhook", "reply", "messages"];

struct Event {
    path: PathBuf,
    json: Value,
    /// The expected HTTP status; none for batches of the queue.
    status: Option<u16>,
}

impl Event {
    fn name(&self) -> &str {
        self.path.file_stem().and_then(|name| name.to_str()).expect("a name")
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.json["headers"][name].as_str()
    }

    /// Returns the body as sent.
    fn body(&self) -> Option<Vec<u8>> {
        let body = self.json["body"].as_str()?;
        let encoded = self.json["isBase64Encoded"].as_bool().expect("isBase64Encoded");
        Some(if encoded { STANDARD.decode(body).expect("base64") } else { body.as_bytes().to_vec() })
    }
}

fn directory() -> PathBuf {
    compile::workspace().join("events")
}

/// Returns the events of a function, in the order of their names.
fn events(function: &str) -> Vec<Event> {
    let entries = std::fs::read_dir(directory().join(function)).expect("a directory");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let is_json = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    paths.into_iter().filter(is_json).map(event).collect()
}

fn event(path: PathBuf) -> Event {
    let json = serde_json::from_slice(&read(&path)).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let status = path.with_extension("status");
    let status = status.exists().then(|| {
        let status = String::from_utf8(read(&status)).expect("text");
        status.trim().parse().unwrap_or_else(|error| panic!("{path:?}: {error}"))
    });
    Event { path, json, status }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

async fn invoke(function: &Function, event: &Event) -> Value {
    let answer = function.invoke(read(&event.path)).await;
    let answer = answer.unwrap_or_else(|error| panic!("{:?}: {error}", event.path));
    serde_json::from_slice(&answer).expect("JSON")
}

#[tokio::test]
async fn the_functions_answer_every_event_with_the_expected_status() {
    let stack = stack().await;
    let mark = stack.logs.mark();
    let mut pages = serde_json::Map::new();
    for (function, name) in [&stack.webhook, &stack.reply, &stack.messages].into_iter().zip(FUNCTIONS) {
        for event in events(name) {
            let answer = invoke(function, &event).await;
            match event.status {
                Some(status) => assert_eq!(answer["statusCode"], status, "{:?}: {answer}", event.path),
                None => assert_eq!(answer, json!({"batchItemFailures": []}), "{:?}", event.path),
            }
            if name == "messages" && event.status == Some(200) {
                let page: Value = serde_json::from_str(answer["body"].as_str().expect("text")).expect("JSON");
                let next = answer["headers"]["link"].is_string();
                pages.insert(event.name().to_owned(), json!([page.as_array().map(Vec::len), next]));
            }
        }
        if name == "webhook" {
            for wamid in events(name).iter().filter(|event| event.status == Some(200)).filter_map(wamid) {
                outcome(&stack, mark, &wamid, "answered").await;
            }
        }
    }
    // The rows are those of the events, and each user sees only their own.
    let expected = json!({"first-page": [10, false], "limit": [1, true], "odd-characters": [1, true], "other-user": [4, false]});
    assert_eq!(Value::Object(pages), expected);
    let received = stack.services.graph.received();
    let invitations =
        received.iter().filter(|reply| reply.body.as_deref() == Some(REGISTRATION_TEXT)).count();
    // Two messages of the same unlinked number get one registration text.
    assert_eq!((received.len(), invitations), (8, 1));
    stack.stop().await.expect("stopped");
}

/// Returns the wamid in a signed body.
fn wamid(event: &Event) -> Option<String> {
    let body: Value = serde_json::from_slice(&event.body()?).ok()?;
    Some(body["entry"][0]["changes"][0]["value"]["messages"][0]["id"].as_str()?.to_owned())
}

#[test]
fn signatures_match_the_bodies_unless_the_status_is_401() {
    let secret = AppSecret::new(&SecretString::from(APP_SECRET));
    let mut posts = 0;
    for event in events("webhook") {
        let Some(body) = event.body() else { continue };
        posts += 1;
        let signature = event.header(signature::HEADER).expect("a signature");
        let right = secret.sign(&body);
        assert_eq!(signature == right, event.status != Some(401), "{:?}: it is {right}", event.path);
        let length = event.header("content-length").and_then(|length| length.parse().ok());
        assert_eq!(length, Some(body.len()), "{:?}", event.path);
    }
    assert_eq!(posts, 4);
}

#[test]
fn tokens_are_valid_until_2100_unless_named_otherwise() {
    let key = DecodingKey::from_secret(JWT_SECRET.as_bytes());
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&["authenticated"]);
    validation.validate_exp = false;
    for event in events("messages") {
        let Some(token) = event.header("authorization").and_then(|value| value.strip_prefix("Bearer "))
        else {
            assert_eq!(event.name(), "no-token");
            continue;
        };
        let claims = jsonwebtoken::decode::<Value>(token, &key, &validation);
        let claims = claims.unwrap_or_else(|error| panic!("{:?}: {error}", event.path)).claims;
        let user = if event.name() == "other-user" { USER_B } else { USER_A };
        assert_eq!(claims["sub"], user.to_string(), "{:?}", event.path);
        assert_eq!(claims["role"], "authenticated", "{:?}", event.path);
        let expires = claims["exp"].as_i64().and_then(|exp| DateTime::from_timestamp(exp, 0)).expect("exp");
        if event.name() == "expired-token" {
            assert!(expires < Utc::now(), "{expires}");
        } else {
            assert_eq!(expires, Utc.with_ymd_and_hms(2100, 1, 1, 0, 0, 0).unwrap(), "{:?}", event.path);
        }
    }
}

/// Returns the change of a request that leads to this envelope, and the time of receipt.
fn change(body: &str) -> (String, DateTime<Utc>) {
    let raw = |part: Option<&RawValue>| part.expect("all that Meta sends").get().to_owned();
    let (waba_id, time, change, received_at) = match Envelope::from_body(body).expect("an envelope") {
        Envelope::V1(V1::Message(received)) => {
            let (metadata, contact, message) =
                (raw(received.metadata), raw(received.contact), received.message);
            let value = format!(r#"{{"metadata":{metadata},"contacts":[{contact}],"messages":[{message}]}}"#);
            let change = format!(r#"{{"field":{},"value":{value}}}"#, raw(received.field));
            (raw(received.waba_id), None, change, received.received_at)
        }
        Envelope::V1(V1::Status(received)) => {
            let (metadata, status) = (raw(received.metadata), received.status);
            let change =
                format!(r#"{{"field":"messages","value":{{"metadata":{metadata},"statuses":[{status}]}}}}"#);
            (raw(received.waba_id), None, change, received.received_at)
        }
        Envelope::V1(V1::Event(received)) => {
            let change = format!(r#"{{"field":"{}","value":{}}}"#, received.name, received.value);
            (raw(received.waba_id), received.time.map(RawValue::get), change, received.received_at)
        }
        Envelope::V1(V1::Echo(_) | V1::Record(_) | V1::Turn(_)) => panic!("no sample event holds it: {body}"),
    };
    let time = time.map(|time| format!(r#""time":{time},"#)).unwrap_or_default();
    (format!(r#"{{"id":{waba_id},{time}"changes":[{change}]}}"#), received_at)
}

#[test]
fn batches_equal_the_entries_of_webhook_byte_for_byte() {
    for event in events("reply") {
        let records = event.json["Records"].as_array().expect("records");
        let bodies = records.iter().map(|record| record["body"].as_str().expect("a body"));
        // The same updates, sent by Meta in one request and received at the same time.
        let (sent, received_at): (Vec<_>, Vec<_>) = bodies.map(change).unzip();
        let payload = format!(r#"{{"object":"whatsapp_business_account","entry":[{}]}}"#, sent.join(","));
        let body = Readable::of(payload.as_bytes());
        let updates = payload::read(&body);
        let entries = Entry::all(&updates, received_at[0]).expect("entries");
        assert_eq!(entries.len(), records.len(), "{:?}", event.path);
        for (entry, record) in entries.iter().zip(records) {
            assert_eq!(record["body"], entry.body, "{:?}", event.path);
            let attributes = &record["attributes"];
            assert_eq!(attributes["MessageGroupId"], entry.message_group_id, "{:?}", event.path);
            assert_eq!(attributes["MessageDeduplicationId"], entry.deduplication_id, "{:?}", event.path);
            let md5 = Md5::digest(&entry.body).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            assert_eq!(record["md5OfBody"], md5, "{:?}", event.path);
        }
    }
}

#[test]
fn the_readme_names_every_event_and_http_events_have_a_status() {
    let readme = String::from_utf8(read(&directory().join("README.md"))).expect("text");
    for function in FUNCTIONS {
        let events = events(function);
        assert!(events.len() >= 4, "{function}");
        for event in events {
            let named = format!("`{function}/{}.json`", event.name());
            assert!(readme.contains(&named), "{named} is not in the README");
            assert_eq!(event.status.is_some(), function != "reply", "{:?}", event.path);
        }
    }
}
