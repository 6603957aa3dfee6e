//! CORS settings of an HTTP API.
//!
//! With CORS configured, API Gateway answers a browser's preflight itself on every path, and adds its headers
//! to every other response. A response to an origin that is not allowed lacks them, so the browser hides it
//! from the page. Source: “Configure CORS for HTTP APIs in API Gateway”, 2026-11.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// Allowed origins, methods and headers. Lists are comma-separated.
#[derive(Clone, Copy, Debug)]
pub struct Cors {
    /// Predicate for `AllowOrigins`.
    pub allows_origin: fn(&str) -> bool,
    /// `AllowMethods`.
    pub allow_methods: &'static str,
    /// `AllowHeaders`.
    pub allow_headers: &'static str,
    /// `ExposeHeaders`.
    pub expose_headers: &'static str,
    /// `MaxAge`, in seconds.
    pub max_age: u32,
}

impl Cors {
    /// CORS headers of the response.
    pub(super) fn headers(&self, request: &Request) -> HeaderMap {
        let origin = request.headers().get(header::ORIGIN);
        let allows = |origin: &&HeaderValue| origin.to_str().is_ok_and(self.allows_origin);
        let Some(origin) = origin.filter(allows) else { return HeaderMap::new() };
        let fixed = |name: HeaderName, value| (name, HeaderValue::from_static(value));
        let mut headers = HeaderMap::from_iter([
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()),
            fixed(header::ACCESS_CONTROL_EXPOSE_HEADERS, self.expose_headers),
        ]);
        if is_preflight(request) {
            headers.extend([
                fixed(header::ACCESS_CONTROL_ALLOW_METHODS, self.allow_methods),
                fixed(header::ACCESS_CONTROL_ALLOW_HEADERS, self.allow_headers),
                (header::ACCESS_CONTROL_MAX_AGE, self.max_age.into()),
            ]);
        }
        headers
    }
}

/// Whether the request is a CORS preflight.
pub(super) fn is_preflight(request: &Request) -> bool {
    let has = |name| request.headers().contains_key(name);
    request.method() == Method::OPTIONS && has(header::ORIGIN) && has(header::ACCESS_CONTROL_REQUEST_METHOD)
}
