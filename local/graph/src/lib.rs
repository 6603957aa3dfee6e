//! A fake of Meta's Graph API, limited to a WhatsApp business number that sends messages.
//!
//! The fake serves HTTP on 127.0.0.1, validates requests and formats responses as Meta does, and stores
//! the newest accepted messages. Faults can be injected ([`Fault`]), because a sender's handling of errors,
//! late responses and lost responses needs the most testing.
//!
//! - `POST /{version}/{phone-number-id}/messages`: as in Meta's Cloud API reference, "Messages".
//!   Versions never expire: every `vN.N` is served.
//! - `GET /{version}/{phone-number-id}?fields=…`: as in "WhatsApp Business Account Phone Number API".
//! - `GET /{version}/debug_token?input_token=…`: as in the Graph API's reference, for the accepted token.
//! - `GET /received`: **not part of Meta's API**; the stored messages as JSON (see [`Stored`]). No token.
//!
//! Error codes are Meta's. The wording of the messages is close to Meta's, but no program may depend on it.

mod buttons;
mod calls;
mod error;
mod faults;
mod fields;
mod number;
mod request;
mod server;
mod store;
mod token;
mod version;

use std::collections::HashSet;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use local_loopback::Pages;
use local_loopback::server::{CancellationToken, Server};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

pub use buttons::Button;
pub use calls::{Call, GraphEvent};
pub use error::GraphError;
pub use faults::{Effect, Fault, Outcome};
pub use store::{ReadReceipt, Received, Stored, TooFew};
pub use token::PERMISSIONS;

/// Access to the fake.
///
/// Without `Debug`: contains the access token.
#[derive(Clone, Default)]
pub struct GraphSettings {
    /// The accepted bearer token; any other gets code 190.
    pub access_token: String,
    /// Business numbers that the token may send from (phone number ids, not phone numbers).
    pub phone_numbers: Vec<String>,
}

/// A running fake. Dropping it stops it.
pub struct GraphApi {
    state: Arc<State>,
    server: Server,
}

/// State shared by the handlers and the handle.
struct State {
    access_token: token::AccessToken,
    phone_numbers: Mutex<HashSet<String>>,
    faults: faults::Faults,
    store: store::Store,
    subscribers: calls::Subscribers,
    stopping: CancellationToken,
}

impl State {
    fn knows_number(&self, id: &str) -> bool {
        self.phone_numbers.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

impl GraphApi {
    /// Listens on `port` of 127.0.0.1; 0 takes a free one.
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub async fn start(settings: GraphSettings, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let stopping = CancellationToken::new();
        let state = Arc::new(State {
            access_token: token::AccessToken::new(settings.access_token),
            phone_numbers: Mutex::new(settings.phone_numbers.into_iter().collect()),
            faults: faults::Faults::default(),
            store: store::Store::default(),
            subscribers: calls::Subscribers::default(),
            stopping: stopping.clone(),
        });
        let server = Server::start(listener, server::router(Arc::clone(&state)), Pages::None, stopping)?;
        Ok(Self { state, server })
    }

    /// `http://127.0.0.1:PORT`, without a trailing slash: the replacement of `https://graph.facebook.com`.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Allows sends from another business number.
    pub fn allow_number(&self, phone_number_id: impl Into<String>) {
        let mut numbers = self.state.phone_numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.insert(phone_number_id.into());
    }

    /// Expiry of the access token; `None`, the default, means never. After it every call gets code 190,
    /// subcode 463.
    pub fn expire_access_token(&self, at: Option<DateTime<Utc>>) {
        self.state.access_token.expire(at);
    }

    /// Permissions of the access token; both of [`PERMISSIONS`] by default. Without
    /// `whatsapp_business_messaging` sends get code 10, without `whatsapp_business_management` queries about
    /// a number do.
    pub fn set_permissions(&self, permissions: &[&str]) {
        self.state.access_token.set_permissions(permissions);
    }

    /// The delivered messages, in the order of acceptance: the newest 10,000.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.store.stored().received
    }

    /// Number of messages delivered since the start or the last [`clear`](Self::clear).
    #[must_use]
    pub fn received_count(&self) -> usize {
        self.state.store.count()
    }

    /// The messages of [`received`](Self::received) after the first `count` of
    /// [`received_count`](Self::received_count).
    #[must_use]
    pub fn received_after(&self, count: usize) -> Vec<Received> {
        self.state.store.received_after(count)
    }

    /// All requests with a success response, including dropped messages and read receipts.
    #[must_use]
    pub fn stored(&self) -> Stored {
        self.state.store.stored()
    }

    /// Waits until at least `count` messages were received since the start or the last
    /// [`clear`](Self::clear), and returns the stored ones.
    ///
    /// # Errors
    /// If there are fewer after `within`.
    pub async fn wait_for(&self, count: usize, within: Duration) -> Result<Vec<Received>, TooFew> {
        self.state.store.wait_for(count, within).await
    }

    /// Subscribes to the events from now on. A slow receiver loses the oldest.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<GraphEvent> {
        self.state.subscribers.subscribe()
    }

    /// Deletes the stored messages. Scheduled faults stay.
    pub fn clear(&self) {
        self.state.store.clear();
    }

    /// Schedules `fault` for the next `count` valid sends to any recipient, after those already scheduled.
    pub fn fail_next(&self, count: usize, fault: Fault) {
        self.state.faults.add_next(count, fault);
    }

    /// Schedules `fault` for the next `count` valid sends to `address` (a phone number, with or without `+`,
    /// or a user id); `None` means all of them. These take precedence over those of
    /// [`fail_next`](Self::fail_next).
    pub fn fail_recipient(&self, address: &str, count: Option<usize>, fault: Fault) {
        self.state.faults.add_recipient(address, count, fault);
    }

    /// Sets the fault of every valid send without a scheduled one; `None` clears it.
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
