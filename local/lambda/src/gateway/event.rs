//! The API Gateway event: a request as the input of a function.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use serde_json::{Value, json};

/// Headers of a single connection, which a proxy does not forward.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields of the event other than the request.
pub(super) struct Envelope<'a> {
    pub route_key: &'a str,
    pub request_id: &'a str,
    pub trace_id: &'a str,
    pub account_id: &'a str,
    pub peer: Option<SocketAddr>,
    pub force_base64: bool,
}

pub(super) fn build(parts: &Parts, body: &[u8], envelope: &Envelope<'_>) -> Value {
    let now = Utc::now();
    let host = text(&parts.headers, &header::HOST).unwrap_or_else(|| "localhost".to_owned());
    let domain = host.rsplit_once(':').map_or(host.as_str(), |(domain, _)| domain);
    let source_ip = envelope.peer.map_or_else(|| "127.0.0.1".to_owned(), |peer| peer.ip().to_string());
    let mut event = json!({
        "version": "2.0",
        "routeKey": envelope.route_key,
        "rawPath": parts.uri.path(),
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": headers(&parts.headers, body, &host, &source_ip, envelope),
        "requestContext": {
            "accountId": envelope.account_id,
            "apiId": "local",
            "domainName": domain,
            "domainPrefix": domain.split('.').next().unwrap_or_default(),
            "http": {
                "method": parts.method.as_str(),
                "path": parts.uri.path(),
                "protocol": format!("{:?}", parts.version),
                "sourceIp": source_ip,
                "userAgent": text(&parts.headers, &header::USER_AGENT).unwrap_or_default(),
            },
            "requestId": envelope.request_id,
            "routeKey": envelope.route_key,
            "stage": "$default",
            "time": now.format("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": now.timestamp_millis(),
        },
        "isBase64Encoded": false,
    });
    let cookies = cookies(&parts.headers);
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) {
        event["queryStringParameters"] = json!(query_parameters(query));
    }
    if !body.is_empty() {
        let as_text = !envelope.force_base64 && is_text(&parts.headers);
        match std::str::from_utf8(body) {
            Ok(body) if as_text => event["body"] = json!(body),
            _ => {
                event["body"] = json!(STANDARD.encode(body));
                event["isBase64Encoded"] = json!(true);
            }
        }
    }
    event
}

/// The choice between text and base64 is not documented. Observed on AWS: `text/*`, JSON, XML and JavaScript
/// are passed as text, all others as base64, including forms and bodies without a content type.
/// <https://github.com/ministackorg/ministack/pull/766>
fn is_text(headers: &HeaderMap) -> bool {
    let Some(content_type) = text(headers, &header::CONTENT_TYPE) else { return false };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || matches!(essence.as_str(), "application/json" | "application/xml" | "application/javascript")
}

/// Names in lower case, values of one name joined with commas; cookies are separate.
fn headers(
    sent: &HeaderMap,
    body: &[u8],
    host: &str,
    source_ip: &str,
    envelope: &Envelope<'_>,
) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = sent
        .keys()
        .filter(|name| **name != header::COOKIE && !HOP_BY_HOP.contains(name))
        .filter_map(|name| Some((name.as_str().to_owned(), text(sent, name)?)))
        .collect();
    let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
    let forwarded_for = match headers.get("x-forwarded-for") {
        Some(others) => format!("{others}, {source_ip}"),
        None => source_ip.to_owned(),
    };
    for (name, value) in [
        ("content-length", body.len().to_string()),
        ("host", host.to_owned()),
        ("x-amzn-trace-id", envelope.trace_id.to_owned()),
        ("x-forwarded-for", forwarded_for),
        ("x-forwarded-port", port.to_owned()),
        ("x-forwarded-proto", "http".to_owned()),
    ] {
        headers.insert(name.to_owned(), value);
    }
    headers
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<_> =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|value| {
            let line = String::from_utf8_lossy(value.as_bytes()).into_owned();
            line.split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<_>>()
        })
        .filter(|cookie| !cookie.is_empty())
        .collect()
}

/// Decoded; the values of a repeated name joined with commas.
fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::<String, String>::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        parameters
            .entry(name.into_owned())
            .and_modify(|values| {
                values.push(',');
                values.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    parameters
}
