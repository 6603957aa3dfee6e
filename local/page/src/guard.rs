//! Protection against cross-site requests of other pages on this machine. `local-loopback` refuses requests from
//! elsewhere.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// Refuses requests that the page does not send.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    match refusal(request.method(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(method: &Method, headers: &HeaderMap) -> Option<Problem> {
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // Forms of other pages cannot send this content type; their scripts need a preflight, which is not answered.
    (changes && !content_type.is_some_and(is_json)).then(|| {
        let detail = "a request with side effects needs the content type application/json";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    })
}

fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_not_json() {
        assert!(is_json("application/json; charset=utf-8") && is_json("Application/JSON"));
        for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
        {
            assert!(!is_json(form), "{form}");
        }
    }
}
