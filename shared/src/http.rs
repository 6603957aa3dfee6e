//! The one HTTP client: hyper 1 and rustls on ring, with trusted roots compiled in.

use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};

/// How long opening a connection may take, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// rustls refused the configuration.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// reqwest refused the configuration.
    #[error("the HTTP client cannot be built: {0}")]
    Http(#[from] reqwest::Error),
}

/// Builds the client. It is cheap to clone and keeps connections open: build one at start.
///
/// Roots are Mozilla's, compiled in: reading the system's costs milliseconds at every cold start.
/// Redirects are not followed and proxies not used: every address it is given is an API's own, and
/// requests carry credentials. Each request sets its own timeout.
///
/// # Errors
/// When TLS cannot be set up.
pub fn client() -> Result<reqwest::Client, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("whatsapp-lambda/", env!("CARGO_PKG_VERSION")))
        .build()?)
}
