//! API Gateway in front of the test function.

use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use local_lambda::{Cors, Function, Gateway, HttpServer};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{Started, probe, start};

struct Api {
    server: HttpServer,
    function: Function,
    client: Client,
    _started: Started,
}

impl Api {
    async fn start(settings: impl FnOnce(Gateway) -> Gateway) -> Self {
        let started = start(probe("http"));
        let function = started.function.clone();
        let gateway = Gateway::new()
            .route("/event", &function)
            .route("/bytes", &function)
            .route("/response", &function)
            .route("ANY /exit", &function)
            .route("ANY /keyed", &function)
            .route("PUT /keyed", &function);
        let server = HttpServer::start(settings(gateway).into_router(), 0).await.unwrap();
        Self { server, function, client: shared::http::client().unwrap(), _started: started }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    async fn respond(&self, response: &Value) -> Response {
        let request = self.client.post(self.url("/response")).header("content-type", "application/json");
        request.body(response.to_string()).send().await.unwrap()
    }

    async fn stop(self) {
        self.server.stop().await;
        self.function.stop().await;
    }
}

async fn text(response: Response) -> (StatusCode, String) {
    (response.status(), response.text().await.unwrap())
}

#[tokio::test]
async fn request_becomes_the_event_documented_by_aws() {
    let api = Api::start(|gateway| gateway).await;
    let request = api
        .client
        .post(api.url("/event?hub.mode=subscribe&a=1&a=2%2C3&text=a%20b+c&empty="))
        .header("X-Hub-Signature-256", "sha256=00")
        .header("header2", "value1")
        .header("Header2", "value2")
        .header("cookie", "cookie1=a; cookie2=b")
        .header("user-agent", "agent")
        .header("content-type", "application/json; charset=utf-8")
        .body("{\"text\": \"größer\"}");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["apigw-requestid"].len(), 16);
    let event: Value = response.json().await.unwrap();

    let host = api.server.address().to_string();
    let port = api.server.address().port().to_string();
    let mut expected = json!({
        "version": "2.0",
        "routeKey": "POST /event",
        "rawPath": "/event",
        "rawQueryString": "hub.mode=subscribe&a=1&a=2%2C3&text=a%20b+c&empty=",
        "cookies": ["cookie1=a", "cookie2=b"],
        "headers": {
            "accept": "*/*",
            "content-length": "20",
            "content-type": "application/json; charset=utf-8",
            "header2": "value1,value2",
            "host": host,
            "user-agent": "agent",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-port": port,
            "x-forwarded-proto": "http",
            "x-hub-signature-256": "sha256=00",
        },
        "queryStringParameters": {"hub.mode": "subscribe", "a": "1,2,3", "text": "a b c", "empty": ""},
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": "127.0.0.1",
            "domainPrefix": "127",
            "http": {
                "method": "POST",
                "path": "/event",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "agent",
            },
            "routeKey": "POST /event",
            "stage": "$default",
        },
        "body": "{\"text\": \"größer\"}",
        "isBase64Encoded": false,
    });
    // Fields that vary between requests.
    expected["headers"]["x-amzn-trace-id"] = event["headers"]["x-amzn-trace-id"].clone();
    for name in ["requestId", "time", "timeEpoch"] {
        expected["requestContext"][name] = event["requestContext"][name].clone();
    }
    assert_eq!(event, expected);
    assert!(event["headers"]["x-amzn-trace-id"].as_str().unwrap().starts_with("Root=1-"));

    let parsed: ApiGatewayV2httpRequest = serde_json::from_value(event).unwrap();
    assert_eq!(parsed.request_context.http.method, http::Method::POST);
    let time = parsed.request_context.time.unwrap();
    let time = chrono::DateTime::parse_from_str(&time, "%d/%b/%Y:%H:%M:%S %z").unwrap();
    assert_eq!(time.timestamp(), parsed.request_context.time_epoch / 1000);
    api.stop().await;
}

#[tokio::test]
async fn event_omits_absent_body_query_and_cookies() {
    let api = Api::start(|gateway| gateway).await;
    let request = api
        .client
        .get(api.url("/event"))
        .header("x-amzn-trace-id", "Root=1-5e9f0c65-1de4d666d4dd26aced652b6c");
    let event: Value = request.send().await.unwrap().json().await.unwrap();
    for field in ["body", "queryStringParameters", "cookies", "pathParameters", "stageVariables"] {
        assert!(event.get(field).is_none(), "{field}");
    }
    assert_eq!(event["routeKey"], "GET /event");
    assert_eq!(event["rawQueryString"], "");
    assert_eq!(event["headers"]["x-amzn-trace-id"], "Root=1-5e9f0c65-1de4d666d4dd26aced652b6c");
    api.stop().await;
}

#[tokio::test]
async fn content_type_decides_whether_a_body_is_text() {
    let api = Api::start(|gateway| gateway).await;
    for (content_type, as_text) in [
        (Some("application/json"), true),
        (Some("APPLICATION/JSON; charset=utf-8"), true),
        (Some("text/csv"), true),
        (Some("application/xml"), true),
        (Some("application/javascript"), true),
        (Some("application/x-www-form-urlencoded"), false),
        (Some("application/octet-stream"), false),
        (Some("image/png"), false),
        (None, false),
    ] {
        let mut request = api.client.post(api.url("/event")).body("hällo");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let event: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(event["isBase64Encoded"], !as_text, "{content_type:?}");
        let body = if as_text { "hällo".to_owned() } else { STANDARD.encode("hällo") };
        assert_eq!(event["body"], body, "{content_type:?}");
    }
    api.stop().await;
}

#[test]
fn binary_bodies_round_trip_unchanged() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let api = runtime.block_on(Api::start(|gateway| gateway));
    let forced = runtime.block_on(Api::start(|gateway| gateway.force_base64(true)));
    let bytes = prop_oneof![any::<Vec<u8>>(), any::<String>().prop_map(String::into_bytes)];
    let types = prop_oneof![Just("application/json"), Just("text/plain"), Just("image/png")];
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() });
    runner
        .run(&(bytes, types), |(bytes, content_type)| {
            for api in [&api, &forced] {
                let request = api.client.post(api.url("/bytes")).header("content-type", content_type);
                let returned = runtime.block_on(async {
                    request.body(bytes.clone()).send().await.unwrap().bytes().await.unwrap()
                });
                prop_assert_eq!(&returned[..], &bytes[..]);
            }
            Ok(())
        })
        .unwrap();
    runtime.block_on(async {
        api.stop().await;
        forced.stop().await;
    });
}

#[tokio::test]
async fn base64_can_be_forced_for_text() {
    let api = Api::start(|gateway| gateway.force_base64(true)).await;
    let request = api.client.post(api.url("/event")).header("content-type", "application/json").body("{}");
    let event: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("e30="), &json!(true)));
    api.stop().await;
}

#[tokio::test]
async fn full_response_sets_status_headers_cookies_and_body() {
    let api = Api::start(|gateway| gateway).await;
    let response = api
        .respond(&json!({
            "statusCode": 401,
            "headers": {"Content-Type": "application/problem+json", "WWW-Authenticate": "Bearer", "x-n": 1, "link": "</a>; rel=\"next\""},
            "multiValueHeaders": {"x-ignored": ["a"]},
            "cookies": ["a=1; Path=/", "b=2"],
            "body": "{\"status\":401}",
            "isBase64Encoded": false,
        }))
        .await;
    assert_eq!(response.status(), 401);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(headers["www-authenticate"], "Bearer");
    assert_eq!(headers["x-n"], "1");
    assert_eq!(headers["link"], "</a>; rel=\"next\"");
    assert!(headers.get("x-ignored").is_none(), "format 2.0 has no multiValueHeaders");
    assert_eq!(headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1; Path=/", "b=2"]);
    assert_eq!(response.text().await.unwrap(), "{\"status\":401}");

    let binary = json!({"statusCode": 200, "body": STANDARD.encode([0, 255, 10]), "isBase64Encoded": true});
    let response = api.respond(&binary).await;
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(&response.bytes().await.unwrap()[..], [0, 255, 10]);
    api.stop().await;
}

#[tokio::test]
async fn payload_without_a_status_code_is_the_body_of_a_200() {
    let api = Api::start(|gateway| gateway).await;
    for payload in [json!({"message": "hi"}), json!("text"), json!([1]), json!(null)] {
        let response = api.respond(&payload).await;
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(text(response).await, (StatusCode::OK, payload.to_string()));
    }
    api.stop().await;
}

#[tokio::test]
async fn invalid_response_and_crash_are_internal_server_errors() {
    let api = Api::start(|gateway| gateway).await;
    let error = (StatusCode::INTERNAL_SERVER_ERROR, r#"{"message":"Internal Server Error"}"#.to_owned());
    for payload in [
        json!({"statusCode": "ok"}),
        json!({"statusCode": 99}),
        json!({"statusCode": 200, "body": {"a": 1}}),
        json!({"statusCode": 200, "body": "%", "isBase64Encoded": true}),
        json!({"statusCode": 200, "headers": {"a b": "c"}}),
    ] {
        assert_eq!(text(api.respond(&payload).await).await, error, "{payload}");
    }
    assert_eq!(text(api.client.get(api.url("/exit")).send().await.unwrap()).await, error);
    api.stop().await;
}

#[tokio::test]
async fn routes_are_found_by_path_and_method() {
    let api = Api::start(|gateway| gateway).await;
    for path in ["/", "/nothing", "/event/", "/event/more"] {
        let response = api.client.get(api.url(path)).send().await.unwrap();
        assert_eq!(
            text(response).await,
            (StatusCode::NOT_FOUND, r#"{"message":"Not Found"}"#.to_owned()),
            "{path}"
        );
    }
    for (method, path, key) in [
        ("DELETE", "/event", "DELETE /event"),
        ("PUT", "/keyed", "PUT /keyed"),
        ("PATCH", "/keyed", "ANY /keyed"),
    ] {
        let request = api.client.request(method.parse().unwrap(), api.url(path));
        let event: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(event["routeKey"], key);
        assert_eq!(event["requestContext"]["http"]["method"], method);
    }
    api.stop().await;
}

#[tokio::test]
async fn body_above_ten_megabytes_is_rejected() {
    let api = Api::start(|gateway| gateway).await;
    let request = api.client.post(api.url("/event")).body(vec![b'x'; 10 * 1024 * 1024 + 1]);
    let too_large = (StatusCode::PAYLOAD_TOO_LARGE, r#"{"message":"Request Entity Too Large"}"#.to_owned());
    assert_eq!(text(request.send().await.unwrap()).await, too_large);
    // Within the gateway's limit, but above Lambda's.
    let request = api.client.post(api.url("/event")).body(vec![b'x'; 7 * 1024 * 1024]);
    assert_eq!(text(request.send().await.unwrap()).await, too_large);
    api.stop().await;
}

#[tokio::test]
async fn function_over_the_gateway_timeout_is_a_503() {
    let guardian = local_process::Guardian::start().unwrap();
    let config = probe("slow").with_env("PROBE_INIT", "hang");
    let function = Function::start(config, &guardian, local_lambda::LogSink::discard()).unwrap();
    let gateway = Gateway::new().route("/slow", &function).integration_timeout(Duration::from_millis(200));
    let server = HttpServer::start(gateway.into_router(), 0).await.unwrap();
    let client = shared::http::client().unwrap();
    let response = client.get(format!("{}/slow", server.url())).send().await.unwrap();
    let expected = (StatusCode::SERVICE_UNAVAILABLE, r#"{"message":"Service Unavailable"}"#.to_owned());
    assert_eq!(text(response).await, expected);
    server.stop().await;
    function.stop().await;
}

#[tokio::test]
async fn replaced_router_serves_from_the_next_request_on() {
    let said = |text: &'static str| axum::Router::new().fallback(move || async move { text });
    let server = HttpServer::start(said("first"), 0).await.unwrap();
    let client = shared::http::client().unwrap();
    let get = async || client.get(server.url()).send().await.unwrap().text().await.unwrap();
    assert_eq!(get().await, "first");
    server.replace(said("second"));
    assert_eq!(get().await, "second");
    server.stop().await;
}

#[tokio::test]
async fn web_sites_cannot_reach_functions() {
    let api = Api::start(|gateway| gateway).await;
    let status = async |name: &str, value: &str| {
        api.client.post(api.url("/event")).header(name, value).send().await.unwrap().status()
    };
    assert_eq!(status("origin", "http://localhost:3000").await, 200);
    assert_eq!(status("host", "[::1]:80").await, 200);
    for (name, value) in [
        ("host", "rebound.example.com"),
        ("origin", "https://example.com"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(status(name, value).await, 403, "{name}: {value}");
    }
    api.stop().await;
}

#[tokio::test]
async fn browser_preflight_is_answered_by_the_gateway() {
    let cors = Cors {
        allows_origin: |origin| origin == "http://localhost:3000",
        allow_methods: "GET",
        allow_headers: "authorization",
        expose_headers: "link,retry-after",
        max_age: 3600,
    };
    let api = Api::start(|gateway| gateway.cors(cors)).await;
    let names = [
        "access-control-allow-origin",
        "access-control-allow-methods",
        "access-control-allow-headers",
        "access-control-expose-headers",
        "access-control-max-age",
    ];
    let headers = |response: &Response| {
        names.map(|name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()))
    };
    let ask = |method: &str, path: &str, origin: &str| {
        let request = api.client.request(method.parse().unwrap(), api.url(path)).header("origin", origin);
        request.header("access-control-request-method", "GET").send()
    };
    let all = ["http://localhost:3000", "GET", "authorization", "link,retry-after", "3600"];
    for path in ["/event", "/nothing"] {
        let response = ask("OPTIONS", path, "http://localhost:3000").await.unwrap();
        assert_eq!(response.status(), 204, "{path}");
        assert_eq!(headers(&response), all.map(|value| Some(value.to_owned())));
        let response = ask("OPTIONS", path, "http://localhost:4000").await.unwrap();
        assert_eq!((response.status().as_u16(), headers(&response)), (204, [const { None }; 5]));
    }
    // The request after the preflight, also one without a route.
    for (path, status) in [("/event", 200), ("/nothing", 404)] {
        let response = ask("GET", path, "http://localhost:3000").await.unwrap();
        let shown = [Some(all[0].to_owned()), None, None, Some(all[3].to_owned()), None];
        assert_eq!((response.status().as_u16(), headers(&response)), (status, shown));
        let response = ask("GET", path, "http://localhost:4000").await.unwrap();
        assert_eq!((response.status().as_u16(), headers(&response)), (status, [const { None }; 5]));
    }
    // Not a preflight: a request like any other.
    let response = api.client.request("OPTIONS".parse().unwrap(), api.url("/event")).send().await.unwrap();
    let event: Value = response.json().await.unwrap();
    assert_eq!(event["requestContext"]["http"]["method"], "OPTIONS");
    api.stop().await;
}
