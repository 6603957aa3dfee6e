//! A fake of a language model's server: the chat completions of OpenAI's API, which most model servers speak.
//!
//! The fake serves HTTP on 127.0.0.1, checks requests as OpenAI does, and stores the newest ones. An answer depends on
//! its request alone: it repeats the user's last words and says how many messages came before. Faults can be injected
//! ([`Fault`]).
//!
//! - `POST /v1/chat/completions`, with any bearer token or none. Text only: no streaming, tools or images.
//! - `GET /received`: **not part of the API**; the stored requests as JSON (see [`Received`]).
//! - `POST /faults`, `DELETE /faults`: **not part of the API**; schedules a fault, `{"fault": "throttled", "count": 1}`
//!   (see [`Outcome`] for the names), and clears all.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat/create> (November 2026). The wording of the errors is
//! close to OpenAI's, but no program may depend on it.

mod answer;
mod error;
mod faults;
mod request;
mod server;
mod store;

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use local_loopback::Pages;
use local_loopback::server::{CancellationToken, Server};
use tokio::net::TcpListener;

pub use faults::{Fault, Outcome};
pub use request::Message;
pub use store::{Received, TooFew};

/// A running fake. Dropping it stops it.
pub struct ModelApi {
    state: Arc<State>,
    server: Server,
}

/// State shared by the handlers and the handle.
struct State {
    faults: faults::Faults,
    store: store::Store,
    stopping: CancellationToken,
}

impl ModelApi {
    /// Listens on `port` of 127.0.0.1; 0 takes a free one.
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub async fn start(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let stopping = CancellationToken::new();
        let (faults, store) = (faults::Faults::default(), store::Store::default());
        let state = Arc::new(State { faults, store, stopping: stopping.clone() });
        let server = Server::start(listener, server::router(Arc::clone(&state)), Pages::None, stopping)?;
        Ok(Self { state, server })
    }

    /// The base address of the API, `http://127.0.0.1:PORT/v1`, in place of `https://api.openai.com/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/v1", self.server.url())
    }

    /// The valid requests, in the order of arrival: the newest 1,000.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.store.received()
    }

    /// Waits until at least `count` valid requests have come since the start or the last [`clear`](Self::clear), and
    /// returns the stored ones.
    ///
    /// # Errors
    /// If there are fewer after `within`.
    pub async fn wait_for(&self, count: usize, within: Duration) -> Result<Vec<Received>, TooFew> {
        self.state.store.wait_for(count, within).await
    }

    /// Deletes the stored requests. Scheduled faults stay.
    pub fn clear(&self) {
        self.state.store.clear();
    }

    /// Schedules `fault` for the next `count` valid requests, after those already scheduled.
    pub fn fail_next(&self, count: usize, fault: Fault) {
        self.state.faults.add_next(count, fault);
    }

    /// Sets the fault of every valid request without a scheduled one; `None` clears it.
    pub fn fail_always(&self, fault: Option<Fault>) {
        self.state.faults.set_always(fault);
    }

    /// Clears all faults.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Stops listening, ends every pending delay, and waits for open connections.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}
