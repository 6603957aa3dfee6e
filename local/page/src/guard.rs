//! Only the page itself changes something: a form of another page on this machine cannot. What is not of this machine does
//! not come this far: see `local-loopback`.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// Passes on what the page itself may have asked.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    match refusal(request.method(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(method: &Method, headers: &HeaderMap) -> Option<Problem> {
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // Other pages' forms cannot send it, and their scripts have to ask first and are not answered.
    (changes && !content_type.is_some_and(is_json)).then(|| {
        let detail = "a request that changes something has the content type application/json";
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
    fn a_form_is_no_json() {
        assert!(is_json("application/json; charset=utf-8") && is_json("Application/JSON"));
        for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
        {
            assert!(!is_json(form), "{form}");
        }
    }
}
