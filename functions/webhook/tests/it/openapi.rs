//! `docs/openapi.yaml` and the function's responses agree: every response has its example there, and every example is a
//! response.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use http::Method;
use lambda_http::{Body, Request, RequestExt};
use secrecy::SecretString;
use serde_json::{Value, json};
use webhook::Webhook;
use webhook::batches::Batch;
use webhook::handshake::VerifyToken;
use webhook::queue::{Queue, QueueError};
use webhook::signature::{self, AppSecret};

/// Counts the entries that it accepts, or accepts none.
#[derive(Default)]
struct FakeQueue {
    accepted: Mutex<usize>,
    is_down: bool,
}

impl Queue for &FakeQueue {
    async fn send(&self, batch: Batch) -> Result<(), QueueError> {
        if self.is_down {
            return Err(QueueError::Call("no response in time".to_owned()));
        }
        *self.accepted.lock().expect("a lock") += batch.entries.len();
        Ok(())
    }
}

fn secret() -> AppSecret {
    AppSecret::new(&SecretString::from("app-secret"))
}

fn webhook(queue: &FakeQueue) -> Webhook<&FakeQueue> {
    Webhook::new(secret(), VerifyToken::new(SecretString::from("local-verify-token")), queue)
}

fn description() -> Value {
    serde_saphyr::from_str(include_str!("../../../../docs/openapi.yaml")).expect("YAML")
}

/// The examples of a media type, whether it has one or several.
fn examples(media_type: &Value) -> Vec<Value> {
    let several =
        media_type["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
    media_type.get("example").into_iter().chain(several).cloned().collect()
}

/// Status, content type and body.
type Answer = (String, String, String);

fn described(method: &str) -> BTreeSet<Answer> {
    let answers = description()["paths"]["/webhook"][method]["responses"].take();
    let mut all = BTreeSet::new();
    for (status, answer) in answers.as_object().expect("answers") {
        for (content_type, media_type) in answer["content"].as_object().expect("content") {
            for example in examples(media_type) {
                let body = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                all.insert((status.clone(), content_type.clone(), body));
            }
        }
    }
    all
}

async fn answer(queue: &FakeQueue, request: Request) -> Answer {
    let response = webhook(queue).handle(request).await;
    let content_type = response.headers()["content-type"].to_str().expect("ASCII");
    let content_type = content_type.split(';').next().unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(response.body().as_ref()).into_owned();
    (response.status().as_str().to_owned(), content_type, body)
}

fn request(method: Method, body: &str, signature: Option<&str>) -> Request {
    let mut request = http::Request::builder().method(method).uri("https://api.example/webhook");
    if let Some(signature) = signature {
        request = request.header(signature::HEADER, signature);
    }
    request.body(Body::from(body)).expect("a request")
}

#[tokio::test]
async fn a_handshake_is_answered_as_described() {
    let example = |parameter: &Value| {
        let value = parameter.get("example").unwrap_or(&parameter["schema"]["const"]);
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        (text(&parameter["name"]), text(value))
    };
    let parameters = description()["paths"]["/webhook"]["get"]["parameters"].take();
    let good: HashMap<_, _> = parameters.as_array().expect("parameters").iter().map(example).collect();
    let with = |name: &str, value: &str| [good.clone(), [(name.to_owned(), value.to_owned())].into()];
    let with = |name, value| with(name, value).into_iter().flatten().collect::<HashMap<_, _>>();

    let queue = FakeQueue::default();
    let mut seen = BTreeSet::new();
    for parameters in
        [good.clone(), with("hub.verify_token", "other"), with("hub.mode", "other"), HashMap::new()]
    {
        let request = request(Method::GET, "", None).with_query_string_parameters(parameters);
        seen.insert(answer(&queue, request).await);
    }
    assert_eq!(seen, described("get"));
}

#[tokio::test]
async fn a_delivery_is_answered_as_described() {
    let take = description()["paths"]["/webhook"]["post"].take();
    let bodies = examples(&take["requestBody"]["content"]["application/json"]);
    let queue = FakeQueue::default();
    let mut seen = BTreeSet::new();
    for body in &bodies {
        let body = body.to_string();
        seen.insert(
            answer(&queue, request(Method::POST, &body, Some(&secret().sign(body.as_bytes())))).await,
        );
    }
    assert_eq!((*queue.accepted.lock().expect("a lock"), bodies.len()), (2, 2), "each holds one update");

    let body = json!(bodies[0]).to_string();
    let signed = secret().sign(body.as_bytes());
    for (body, signature) in [("", None), ("", Some("sha1=00")), ("other", Some(signed.as_str()))] {
        seen.insert(answer(&queue, request(Method::POST, body, signature)).await);
    }
    let queue = FakeQueue { is_down: true, ..FakeQueue::default() };
    seen.insert(answer(&queue, request(Method::POST, &body, Some(&signed))).await);
    assert_eq!(seen, described("post"));
}

#[test]
fn the_signature_is_described_by_its_header() {
    let scheme = description()["components"]["securitySchemes"]["signature"]["name"].take();
    assert!(scheme.as_str().is_some_and(|name| name.eq_ignore_ascii_case(signature::HEADER)), "{scheme}");
}
