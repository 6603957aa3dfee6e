//! The URL and the key of a service that replaces an emulator.

use std::convert::Infallible;

use secrecy::SecretString;

/// Checks that an endpoint is a URL that clients can use.
pub(crate) fn parse(text: &str) -> Result<String, String> {
    let invalid = || "not a URL like http://127.0.0.1:5000".to_owned();
    let url = reqwest::Url::parse(text).map_err(|_| invalid())?;
    if matches!(url.scheme(), "http" | "https") { Ok(text.to_owned()) } else { Err(invalid()) }
}

/// Accepts any key.
pub(crate) fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(text))
}
