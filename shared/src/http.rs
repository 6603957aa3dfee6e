//! The only HTTP client: hyper 1 and rustls on ring, with trusted roots compiled in; and the retry of requests on
//! broken connections.
//!
//! Lambda freezes the process between invocations, and peers close its idle connections meanwhile. hyper detects a
//! close that has arrived by the time of a request, and sends the request on another connection. A close that arrives
//! later, or never arrived, appears only as a reset or as the end of the connection instead of a response. [`send`]
//! retries idempotent requests; [`attempt`] reports the kind of failure to its caller.

use std::cell::Cell;
use std::error::Error as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Request, Response};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;
use tower::util::MapResponseLayer;
use tracing::info;

use crate::lambda::counter::Counter;

/// The timeout for opening a connection, including TLS.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The timeout of an idle connection: shorter than the timeout of every peer, as far as is known.
///
/// Supabase's gateway is Cloudflare's: 400 s (“Connection limits”, Cloudflare Fundamentals, updated 2026-07-23). Meta
/// publishes no value; the default of its HTTP server, Proxygen, is 60 s. AWS publishes no value for SQS; S3 closes
/// idle connections after about 20 s. A NAT gateway drops them after 350 s (Amazon VPC User Guide).
///
/// The clock is `CLOCK_MONOTONIC`. Reports contradict each other on whether it advances while Lambda freezes the
/// process (AWS Lambda Web Adapter, issue 830, 2026-09): the code does not rely on this timeout alone.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// The time within which a request fails on a connection that was already closed: a round trip with a lost packet.
const ROUND_TRIP: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// Whether the current request has opened a connection.
    static OPENED: Cell<bool>;
}

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// rustls refused the configuration.
    #[error("TLS cannot be configured: {0}")]
    Tls(#[from] rustls::Error),
    /// reqwest refused the configuration.
    #[error("the HTTP client cannot be built: {0}")]
    Http(#[from] reqwest::Error),
}

/// Builds the client. It is cheap to clone and has a connection pool: build one at start.
///
/// The trusted roots are Mozilla's, compiled in: reading the system's costs milliseconds at every cold start. Redirects
/// are not followed and proxies not used, because requests carry credentials and go directly to APIs. Each request sets
/// its own timeout.
///
/// # Errors
/// When TLS cannot be configured.
pub fn client() -> Result<Client, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .connector_layer(MapResponseLayer::new(opened))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("whatsapp-lambda/", env!("CARGO_PKG_VERSION")))
        .build()?)
}

/// Records that the current request has opened a connection. Connections opened in the background are not recorded.
fn opened<C>(connection: C) -> C {
    let _ = OPENED.try_with(|opened| opened.set(true));
    connection
}

/// A request without a response.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NoAnswer {
    /// The error of reqwest.
    pub error: reqwest::Error,
    /// The kind of failure.
    pub how: How,
}

/// The kind of failure of a request without a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// The request was not sent: no connection could be opened, or the connection was closed before the request was
    /// written.
    NotSent,
    /// The request was sent on a connection reused from an earlier request, which broke within a round trip, before a
    /// response began. Most likely the peer had closed the connection before the request arrived.
    ReusedConnectionBroke,
    /// The connection broke before a response began: it was opened for this request, or broke after more than a round
    /// trip. The peer may have processed the request.
    Broke,
    /// The request timed out, or the response was invalid.
    Other,
}

/// Sends an idempotent request: a read, or a write without effect the second time. When its connection breaks before a
/// response begins, the request is sent again immediately: any number of times after breaks of reused connections, and
/// once after another break. All attempts share the request's timeout.
///
/// # Errors
/// The error of reqwest.
pub async fn send(http: &Client, request: Request) -> reqwest::Result<Response> {
    let mut may_break = true;
    let is_retried = |how| match how {
        How::ReusedConnectionBroke => true,
        How::Broke => std::mem::take(&mut may_break),
        How::NotSent | How::Other => false,
    };
    send_while(http, request, is_retried).await.map_err(|failed| failed.error)
}

/// Sends a request, and again immediately while `is_retried` accepts the kind of failure. All attempts share the
/// request's timeout.
///
/// # Errors
/// The failure of the last attempt.
pub async fn send_while(
    http: &Client,
    mut request: Request,
    mut is_retried: impl FnMut(How) -> bool,
) -> Result<Response, NoAnswer> {
    let start = Instant::now();
    let timeout = request.timeout().copied();
    loop {
        let retry = request.try_clone();
        request = match (attempt(http, request).await, retry) {
            (Ok(response), _) => return Ok(response),
            (Err(failed), Some(retry)) if is_retried(failed.how) => retry,
            (Err(failed), _) => return Err(failed),
        };
        *request.timeout_mut() = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
    }
}

/// Sends a request once; hyper retries it only if it had not begun to write it.
///
/// # Errors
/// The kind of failure, when there is no response.
pub async fn attempt(http: &Client, request: Request) -> Result<Response, NoAnswer> {
    let start = Instant::now();
    let sending = async { (http.execute(request).await, OPENED.with(Cell::get)) };
    let (answer, is_new) = OPENED.scope(Cell::new(false), sending).await;
    let error = match answer {
        Ok(response) => return Ok(response),
        Err(error) => error,
    };
    let how = match broken(&error) {
        Some(Broken::BeforeRequest) => How::NotSent,
        Some(Broken::BeforeAnswer) if is_new || start.elapsed() > ROUND_TRIP => How::Broke,
        Some(Broken::BeforeAnswer) => How::ReusedConnectionBroke,
        None => How::Other,
    };
    if matches!(how, How::ReusedConnectionBroke | How::Broke) {
        let kept = how == How::ReusedConnectionBroke;
        info!(counter = Counter::BrokenConnections.name(), kept, "connection closed before a response");
    }
    Err(NoAnswer { error, how })
}

enum Broken {
    BeforeRequest,
    BeforeAnswer,
}

/// Returns whether the connection failed before the request was written or before the response; `None` for another
/// error. A response that ends within its head, which peers send in one piece, counts as no response.
fn broken(error: &reqwest::Error) -> Option<Broken> {
    if error.is_connect() {
        return Some(Broken::BeforeRequest);
    }
    if error.is_timeout() || !error.is_request() {
        return None;
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            // hyper returns the request unwritten.
            if error.is_canceled() {
                return Some(Broken::BeforeRequest);
            }
            if error.is_incomplete_message() {
                return Some(Broken::BeforeAnswer);
            }
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            let breaks = matches!(
                error.kind(),
                ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
                    | ErrorKind::NotConnected
                    | ErrorKind::UnexpectedEof
            );
            if breaks {
                return Some(Broken::BeforeAnswer);
            }
        }
        cause = error.source();
    }
    None
}
