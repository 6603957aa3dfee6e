//! A server that stops with its handle.

use std::future::IntoFuture as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;

use crate::reset::{ResetSwitch, ResettableListener};
use crate::{Pages, guard};

/// The stop signal of a server, for its handlers.
pub use tokio_util::sync::CancellationToken;

/// Connections with an incomplete request are closed after this timeout at [`Server::stop`].
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: DropGuard,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Serves `router` to programs and `pages`. A handler finds the [`ResetSwitch`] of its connection in the connect info,
    /// and is to end early when `stopping` is cancelled.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn start(
        listener: TcpListener,
        router: Router,
        pages: Pages,
        stopping: CancellationToken,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let router = guard(router, pages).into_make_service_with_connect_info::<ResetSwitch>();
        let stopped = stopping.clone().cancelled_owned();
        let server = axum::serve(ResettableListener(listener), router).with_graceful_shutdown(stopped);
        Ok(Self { address, stop: stopping.drop_guard(), task: tokio::spawn(server.into_future()) })
    }

    /// `http://127.0.0.1:PORT`, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes the listener and waits for open connections.
    pub async fn stop(self) {
        let Self { stop, mut task, .. } = self;
        drop(stop);
        if tokio::time::timeout(STOP_TIMEOUT, &mut task).await.is_err() {
            task.abort();
        }
    }
}
