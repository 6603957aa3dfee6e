//! Queries about a business number, and about the access token.
//!
//! Source: Meta's Cloud API reference, "WhatsApp Business Account Phone Number API" (v23.0), and the Graph API's
//! reference, "Debug-Token".

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use axum::http::{HeaderMap, Method, Uri};
use serde_json::{Map, Value, json};

use crate::State;
use crate::error::GraphError;
use crate::token::{self, bearer};
use crate::version::is_version;

/// Fields of a number in a response to a query without fields.
const DEFAULT_FIELDS: [&str; 4] =
    ["verified_name", "code_verification_status", "display_phone_number", "quality_rating"];

/// `GET /{version}/{phone-number-id}`.
pub(crate) async fn number(
    Shared(state): Shared<Arc<State>>,
    Path((version, id)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, GraphError> {
    if !is_version(&version) {
        return Err(GraphError::unknown_path(uri.path()));
    }
    state.access_token.authenticate(bearer(&headers))?;
    if !state.knows_number(&id) || method != Method::GET {
        return Err(GraphError::unsupported(method.as_str(), &id));
    }
    state.access_token.authorize(token::MANAGEMENT)?;
    let known = fields(&id);
    let asked = query.get("fields").map_or(DEFAULT_FIELDS.join(","), Clone::clone);
    let mut answer = Map::new();
    for field in asked.split(',').map(str::trim).filter(|field| !field.is_empty()) {
        let value = known.get(field).ok_or_else(|| GraphError::no_field(field))?;
        answer.insert(field.to_owned(), value.clone());
    }
    answer.insert("id".to_owned(), json!(id));
    Ok(Json(answer.into()))
}

/// Fields of a number, with the values of Meta's examples.
fn fields(id: &str) -> Value {
    json!({
        "id": id,
        "verified_name": "Lucky Shrub",
        "display_phone_number": "+1 555-078-3881",
        "code_verification_status": "VERIFIED",
        "quality_rating": "GREEN",
        "platform_type": "CLOUD_API",
        "throughput": { "level": "STANDARD" },
        "account_mode": "LIVE",
        "name_status": "APPROVED",
        "status": "CONNECTED",
        "is_official_business_account": false,
    })
}

/// `GET /{version}/debug_token`.
pub(crate) async fn debug_token(
    Shared(state): Shared<Arc<State>>,
    Path(version): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, GraphError> {
    if !is_version(&version) {
        return Err(GraphError::unknown_path(uri.path()));
    }
    state.access_token.authenticate(bearer(&headers))?;
    if method != Method::GET {
        return Err(GraphError::unsupported(method.as_str(), "debug_token"));
    }
    let token = query.get("input_token").ok_or_else(|| GraphError::required("input_token"))?;
    Ok(Json(json!({ "data": state.access_token.describe(token) })))
}
