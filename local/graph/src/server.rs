//! Routes and responses.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State as Shared};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use local_loopback::reset::ResetSwitch;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::calls::GraphEvent;
use crate::error::GraphError;
use crate::faults::{Effect, Fault, Outcome};
use crate::request::{self, Address, Request, Send};
use crate::store::{ReadReceipt, Received, Stored};
use crate::token::{self, bearer};
use crate::version::is_version;
use crate::{State, number};

pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/received", get(received))
        .route("/{version}/{phone_number_id}/messages", any(messages))
        .route("/{version}/debug_token", any(number::debug_token))
        .route("/{version}/{phone_number_id}", any(number::number))
        .fallback(unknown_path)
        .with_state(state)
}

/// Not part of Meta's API.
async fn received(Shared(state): Shared<Arc<State>>) -> Json<Stored> {
    Json(state.store.stored())
}

async fn unknown_path(uri: Uri) -> GraphError {
    GraphError::unknown_path(uri.path())
}

async fn messages(
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(connection): ConnectInfo<ResetSwitch>,
    Path((version, phone_number_id)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let trace = headers.get("x-amzn-trace-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let call = ParsedCall { state: &state, version, phone_number_id, trace };
    let mut watched = state.subscribers.watch(&body);
    let response = match call.check(&method, &uri, &headers, &body) {
        Ok((Request::Read { message_id, typing }, _)) => call.read(message_id, typing),
        Ok((Request::Send(send), raw)) => call.send(send, raw, &connection).await,
        Err(error) => {
            tracing::debug!(status = error.status.as_u16(), code = error.code, "rejected");
            error.into_response()
        }
    };
    watched.answered(response).await
}

/// One call, with its parsed path.
struct ParsedCall<'a> {
    state: &'a State,
    version: String,
    phone_number_id: String,
    trace: Option<String>,
}

impl ParsedCall<'_> {
    fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(Request, Value), GraphError> {
        if !is_version(&self.version) {
            return Err(GraphError::unknown_path(uri.path()));
        }
        self.state.access_token.authenticate(bearer(headers))?;
        self.state.access_token.authorize(token::MESSAGING)?;
        if !self.state.knows_number(&self.phone_number_id) || method != Method::POST {
            return Err(GraphError::unsupported(method.as_str(), &self.phone_number_id));
        }
        // For Meta, a body that is not declared as JSON, or is not JSON, has no parameters.
        let raw =
            if is_json(headers) { serde_json::from_slice(body).unwrap_or_default() } else { Value::Null };
        Ok((request::parse(&raw)?, raw))
    }

    fn read(&self, message_id: String, typing: bool) -> Response {
        let receipt = ReadReceipt {
            at: Utc::now(),
            version: self.version.clone(),
            phone_number_id: self.phone_number_id.clone(),
            message_id,
            typing,
        };
        self.state.subscribers.publish(|| GraphEvent::Read(receipt.clone()));
        self.state.store.add_read_receipt(receipt);
        Json(json!({ "success": true })).into_response()
    }

    async fn send(&self, send: Send, raw: Value, connection: &ResetSwitch) -> Response {
        let Some(fault) = self.state.faults.take(send.address.as_str()) else {
            return self.accept(send, raw);
        };
        match fault.effect {
            Effect::BeforeFault => {
                let answer = self.accept(send, raw);
                self.wait(fault).await;
                faulty(fault, connection).unwrap_or(answer)
            }
            Effect::AfterFault => {
                self.wait(fault).await;
                faulty(fault, connection).unwrap_or_else(|| self.accept(send, raw))
            }
        }
    }

    async fn wait(&self, fault: Fault) {
        // Ends early when the fake stops: a fault must not delay that.
        let _ = tokio::time::timeout(fault.delay, self.state.stopping.cancelled()).await;
    }

    /// Delivers the message: stores it and builds the response.
    fn accept(&self, send: Send, raw: Value) -> Response {
        let id = wamid(send.address.as_str());
        let contact = match &send.address {
            Address::User(user_id) => json!({ "input": user_id, "user_id": user_id }),
            Address::Phone(to) => json!({ "input": to, "wa_id": to.trim_start_matches('+') }),
            Address::Group(to) | Address::Nowhere(to) => json!({ "input": to, "wa_id": to }),
        };
        let answer = json!({
            "messaging_product": "whatsapp",
            "contacts": [contact],
            "messages": [{ "id": &id }],
        });
        let message = Received {
            id,
            at: Utc::now(),
            version: self.version.clone(),
            phone_number_id: self.phone_number_id.clone(),
            to: send.to,
            recipient: send.recipient,
            kind: send.kind,
            body: send.body,
            buttons: send.buttons,
            quotes: send.quotes,
            callback_data: send.callback_data,
            trace: self.trace.clone(),
            raw,
        };
        if matches!(send.address, Address::Nowhere(_)) {
            self.state.store.add_dropped(message);
        } else {
            self.state.subscribers.publish(|| GraphEvent::Accepted(Box::new(message.clone())));
            self.state.store.add_received(message);
        }
        (StatusCode::OK, Json(answer)).into_response()
    }
}

/// The response of a fault in place of the normal one.
fn faulty(fault: Fault, connection: &ResetSwitch) -> Option<Response> {
    match fault.outcome {
        Outcome::Answer => None,
        Outcome::Error { status, code } => Some(GraphError::scripted(status, code).into_response()),
        Outcome::Reset => {
            connection.reset();
            // Never written: writing it resets the connection.
            Some(StatusCode::INTERNAL_SERVER_ERROR.into_response())
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

/// A new wamid in Meta's format: the other party's address and a random part, in base64.
fn wamid(address: &str) -> String {
    let address = address.trim_start_matches('+').as_bytes();
    let address = &address[..address.len().min(usize::from(u8::MAX))];
    let random = Uuid::new_v4().simple().to_string().to_ascii_uppercase();
    let mut bytes = vec![0x1c, 0x18, u8::try_from(address.len()).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(address);
    bytes.extend_from_slice(&[0x15, 0x02, 0x00, 0x11, 0x18, 0x20]);
    bytes.extend_from_slice(random.as_bytes());
    bytes.push(0);
    format!("wamid.{}", STANDARD.encode(bytes))
}
