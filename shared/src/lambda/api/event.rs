//! Conversion of an event of API Gateway's HTTP API (payload format 2.0) to a request.
//!
//! The conversion of `lambda_http` is not used: it panics on a raw `"`, `<` or space in the query, on two values of
//! `x-forwarded-proto` and on a body that is not base64, and fails on a header with a character outside ASCII. A caller
//! can send all of these. (Read in version 1.3.2, 2026-11.)

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::http::uri::PathAndQuery;
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use lambda_http::{Body, Request, RequestExt};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An event that is not an HTTP request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the event is not an HTTP request of payload format 2.0")]
pub struct InvalidEvent;

/// The request of an event. Deserializing never fails for JSON: Lambda counts an event that a function cannot read as
/// an error of the function.
pub(super) struct Event(pub Result<Request, InvalidEvent>);

/// The fields of an event that are used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format2 {
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    headers: Option<HashMap<String, String>>,
    request_context: RequestContext,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
struct RequestContext {
    http: Http,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|event| Self(request(event.get())))
    }
}

/// Reads an event. A header that HTTP does not allow is left out. An invalid path becomes `/`, which no function
/// serves.
///
/// # Errors
/// When the event has no method, or a value is not of the type of format 2.0.
pub fn request(event: &str) -> Result<Request, InvalidEvent> {
    let event: Format2 = serde_json::from_str(event).map_err(|_| InvalidEvent)?;
    let body = match event.body {
        None => Body::Empty,
        Some(text) if event.is_base64_encoded == Some(true) => {
            Body::Binary(STANDARD.decode(text).map_err(|_| InvalidEvent)?)
        }
        Some(text) => Body::Text(text),
    };
    // Never fails: a part without `=` is a name without a value.
    let query: QueryMap = event.raw_query_string.unwrap_or_default().parse().unwrap_or_default();
    let mut request = Request::new(body).with_query_string_parameters(query);
    *request.method_mut() =
        Method::from_bytes(event.request_context.http.method.as_bytes()).map_err(|_| InvalidEvent)?;
    let path = PathAndQuery::try_from(event.raw_path.unwrap_or_default());
    *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
    *request.headers_mut() = headers(event.headers.unwrap_or_default());
    Ok(request)
}

fn headers(given: HashMap<String, String>) -> HeaderMap {
    let usable = given.into_iter().filter_map(|(name, value)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    });
    usable.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn event() -> Value {
        json!({
            "version": "2.0", "routeKey": "GET /messages", "rawPath": "/messages", "rawQueryString": "limit=1",
            "headers": {"host": "api.example", "authorization": "Bearer x.y.z"},
            "requestContext": {"http": {"method": "GET", "path": "/messages"}, "stage": "$default"},
            "isBase64Encoded": false
        })
    }

    fn with(name: &str, value: Value) -> Result<Request, InvalidEvent> {
        let mut event = event();
        event[name] = value;
        request(&event.to_string())
    }

    #[test]
    fn a_request_is_method_path_query_headers_and_body() {
        let request = with("body", json!("text")).expect("a request");
        assert_eq!((request.method(), request.uri().path()), (&Method::GET, "/messages"));
        assert_eq!(request.query_string_parameters().first("limit"), Some("1"));
        assert_eq!(request.headers()["authorization"], "Bearer x.y.z");
        assert_eq!(request.body(), &Body::Text("text".to_owned()));
        assert_eq!(*with("body", Value::Null).expect("a request").body(), Body::Empty);
    }

    #[test]
    fn a_base64_body_is_decoded() {
        let mut event = event();
        event["isBase64Encoded"] = json!(true);
        event["body"] = json!("AP8=");
        let read = request(&event.to_string()).expect("a request");
        assert_eq!(read.body(), &Body::Binary(vec![0, 255]));
        event["body"] = json!("%");
        assert_eq!(request(&event.to_string()).err(), Some(InvalidEvent));
    }

    // From public reports: each of these made lambda_http panic, or refuse the event.
    #[test]
    fn unusual_values_of_a_caller_are_an_ordinary_request() {
        for query in ["limit=1&q=\"x\"", "limit=1&q=<x>", "limit=1&q=a b", "limit=1&%zz=%&=&\u{e9}"] {
            let request = with("rawQueryString", json!(query)).expect(query);
            assert_eq!(request.query_string_parameters().first("limit"), Some("1"), "{query}");
        }
        let headers = json!({
            "x-forwarded-proto": "https,http", "host": "[", "x-name": "J\u{fc}rgen", "a b": "c", "x": "a\nb",
            "X-Upper": "1"
        });
        let request = with("headers", headers).expect("a request");
        assert_eq!(request.headers()["x-upper"], "1");
        assert!(!request.headers().contains_key("x"));
        for path in ["", "*", "messages", "/a\"b", ":99999999", "/\u{e9}", "//x", "/x\u{0}"] {
            let request = with("rawPath", json!(path)).expect(path);
            assert_ne!(request.uri().path(), "/messages", "{path}");
        }
        let long = "/".to_owned() + &"a".repeat(70_000);
        assert_eq!(with("rawPath", json!(long)).expect("a request").uri().path(), "/");
    }

    #[test]
    fn an_invalid_event_is_an_error() {
        for event in ["{}", "[]", "null", "1", r#"{"requestContext":{"http":{"method":"A B"}}}"#] {
            assert_eq!(request(event).err(), Some(InvalidEvent), "{event}");
            let read: Event = serde_json::from_str(event).expect("any JSON");
            assert!(read.0.is_err());
        }
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_read_without_a_panic(
            any in json_value(), value in json_value(), field in prop::sample::select(vec![
                "rawPath", "rawQueryString", "headers", "requestContext", "body", "isBase64Encoded",
            ])
        ) {
            for event in [any, json!({field: value.clone()}), { let mut event = event(); event[field] = value; event }] {
                prop_assert!(serde_json::from_str::<Event>(&event.to_string()).is_ok());
            }
        }

        #[test]
        fn any_string_in_any_field_is_a_request(
            path: String, query: String, names: [String; 2], values: [String; 2], body: String
        ) {
            let mut event = event();
            event["rawPath"] = json!(path);
            event["rawQueryString"] = json!(query);
            event["headers"] = json!({&names[0]: values[0], &names[1]: values[1], "host": values[0], "x-forwarded-proto": values[1]});
            event["body"] = json!(body);
            let request = request(&event.to_string());
            prop_assert!(request.is_ok());
            prop_assert_eq!(request.map(|request| request.into_body()), Ok(Body::Text(body)));
        }
    }
}
