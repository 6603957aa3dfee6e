//! Lambda's `Invoke` over HTTP, for `cargo lambda invoke`, the AWS CLI and the SDKs.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>. Signatures are not checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;

use crate::error::InvokeError;
use crate::function::Function;

type Functions = Arc<BTreeMap<String, Function>>;

/// `POST /2015-03-31/functions/{name}/invocations` for each of `functions`.
pub fn router(functions: impl IntoIterator<Item = Function>) -> Router {
    let functions: BTreeMap<_, _> =
        functions.into_iter().map(|function| (function.name().to_owned(), function)).collect();
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        // `Function::invoke` has the limit.
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(functions))
}

async fn invoke(
    State(functions): State<Functions>,
    Path(name): Path<String>,
    headers: HeaderMap,
    payload: Bytes,
) -> Response {
    let short = name.rsplit_once(":function:").map_or(name.as_str(), |(_, short)| short);
    let Some(function) = functions.get(short).cloned() else {
        return refusal(
            StatusCode::NOT_FOUND,
            "ResourceNotFoundException",
            &format!("Function not found: {short}"),
        );
    };
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // A call without a payload gets an empty object.
    let payload = if payload.is_empty() { Bytes::from_static(b"{}") } else { payload };
    match text("x-amz-invocation-type").unwrap_or("RequestResponse") {
        "DryRun" => StatusCode::NO_CONTENT.into_response(),
        "Event" => {
            tokio::spawn(async move { function.invoke(payload).await });
            StatusCode::ACCEPTED.into_response()
        }
        _ => {
            let trace_id = text("x-amzn-trace-id").map(str::to_owned);
            respond(function.invoke_traced(payload, trace_id).await)
        }
    }
}

fn respond(result: Result<Bytes, InvokeError>) -> Response {
    let version = ("x-amz-executed-version", "$LATEST");
    match result {
        Ok(payload) => {
            ([version, (header::CONTENT_TYPE.as_str(), "application/json")], payload).into_response()
        }
        Err(error @ InvokeError::TooLarge(_)) => {
            refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &error.to_string())
        }
        Err(error @ InvokeError::Shutdown) => {
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", &error.to_string())
        }
        Err(error) => {
            ([version, ("x-amz-function-error", "Unhandled")], Json(error.payload())).into_response()
        }
    }
}

fn refusal(status: StatusCode, error_type: &'static str, message: &str) -> Response {
    let body = json!({"Type": "User", "message": message});
    (status, [("x-amzn-errortype", error_type)], Json(body)).into_response()
}
