//! URLs that may receive secrets, and the causes of missing responses.

use std::error::Error;
use std::time::Duration;

use reqwest::Url;

/// The timeout of a request, including the cold start of a function.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);

/// Parses a URL that may receive secrets: `https`, or on this machine.
///
/// # Errors
/// Returns the violated condition as a clause for a message.
pub(super) fn safe_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "it is not a URL like https://…".to_owned())?;
    let is_local = match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_local => Ok(url),
        _ => Err("it does not begin with https:// (http:// is for this machine alone)".to_owned()),
    }
}

/// Returns the URL for display, without a password or a key.
pub(super) fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path().trim_end_matches('/'))
}

/// Returns the cause of a missing response, without the URL, which may contain a secret.
pub(super) fn no_answer(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no response within {} s", TIMEOUT.as_secs());
    }
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if error.is_connect() {
        format!("no connection ({cause})")
    } else {
        format!("the connection broke ({cause})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_to_https_and_to_this_machine_alone() {
        for good in
            ["https://a.example/webhook", "http://127.0.0.1:9/x", "http://localhost/", "http://[::1]:1/"]
        {
            assert!(safe_url(good).is_ok(), "{good}");
        }
        let url = safe_url("https://me:secret@a.example/webhook/?key=secret").expect("a URL");
        assert_eq!(shown(&url), "https://a.example/webhook");
        for bad in
            ["http://a.example/webhook", "ftp://127.0.0.1/", "a.example", "", "http://127.0.0.1.example/"]
        {
            assert!(safe_url(bad).is_err(), "{bad}");
        }
    }
}
