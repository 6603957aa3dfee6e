//! The page's files, embedded in the binary.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use include_dir::{Dir, include_dir};

/// The files, by path.
static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/web");

/// Allows only the embedded files: no other host, no inline script.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// `GET /`
pub(crate) async fn index() -> Response {
    serve("index.html")
}

/// `GET /page/assets/{path}`
pub(crate) async fn asset(Path(path): Path<String>) -> Response {
    serve(&path)
}

fn serve(path: &str) -> Response {
    let Some(file) = FILES.get_file(path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, content_type(path)),
        // A newer binary has newer files at the same URL.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, file.contents()).into_response()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_embedded_and_its_tests_are_not() {
        assert!(FILES.get_file("index.html").is_some() && FILES.get_file("css/base.css").is_some());
        assert!(FILES.get_dir("tests").is_none() && FILES.get_dir("node_modules").is_none());
    }

    #[test]
    fn each_extension_has_its_content_type() {
        assert_eq!(content_type("css/base.css"), "text/css; charset=utf-8");
        assert_eq!(content_type("main.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("vendor/LICENSE"), "text/plain; charset=utf-8");
    }
}
