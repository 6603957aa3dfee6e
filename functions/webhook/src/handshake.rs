//! Meta's handshake: `GET ?hub.mode=subscribe&hub.verify_token=T&hub.challenge=C`.
//!
//! Source: “Create a webhook endpoint”, WhatsApp Business Platform documentation.

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

/// The token that is configured both here and in Meta's console.
#[derive(Debug)]
pub struct VerifyToken(SecretString);

/// The parameters of a handshake.
#[derive(Clone, Copy, Debug)]
pub struct Handshake<'a> {
    /// `hub.mode`
    pub mode: Option<&'a str>,
    /// `hub.verify_token`
    pub verify_token: Option<&'a str>,
    /// `hub.challenge`
    pub challenge: Option<&'a str>,
}

/// A failed handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HandshakeError {
    /// A parameter is missing.
    #[error("hub.mode, hub.verify_token and hub.challenge are required")]
    MissingParameter,
    /// The token is not the configured one, or the mode is not `subscribe`.
    #[error("hub.mode must be subscribe and hub.verify_token must be the configured one")]
    Refused,
}

impl VerifyToken {
    /// Wraps the configured token.
    #[must_use]
    pub fn new(token: SecretString) -> Self {
        Self(token)
    }

    /// Returns the challenge to send back.
    ///
    /// The token is compared in constant time, so that the duration reveals nothing about it.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub fn answer<'a>(&self, handshake: &Handshake<'a>) -> Result<&'a str, HandshakeError> {
        let Handshake { mode: Some(mode), verify_token: Some(token), challenge: Some(challenge) } =
            *handshake
        else {
            return Err(HandshakeError::MissingParameter);
        };
        let same = self.0.expose_secret().as_bytes().ct_eq(token.as_bytes());
        if bool::from(same) && mode == "subscribe" { Ok(challenge) } else { Err(HandshakeError::Refused) }
    }
}
