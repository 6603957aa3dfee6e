//! The signature of a request: `X-Hub-Signature-256: sha256=<hex>`, HMAC-SHA256 of the body with the
//! app's secret.
//!
//! Source: “Validate payloads”, Meta's webhooks documentation. The hash is over the bytes as they arrived: a body that
//! is parsed and serialized again has another signature.

use std::fmt;

use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

/// The header that carries the signature.
pub const HEADER: &str = "x-hub-signature-256";

/// The Meta app's secret, ready to verify.
#[derive(Clone)]
pub struct AppSecret(hmac::Key);

/// A request without a valid signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignatureError {
    /// The header is missing.
    #[error("the header X-Hub-Signature-256 is missing")]
    Missing,
    /// The header is not `sha256=` and 64 hexadecimal digits.
    #[error("the header X-Hub-Signature-256 is not sha256=<hex>")]
    Malformed,
    /// The signature was made with another secret, or over other bytes.
    #[error("the signature does not match the body")]
    Wrong,
}

impl AppSecret {
    /// Prepares the key.
    #[must_use]
    pub fn new(secret: &SecretString) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes()))
    }

    /// Verifies, in constant time, that `signature` is the signature of exactly these bytes.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn verify(&self, body: &[u8], signature: Option<&str>) -> Result<(), SignatureError> {
        let signature = signature.ok_or(SignatureError::Missing)?;
        let hex = signature.trim().strip_prefix("sha256=").ok_or(SignatureError::Malformed)?;
        let mut expected = [0; 32];
        hex::decode_to_slice(hex, &mut expected).map_err(|_| SignatureError::Malformed)?;
        hmac::verify(&self.0, body, &expected).map_err(|_| SignatureError::Wrong)
    }

    /// Returns the header value with which Meta signs a body: for senders of test requests.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> String {
        format!("sha256={}", hex::encode(hmac::sign(&self.0, body)))
    }
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> AppSecret {
        AppSecret::new(&SecretString::from("It's a Secret to Everybody"))
    }

    /// The example of GitHub's documentation, which signs in the same way.
    const HELLO: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn a_published_example_verifies() {
        assert_eq!(secret().verify(b"Hello, World!", Some(HELLO)), Ok(()));
        assert_eq!(
            secret().verify(b"Hello, World!", Some(&HELLO.replace('a', "A"))),
            Err(SignatureError::Malformed)
        );
        assert_eq!(secret().sign(b"Hello, World!"), HELLO);
        let upper = format!("sha256={}", HELLO["sha256=".len()..].to_uppercase());
        assert_eq!(secret().verify(b"Hello, World!", Some(&upper)), Ok(()));
    }

    #[test]
    fn a_wrong_missing_or_malformed_signature_is_refused() {
        assert_eq!(secret().verify(b"Hello, World", Some(HELLO)), Err(SignatureError::Wrong));
        assert_eq!(secret().verify(b"Hello, World!", None), Err(SignatureError::Missing));
        for malformed in
            ["", "sha256=", "sha1=00", "sha256=zz", &HELLO[..HELLO.len() - 2], &format!("{HELLO}00")]
        {
            let verdict = secret().verify(b"Hello, World!", Some(malformed));
            assert_eq!(verdict, Err(SignatureError::Malformed), "{malformed}");
        }
        assert_eq!(format!("{:?}", secret()), "AppSecret(…)");
    }

    proptest::proptest! {
        #[test]
        fn one_changed_bit_invalidates_the_signature(mut body: Vec<u8>, at: usize) {
            let signature = secret().sign(&body);
            proptest::prop_assert_eq!(secret().verify(&body, Some(&signature)), Ok(()));
            body.push(0);
            let at = at % body.len();
            body[at] ^= 1;
            proptest::prop_assert_eq!(secret().verify(&body, Some(&signature)), Err(SignatureError::Wrong));
        }

        #[test]
        fn any_header_is_refused_without_a_panic(body: Vec<u8>, header: String) {
            proptest::prop_assert!(secret().verify(&body, Some(&header)).is_err());
        }
    }
}
