//! Where secrets may be sent, and why there is no answer.

use std::error::Error;
use std::time::Duration;

use reqwest::Url;

/// How long an answer may take: a function that starts takes some of it.
pub const TIMEOUT: Duration = Duration::from_secs(15);

/// A URL that secrets may be sent to: `https`, or on this machine.
///
/// # Errors
/// Says, as the rest of a sentence, what it is not.
pub fn safe_url(text: &str) -> Result<Url, String> {
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

/// A URL as it may be printed: without a password or a key in it.
pub fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path().trim_end_matches('/'))
}

/// Why there is no answer. Never the address: it may hold a secret.
pub fn no_answer(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
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
