//! The one HTTP client: hyper 1 and rustls on ring, with trusted roots compiled in; and requests whose connection breaks.
//!
//! Between invocations Lambda freezes the process, and peers close its idle connections meanwhile. What reached the
//! machine by the thaw hyper sees before it writes a request, which it then sends on another connection by itself. A
//! close that is still to come, or that never arrived, shows only as a reset or an end in place of an answer. [`send`]
//! repeats what may be repeated; [`attempt`] tells its caller what is known.

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

use crate::counter::Counter;

/// How long opening a connection may take, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a connection is kept while it carries nothing: shorter than every peer keeps it, as far as is known.
///
/// Supabase's gateway is Cloudflare's: 400 s (“Connection limits”, Cloudflare Fundamentals, updated 2026-07-23). Meta
/// publishes nothing; its own HTTP server, Proxygen, keeps them 60 s unless told otherwise. AWS publishes nothing of SQS;
/// S3 closes after about 20 s. A NAT gateway forgets them after 350 s (Amazon VPC User Guide).
///
/// It is measured with `CLOCK_MONOTONIC`, of which is reported both that it goes on while Lambda freezes the process (AWS
/// Lambda Web Adapter, issue 830, 2026-09) and that it does not: nothing here relies on it alone.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// How soon a connection that was closed before a request came breaks: a round trip, with a lost packet in it.
const ROUND_TRIP: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// Whether the request under way has opened a connection.
    static OPENED: Cell<bool>;
}

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

/// Notes that the request under way has opened this connection. One that is opened in the background is no request's.
fn opened<C>(connection: C) -> C {
    let _ = OPENED.try_with(|opened| opened.set(true));
    connection
}

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NoAnswer {
    /// What reqwest says.
    pub error: reqwest::Error,
    /// What is known of it.
    pub how: How,
}

/// What is known of a request that got no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// It was not sent: no connection could be opened, or the one that was opened was closed before it was written.
    NotSent,
    /// It went out on a connection that was kept from an earlier request, and broke within a round trip, before an answer
    /// began. Most likely the peer had closed it before the request came.
    KeptConnectionBroke,
    /// The connection broke before an answer began: it was opened for this request, or broke later than a round trip. The
    /// peer may have taken the request.
    Broke,
    /// There was no answer in time, or one that is none.
    Other,
}

/// Sends a request that may arrive twice: a read, a write that does nothing the second time. When its connection breaks
/// before an answer begins, it is sent again at once: as long as connections are used that were kept, and once more
/// after that. All within the request's timeout.
///
/// # Errors
/// As reqwest says.
pub async fn send(http: &Client, request: Request) -> reqwest::Result<Response> {
    let mut may_break = true;
    let repeats = |how| match how {
        How::KeptConnectionBroke => true,
        How::Broke => std::mem::take(&mut may_break),
        How::NotSent | How::Other => false,
    };
    send_while(http, request, repeats).await.map_err(|failed| failed.error)
}

/// Sends a request, and again at once while it gets no answer in a way that `repeats`. All within the request's timeout.
///
/// # Errors
/// Says what is known of the last attempt.
pub async fn send_while(
    http: &Client,
    mut request: Request,
    mut repeats: impl FnMut(How) -> bool,
) -> Result<Response, NoAnswer> {
    let start = Instant::now();
    let timeout = request.timeout().copied();
    loop {
        let again = request.try_clone();
        request = match (attempt(http, request).await, again) {
            (Ok(response), _) => return Ok(response),
            (Err(failed), Some(again)) if repeats(failed.how) => again,
            (Err(failed), _) => return Err(failed),
        };
        *request.timeout_mut() = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
    }
}

/// Sends a request once, as far as anybody can tell: hyper sends one again that it had not begun to write.
///
/// # Errors
/// Says what is known of a request that got no answer.
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
        Some(Broken::BeforeAnswer) => How::KeptConnectionBroke,
        None => How::Other,
    };
    if matches!(how, How::KeptConnectionBroke | How::Broke) {
        let kept = how == How::KeptConnectionBroke;
        info!(counter = Counter::BrokenConnections.name(), kept, "a connection broke before an answer");
    }
    Err(NoAnswer { error, how })
}

enum Broken {
    BeforeRequest,
    BeforeAnswer,
}

/// Whether a connection could not be opened, or broke. The beginning of an answer that ends in its head, which is
/// sent in one piece, counts as none.
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
            // hyper hands the request back unwritten.
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
