//! A function behind API Gateway's HTTP API: from the event to the handler, and back.
//!
//! `lambda_http` reads the events. Its own `run` is not used: it copies every event, to look whether it is another
//! service's, and knows how to decode answers in every character set: together 200 kB of the binary.

use std::future::Future;

use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use lambda_http::request::LambdaRequest;
use lambda_http::{Body, Error, LambdaEvent, Request, Response, lambda_runtime, service_fn};

use crate::metrics::{flush, timed};
use crate::trace;

/// Answers requests with `handle`, for ever. How long each took is recorded under `time`, one of
/// [`crate::metrics::TIMES`].
///
/// # Errors
/// When the runtime ends.
pub async fn run<H, F>(time: &'static str, handle: H) -> Result<(), Error>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<Body>>,
{
    let handle = &handle;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<ApiGatewayV2httpRequest>| {
        let request = Request::from(LambdaRequest::ApiGatewayV2(event.payload));
        let trace = event.context.xray_trace_id;
        let answer = timed(time, trace::within(trace, handle(request))).await;
        flush();
        Ok::<_, Error>(written(answer))
    }))
    .await
}

/// The answer as API Gateway takes it. None of ours sets cookies, or a header twice.
fn written(answer: Response<Body>) -> ApiGatewayV2httpResponse {
    let (parts, body) = answer.into_parts();
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = parts.status.as_u16().into();
    response.headers = parts.headers;
    response.is_base64_encoded = matches!(body, Body::Binary(_));
    response.body = Some(body);
    response
}
