//! Events of an API Gateway HTTP API.

use serde_json::{Map, Value, json};

/// A request without a body, in payload format 2.0.
#[must_use]
pub fn http(route: &str, method: &str, path: &str, query: &str, headers: &Value) -> Value {
    let mut event = json!({
        "version": "2.0", "routeKey": route, "rawPath": path, "rawQueryString": query, "headers": headers,
        "requestContext": {
            "accountId": "000000000000", "apiId": "api", "domainName": "api.example", "domainPrefix": "api",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "t"},
            "requestId": "r", "routeKey": route, "stage": "$default", "time": "24/Nov/2026:03:05:00 +0000",
            "timeEpoch": 1_763_953_500_000_u64
        },
        "isBase64Encoded": false
    });
    let parameters: Map<String, Value> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    if !parameters.is_empty() {
        event["queryStringParameters"] = parameters.into();
    }
    event
}
