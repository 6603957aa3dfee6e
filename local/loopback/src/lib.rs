//! For the servers on 127.0.0.1: protection from web sites, a handle that stops them ([`server`]), and for the fakes, faults
//! ([`schedule`]) and connections that a fault resets ([`reset`]).
//!
//! A browser on this machine can reach these servers, and runs the scripts of any site. There are two
//! attacks: the site's host name resolves to 127.0.0.1 (DNS rebinding), which makes its scripts same-origin;
//! or its pages send cross-origin requests, by forms, images and scripts. `Host` reveals the first; `Origin`
//! reveals the second, or `Sec-Fetch-Site` where a browser does not send `Origin`. No script can set these
//! headers.

pub mod reset;
pub mod schedule;
pub mod server;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Browser pages that may call a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pages {
    /// None: all callers are programs.
    None,
    /// Pages served by this machine, on any port.
    Loopback,
}

/// Wraps `router` to respond 403 to every request with another host than this machine, or from a page outside
/// `pages`.
pub fn guard(router: Router, pages: Pages) -> Router {
    router.layer(from_fn_with_state(pages, check))
}

async fn check(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    match refusal(pages, &request) {
        Some(reason) => (StatusCode::FORBIDDEN, reason).into_response(),
        None => next.run(request).await,
    }
}

fn refusal<B>(pages: Pages, request: &axum::http::Request<B>) -> Option<&'static str> {
    let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    let host = header(header::HOST).or(request.uri().authority().map(|authority| authority.as_str()));
    if !host.is_some_and(is_loopback) {
        return Some("use 127.0.0.1, localhost or [::1]: other host names are refused\n");
    }
    let is_allowed = match (header(header::ORIGIN), header(SEC_FETCH_SITE), pages) {
        (Some(origin), _, Pages::Loopback) => is_loopback_origin(origin),
        (Some(_), _, Pages::None) => false,
        // Not a browser, or a typed address.
        (None, None | Some("none"), _) => true,
        (None, Some("same-origin" | "same-site"), Pages::Loopback) => true,
        // A link from another site: that site cannot read the page that opens.
        (None, Some(_), Pages::Loopback) => {
            request.method() == Method::GET && header(SEC_FETCH_DEST) == Some("document")
        }
        (None, Some(_), Pages::None) => false,
    };
    (!is_allowed).then_some("requests of this page's origin are refused\n")
}

/// Whether the value of a `Host` header is this machine, with any port.
fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') => (name, port),
        _ => (host, "0"),
    };
    let is_name = ["127.0.0.1", "localhost", "[::1]"].iter().any(|known| name.eq_ignore_ascii_case(known));
    is_name && port.parse::<u16>().is_ok()
}

/// Whether an origin is a page served by this machine, on any port.
#[must_use]
pub fn is_loopback_origin(origin: &str) -> bool {
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    host.is_some_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a `GET` with these headers is allowed.
    fn is_allowed(pages: Pages, headers: &[(&str, &str)]) -> bool {
        let request = headers
            .iter()
            .fold(axum::http::Request::get("/"), |request, (name, value)| request.header(*name, *value));
        refusal(pages, &request.body(()).expect("a request")).is_none()
    }

    #[test]
    fn only_loopback_names_are_accepted_as_hosts() {
        for host in ["127.0.0.1:8080", "localhost:1", "127.0.0.1", "LOCALHOST", "[::1]", "[::1]:80"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "example.com",
            "127.0.0.1.example.com:80",
            "localhost.example.com",
            "localhost:x",
            "x@localhost:1",
            "10.0.0.1",
            "::1",
            "[::2]:80",
            "127.0.0.1:80:80",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
        assert!(!is_allowed(Pages::Loopback, &[]), "no host at all");
    }

    #[test]
    fn loopback_pages_are_allowed_where_configured() {
        let host = ("host", "127.0.0.1:1");
        for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8080"] {
            assert!(is_allowed(Pages::Loopback, &[host, ("origin", origin)]), "{origin}");
            assert!(!is_allowed(Pages::None, &[host, ("origin", origin)]), "{origin}");
        }
        for origin in
            ["null", "", "http://example.com", "http://localhost.example.com", "file://", "localhost"]
        {
            for pages in [Pages::Loopback, Pages::None] {
                assert!(!is_allowed(pages, &[host, ("origin", origin)]), "{origin}");
            }
        }
    }

    #[test]
    fn requests_without_origin_are_checked_by_sec_fetch_site() {
        let request = |pages, site, destination| {
            let headers = [("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-dest", destination)];
            is_allowed(pages, &headers)
        };
        for pages in [Pages::Loopback, Pages::None] {
            assert!(request(pages, "none", "document"));
            assert!(!request(pages, "cross-site", "image"));
            assert!(!request(pages, "cross-site", "iframe"));
        }
        assert!(request(Pages::Loopback, "same-origin", "empty"));
        assert!(request(Pages::Loopback, "cross-site", "document"), "a link");
        assert!(!request(Pages::None, "same-origin", "empty"));
        assert!(!request(Pages::None, "cross-site", "document"));
    }
}
