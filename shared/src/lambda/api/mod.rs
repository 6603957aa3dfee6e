//! Runs a function behind API Gateway's HTTP API: event, handler, response.
//!
//! Every event gets a response: Lambda counts an invocation without one as an error, and errors roll a new deployment
//! back (`template.yaml`).

mod event;

use std::borrow::Cow;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use lambda_http::http::StatusCode;
use lambda_http::http::header::{CONTENT_TYPE, HeaderValue};
use lambda_http::{Body, Error, LambdaEvent, Request, Response, lambda_runtime, service_fn};
use tokio::time::Instant;
use tracing::{Instrument, error, warn, warn_span};

use crate::lambda::counter::Counter;
use crate::lambda::deadline::Deadline;
use crate::lambda::metrics::{flush, record};
use crate::lambda::trace;
use event::Event;

pub use event::{InvalidEvent, request};

/// The reason of a refusal, in one word for the log: an extension of the response.
///
/// Any client can send refused requests, in any number. Each costs one short line, written by [`run`], without other
/// lines or metrics: a metric filter of `template.yaml` counts the lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused(pub Cow<'static, str>);

/// Handles requests with `handle` until the process ends. Each request has the [`Deadline`] of its invocation as an
/// extension. The duration of each request that is not [`Refused`] is recorded under `time`, one of
/// [`crate::lambda::metrics::TIMES`].
///
/// # Errors
/// When the runtime ends.
pub async fn run<H, F>(time: &'static str, handle: H) -> Result<(), Error>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<Body>>,
{
    let handle = &handle;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Event>| {
        let LambdaEvent { payload: Event(request), context } = event;
        let start = Instant::now();
        let request = request.map(|mut request| {
            request.extensions_mut().insert(Deadline::at(context.deadline()));
            request
        });
        let answer = trace::within(context.xray_trace_id, answer(request, handle)).await;
        match answer.extensions().get::<Refused>() {
            Some(Refused(reason)) => log_refusal(&context.request_id, answer.status(), reason).await,
            None => record(time, start.elapsed()),
        }
        flush();
        Ok::<_, Error>(written(answer))
    }))
    .await
}

/// Returns the response of `handle`; 400 without a request, and 500 after a panic.
async fn answer<F>(request: Result<Request, InvalidEvent>, handle: impl Fn(Request) -> F) -> Response<Body>
where
    F: Future<Output = Response<Body>>,
{
    let Ok(request) = request else {
        let mut answer = message(StatusCode::BAD_REQUEST, "Bad Request");
        answer.extensions_mut().insert(Refused("no_request".into()));
        return answer;
    };
    match AssertUnwindSafe(async { handle(request).await }).catch_unwind().await {
        Ok(answer) => answer,
        Err(_) => {
            error!(counter = Counter::Panics.name(), "handler panicked: responded with 500");
            message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
    }
}

/// Returns a response in the format of API Gateway's own.
fn message(status: StatusCode, text: &str) -> Response<Body> {
    let mut answer = Response::new(Body::Text(format!(r#"{{"message":"{text}"}}"#)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Logs the only line about a refused request, in some 200 bytes: in a span of its own, with `requestId` as its only
/// field.
async fn log_refusal(request_id: &str, status: StatusCode, reason: &str) {
    let line = async { warn!(target: "api", status = status.as_u16(), reason, "refused") };
    line.instrument(warn_span!(target: "api", parent: None, "api", requestId = request_id)).await;
}

/// Converts a response to API Gateway's format. No response of the functions sets cookies, or a header twice.
fn written(answer: Response<Body>) -> ApiGatewayV2httpResponse {
    let (parts, body) = answer.into_parts();
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = parts.status.as_u16().into();
    response.headers = parts.headers;
    response.is_base64_encoded = matches!(body, Body::Binary(_));
    response.body = Some(body);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get() -> Result<Request, InvalidEvent> {
        Ok(Request::new(Body::Empty))
    }

    #[tokio::test]
    async fn a_panic_in_a_handler_is_answered_500() {
        let before = answer(get(), |_| -> std::future::Ready<_> { panic!("before the future") }).await;
        let within = answer(get(), async |_| panic!("within the future")).await;
        for answer in [before, within] {
            assert_eq!(answer.status(), 500);
            assert_eq!(answer.body(), &Body::Text(r#"{"message":"Internal Server Error"}"#.to_owned()));
            assert_eq!(answer.extensions().get::<Refused>(), None);
        }
    }

    #[tokio::test]
    async fn an_invalid_event_is_answered_400_without_the_handler() {
        let answer = answer(Err(InvalidEvent), async |_| panic!("called")).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.extensions().get(), Some(&Refused("no_request".into())));
    }

    #[test]
    fn an_answer_is_written_with_its_status_headers_and_body() {
        let json = serde_json::to_value(written(message(StatusCode::BAD_REQUEST, "x"))).expect("JSON");
        assert_eq!(json["statusCode"], 400);
        assert_eq!(json["headers"]["content-type"], "application/json");
        assert_eq!(json["body"], r#"{"message":"x"}"#);
    }
}
