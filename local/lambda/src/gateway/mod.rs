//! An HTTP API of API Gateway in front of functions.
//!
//! Payload format 2.0, stage `$default`:
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>.
//! Path parameters and authorizers are not emulated.

mod cors;
mod event;
mod response;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use crate::error::InvokeError;
use crate::function::{Function, new_trace_id};
use event::Envelope;

pub use cors::Cors;

/// Maximum size of a request body: 10 MB.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const BODY_LIMIT: usize = 10 * 1024 * 1024;

/// Routes and settings of an HTTP API; [`Gateway::into_router`] turns it into a router.
#[derive(Clone, Debug)]
pub struct Gateway {
    routes: Vec<Route>,
    force_base64: bool,
    timeout: Duration,
    cors: Option<Cors>,
}

#[derive(Clone, Debug)]
struct Route {
    /// `None`: any method.
    method: Option<String>,
    path: String,
    function: Function,
    /// Route key in the event; `None`: the request's method and the path.
    key: Option<String>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self { routes: Vec::new(), force_base64: false, timeout: Duration::from_secs(30), cors: None }
    }
}

impl Gateway {
    /// An API without routes, which responds 404 to every request.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Routes requests to `function`.
    ///
    /// `key` is a route key of API Gateway, such as `GET /webhook` or `ANY /webhook`, or just a path: then
    /// every method of the path goes to the function, as if each had a route. A route of the request's method
    /// takes precedence over one of any method.
    #[must_use]
    pub fn route(mut self, key: &str, function: &Function) -> Self {
        let (method, path, key) = match key.split_once(' ') {
            None => (None, key, None),
            Some(("ANY", path)) => (None, path, Some(key.to_owned())),
            Some((method, path)) => (Some(method.to_owned()), path, Some(key.to_owned())),
        };
        self.routes.push(Route { method, path: path.to_owned(), function: function.clone(), key });
        self
    }

    /// Encodes every body in base64, including those that API Gateway passes as text.
    #[must_use]
    pub fn force_base64(mut self, force: bool) -> Self {
        self.force_base64 = force;
        self
    }

    /// Timeout of the function before the caller gets a 503; 30 s, as on AWS.
    #[must_use]
    pub fn integration_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Allows web apps to call the API from a browser.
    #[must_use]
    pub fn cors(mut self, cors: Cors) -> Self {
        self.cors = Some(cors);
        self
    }

    /// A router that handles every request without a more specific route.
    pub fn into_router(self) -> Router {
        Router::new().fallback(handle).with_state(Arc::new(self))
    }

    fn find(&self, method: &Method, path: &str) -> Option<&Route> {
        let routes = || self.routes.iter().filter(|route| route.path == path);
        routes()
            .find(|route| route.method.as_deref() == Some(method.as_str()))
            .or_else(|| routes().find(|route| route.method.is_none()))
    }
}

async fn handle(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let request_id = new_request_id();
    let (preflight, headers) = match &gateway.cors {
        Some(cors) => (cors::is_preflight(&request), cors.headers(&request)),
        None => (false, HeaderMap::new()),
    };
    let mut response = match preflight {
        true => StatusCode::NO_CONTENT.into_response(),
        false => answer(&gateway, request, &request_id).await,
    };
    response.headers_mut().extend(headers);
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("apigw-requestid", value);
    }
    response
}

async fn answer(gateway: &Gateway, request: Request, request_id: &str) -> Response {
    let (parts, body) = request.into_parts();
    let Some(route) = gateway.find(&parts.method, parts.uri.path()) else {
        return message(StatusCode::NOT_FOUND, "Not Found");
    };
    // Fails only if the body is too large, or if the client has disconnected.
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let trace_id = match parts.headers.get("x-amzn-trace-id").and_then(|value| value.to_str().ok()) {
        Some(sent) if sent.contains("Root=") => sent.to_owned(),
        _ => new_trace_id(),
    };
    let key = route.key.clone().unwrap_or_else(|| format!("{} {}", parts.method, route.path));
    let envelope = Envelope {
        route_key: &key,
        request_id,
        trace_id: &trace_id,
        account_id: &route.function.config().account_id,
        peer: parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0),
        force_base64: gateway.force_base64,
    };
    let event = event::build(&parts, &body, &envelope).to_string();
    let invoked = route.function.invoke_traced(event.into(), Some(trace_id.clone()));
    match tokio::time::timeout(gateway.timeout, invoked).await {
        Err(_) => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        Ok(Ok(payload)) => response::build(&payload).unwrap_or_else(internal_error),
        Ok(Err(InvokeError::TooLarge(_))) => {
            message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
        }
        Ok(Err(error)) => {
            tracing::warn!(function = route.function.name(), %error, "invocation failed: responded with 500");
            internal_error()
        }
    }
}

fn internal_error() -> Response {
    message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

fn message(status: StatusCode, text: &str) -> Response {
    let body = format!("{{\"message\":\"{text}\"}}");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// 16 characters of base64 that end in `=`, as in API Gateway.
fn new_request_id() -> String {
    STANDARD.encode(Uuid::new_v4().as_bytes().get(..11).unwrap_or_default())
}
