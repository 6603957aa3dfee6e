//! Routes and responses.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, State as Shared};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::Utc;
use local_loopback::reset::ResetSwitch;
use serde::Deserialize;
use serde_json::Value;

use crate::State;
use crate::answer::completion;
use crate::error::ApiError;
use crate::faults::{Fault, Outcome};
use crate::request;
use crate::store::Received;

pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(completions).fallback(unknown_path))
        .route("/received", get(received))
        .route("/faults", post(add_fault).delete(clear_faults))
        .fallback(unknown_path)
        .with_state(state)
}

async fn unknown_path(method: Method, uri: Uri) -> ApiError {
    ApiError::unknown_path(method.as_str(), uri.path())
}

/// Not part of the API.
async fn received(Shared(state): Shared<Arc<State>>) -> Json<Vec<Received>> {
    Json(state.store.received())
}

/// A fault to schedule.
#[derive(Deserialize)]
struct NewFault {
    #[serde(flatten)]
    outcome: Outcome,
    #[serde(default)]
    delay_ms: u64,
    /// For so many requests; for all without a scheduled fault if there is none.
    count: Option<usize>,
}

/// Not part of the API.
async fn add_fault(Shared(state): Shared<Arc<State>>, Json(new): Json<NewFault>) -> StatusCode {
    let fault = Fault { outcome: new.outcome, delay: Duration::from_millis(new.delay_ms) };
    match new.count {
        Some(count) => state.faults.add_next(count, fault),
        None => state.faults.set_always(Some(fault)),
    }
    StatusCode::NO_CONTENT
}

/// Not part of the API.
async fn clear_faults(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.faults.clear();
    StatusCode::NO_CONTENT
}

async fn completions(
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(connection): ConnectInfo<ResetSwitch>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let raw: Value = serde_json::from_slice(&body).unwrap_or_default();
    let request = match request::parse(&raw) {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    let Fault { outcome, delay } = state.faults.take();
    let said = request.messages.iter().filter(|message| message.is_said()).count();
    let error = match outcome {
        Outcome::Error { status } => Some(ApiError::scripted(status)),
        Outcome::Throttled { retry_after } => Some(ApiError::throttled(retry_after)),
        Outcome::ContextTooLong { longest } if said > longest => {
            Some(ApiError::context_too_long(longest, said))
        }
        _ => None,
    };
    let number = state.store.add(Received {
        at: Utc::now(),
        api_key: api_key(&headers),
        model: request.model.clone(),
        messages: request.messages.clone(),
        billed: error.is_none(),
        raw,
    });
    wait(&state, delay).await;
    if let Some(error) = error {
        return error.into_response();
    }
    match outcome {
        Outcome::Reset => {
            connection.reset();
            // Never written: writing it resets the connection.
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Outcome::Garbage => Html("<html><body>Bad gateway</body></html>").into_response(),
        outcome => Json(completion(&request, outcome, number)).into_response(),
    }
}

/// Ends early when the fake stops: a fault must not delay that.
async fn wait(state: &State, delay: Duration) {
    let _ = tokio::time::timeout(delay, state.stopping.cancelled()).await;
}

/// The bearer token of a request.
fn api_key(headers: &HeaderMap) -> Option<String> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.to_owned())
}
