//! Nobody but the page itself may use it: a web site that is open in the same browser must not read what it shows, nor
//! play with it.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// Passes on what the page itself may have asked.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    match refusal(request.method(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(method: &Method, headers: &HeaderMap) -> Option<Problem> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // A name that somebody else's DNS has led here is no name of ours.
    if !header(header::HOST).is_some_and(is_ours) {
        return Some(Problem::new(StatusCode::FORBIDDEN, "use the page at 127.0.0.1 or localhost"));
    }
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    // Other sites' forms cannot send it, and their scripts have to ask first and are not answered.
    (changes && !header(header::CONTENT_TYPE).is_some_and(is_json)).then(|| {
        let detail = "a request that changes something has the content type application/json";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    })
}

/// Whether a `Host` names this machine itself, with any port.
fn is_ours(host: &str) -> bool {
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "0"));
    matches!(name, "127.0.0.1" | "localhost") && port.parse::<u16>().is_ok()
}

fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_s_own_names_are_ours() {
        for host in ["127.0.0.1:8080", "localhost:1", "127.0.0.1", "localhost"] {
            assert!(is_ours(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "127.0.0.1.example.com:80",
            "localhost.example.com",
            "localhost:x",
            "x@localhost:1",
        ] {
            assert!(!is_ours(host), "{host}");
        }
    }

    #[test]
    fn a_form_is_no_json() {
        assert!(is_json("application/json; charset=utf-8") && is_json("Application/JSON"));
        for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
        {
            assert!(!is_json(form), "{form}");
        }
    }
}
