//! Supabase's API gateway: processing of `apikey` and `Authorization` before the request reaches PostgREST.
//!
//! - A request without a known key in `apikey` (header or URL parameter) is rejected.
//! - A new key (`sb_…`) is replaced by a JWT of its role, unless `Authorization` is set: then `Authorization`
//!   decides, also with a secret key. The same key in `Authorization`, as sent by supabase-js without a
//!   signed-in user, counts as absent. Another `sb_…` key in `Authorization` is passed on, and PostgREST
//!   rejects it because it is not a JWT.
//! - A legacy key is a JWT itself and grants nothing in `apikey`: `Authorization` determines the role.
//!
//! Source: <https://supabase.com/docs/guides/api/api-keys> and the gateway's configuration in
//! <https://github.com/supabase/cli>.

use std::sync::Arc;

use anyhow::Context as _;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{StatusCode, Uri};
use serde_json::json;

use crate::differences;
use crate::keys::{PUBLISHABLE_KEY, Role, SECRET_KEY};

const APIKEY: HeaderName = HeaderName::from_static("apikey");

/// The legacy keys: JWTs, which also replace the new key of the same role in `Authorization`.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) anon: String,
    pub(crate) service_role: String,
}

impl Keys {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { anon: Role::Anon.token()?, service_role: Role::ServiceRole.token()? })
    }
}

/// Serves `rest` under `/rest/v1`, behind the key check.
pub(crate) fn router(rest: Router, keys: Keys) -> Router {
    let rest = rest.layer(middleware::from_fn_with_state(Arc::new(keys), admit));
    Router::new().nest_service("/rest/v1", rest).fallback(no_route)
}

async fn no_route() -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "message": "no Route matched with those values" }))).into_response()
}

async fn admit(State(keys): State<Arc<Keys>>, mut request: Request<Body>, next: Next) -> Response {
    let key = match take_key(&mut request) {
        Ok(Some(key)) => key,
        Ok(None) => {
            return refusal(
                "No API key found in request",
                "No `apikey` request header or url param was found.",
            );
        }
        Err(_) => return refusal("Invalid API key", "It is not text."),
    };
    let role = match key.as_str() {
        PUBLISHABLE_KEY => Some(&keys.anon),
        SECRET_KEY => Some(&keys.service_role),
        old if old == keys.anon || old == keys.service_role => None,
        _ => {
            return refusal(
                "Invalid API key",
                "Double check your Supabase `anon` or `service_role` API key.",
            );
        }
    };
    let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    if let Some(token) = role
        && authorization.is_none_or(|authorization| authorization == format!("Bearer {key}").as_bytes())
        && let Ok(header) = HeaderValue::try_from(format!("Bearer {token}"))
    {
        request.headers_mut().insert(AUTHORIZATION, header);
    }
    let is_anonymous = differences::is_anonymous(request.headers());
    differences::as_postgrest(next.run(request).await, is_anonymous).await
}

/// Removes the key from the request: PostgREST would parse the URL parameter as a filter.
fn take_key(request: &mut Request<Body>) -> anyhow::Result<Option<String>> {
    if let Some(header) = request.headers_mut().remove(APIKEY) {
        return Ok(Some(header.to_str()?.to_owned()));
    }
    let Some(query) = request.uri().query() else { return Ok(None) };
    let (keys, others): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|parameter| parameter.starts_with("apikey="));
    let Some(key) = keys.first().map(|parameter| parameter["apikey=".len()..].to_owned()) else {
        return Ok(None);
    };
    let path = request.uri().path();
    let rest = if others.is_empty() { path.to_owned() } else { format!("{path}?{}", others.join("&")) };
    *request.uri_mut() = Uri::try_from(rest).context("not a URL")?;
    Ok(Some(key))
}

fn refusal(message: &str, hint: &str) -> Response {
    (StatusCode::UNAUTHORIZED, Json(json!({ "message": message, "hint": hint }))).into_response()
}
