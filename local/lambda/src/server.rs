//! An HTTP server on 127.0.0.1 that stops with its handle.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::serve::ListenerExt;
use local_loopback::Pages;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// Timeout of [`HttpServer::stop`] for requests in progress.
const GRACE: Duration = Duration::from_secs(5);

/// The current router.
type CurrentRouter = Arc<RwLock<Router>>;

/// A running server; dropping it stops it without waiting for requests in progress.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    router: CurrentRouter,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Serves `router` on `port` of 127.0.0.1; 0 means any free port. Requests from web sites other than this
    /// machine's get a 403.
    ///
    /// # Errors
    /// If the port is in use.
    pub async fn start(router: Router, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let (shutdown, stopped) = oneshot::channel();
        let current = CurrentRouter::new(RwLock::new(router));
        let front = Router::new().fallback(pass_on).with_state(Arc::clone(&current));
        let front = local_loopback::guard(front, Pages::Loopback);
        let task = tokio::spawn(async move {
            // Responses are small: Nagle's algorithm would only delay them.
            let listener = listener.tap_io(|stream| {
                let _ = stream.set_nodelay(true);
            });
            let served = axum::serve(listener, front.into_make_service_with_connect_info::<SocketAddr>())
                .with_graceful_shutdown(async {
                    let _ = stopped.await;
                })
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "HTTP server ended");
            }
        });
        Ok(Self { address, router: current, shutdown: Some(shutdown), task })
    }

    /// Replaces the router, from the next request on.
    pub fn replace(&self, router: Router) {
        *self.router.write().unwrap_or_else(PoisonError::into_inner) = router;
    }

    /// `http://127.0.0.1:PORT`, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Address of the listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and waits for requests in progress, five seconds at most.
    pub async fn stop(mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            let _ = shutdown.send(());
        }
        let _ = tokio::time::timeout(GRACE, &mut self.task).await;
    }
}

async fn pass_on(State(current): State<CurrentRouter>, request: Request) -> Response {
    let router = current.read().unwrap_or_else(PoisonError::into_inner).clone();
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
