//! A stand-in for Meta's Graph API, as far as a WhatsApp business number sends messages through it.
//!
//! It speaks HTTP on 127.0.0.1, checks what it is sent as Meta would, answers in Meta's shapes and
//! keeps the newest of what it received. Faults can be scripted ([`Fault`]), because what a sender does when the
//! answer is an error, late or lost is what needs the most testing.
//!
//! - `POST /{version}/{phone-number-id}/messages`: as in Meta's Cloud API reference, "Messages".
//!   The life cycle of versions is not reproduced: every `vN.N` is served.
//! - `GET /{version}/{phone-number-id}?fields=…`: as in "WhatsApp Business Account Phone Number API".
//! - `GET /{version}/debug_token?input_token=…`: as in the Graph API's reference, about the token that is accepted.
//! - `GET /received`: **not part of Meta's API**; what was kept, as JSON (see [`Kept`]). No token.
//!
//! Error codes are Meta's; the English of the messages is close to Meta's but nobody may rely on it.

mod calls;
mod error;
mod faults;
mod listener;
mod number;
mod request;
mod server;
mod store;
mod token;

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

pub use calls::{Call, Happened};
pub use error::GraphError;
pub use faults::{Effect, Fault, Outcome};
pub use store::{Kept, ReadReceipt, Received, TooFew};
pub use token::PERMISSIONS;

/// Connections that a client holds in the middle of a request are cut after this long at [`GraphApi::stop`].
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Whom the stand-in lets in.
///
/// Without `Debug`: it holds the access token.
#[derive(Clone, Default)]
pub struct GraphSettings {
    /// The bearer token that is accepted; every other is answered with code 190.
    pub access_token: String,
    /// Ids of the business numbers that the token may send from (phone number ids, not phone numbers).
    pub phone_numbers: Vec<String>,
}

/// A running stand-in. Dropping it stops it.
pub struct GraphApi {
    address: SocketAddr,
    state: Arc<State>,
    /// Closing the channel is the signal to stop.
    running: Option<watch::Sender<()>>,
    server: JoinHandle<()>,
}

/// What the handlers share with the handle.
struct State {
    access_token: token::AccessToken,
    phone_numbers: Mutex<HashSet<String>>,
    faults: faults::Faults,
    store: store::Store,
    followers: calls::Followers,
    stopping: watch::Receiver<()>,
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
    /// When the port cannot be bound.
    pub async fn start(settings: GraphSettings, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let (running, stopping) = watch::channel(());
        let state = Arc::new(State {
            access_token: token::AccessToken::new(settings.access_token),
            phone_numbers: Mutex::new(settings.phone_numbers.into_iter().collect()),
            faults: faults::Faults::default(),
            store: store::Store::default(),
            followers: calls::Followers::default(),
            stopping,
        });
        let server = tokio::spawn(server::serve(listener, Arc::clone(&state)));
        Ok(Self { address, state, running: Some(running), server })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end: what stands in place of
    /// `https://graph.facebook.com`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets messages be sent from one more business number.
    pub fn allow_number(&self, phone_number_id: impl Into<String>) {
        let mut numbers = self.state.phone_numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.insert(phone_number_id.into());
    }

    /// When the access token ends; `None`, as at the start, means never. From then on every call is answered with
    /// code 190, subcode 463.
    pub fn expire_access_token(&self, at: Option<DateTime<Utc>>) {
        self.state.access_token.expire(at);
    }

    /// What the access token may do; at the start both of [`PERMISSIONS`]. Without `whatsapp_business_messaging`
    /// sends are answered with code 10, without `whatsapp_business_management` questions about a number.
    pub fn set_permissions(&self, permissions: &[&str]) {
        self.state.access_token.set_permissions(permissions);
    }

    /// The messages that would have reached a phone, in the order in which they were accepted: the newest 10,000.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.store.kept().received
    }

    /// How many messages would have reached a phone since the start or the last [`clear`](Self::clear).
    #[must_use]
    pub fn received_count(&self) -> usize {
        self.state.store.count()
    }

    /// Those of [`received`](Self::received) that came after the first `count` of
    /// [`received_count`](Self::received_count).
    #[must_use]
    pub fn received_after(&self, count: usize) -> Vec<Received> {
        self.state.store.received_after(count)
    }

    /// Everything that was answered with success, dropped messages and read receipts included.
    #[must_use]
    pub fn kept(&self) -> Kept {
        self.state.store.kept()
    }

    /// Waits until at least `count` messages were received since the start or the last
    /// [`clear`](Self::clear), and returns those that are kept.
    ///
    /// # Errors
    /// When there are fewer after `within`.
    pub async fn wait_for(&self, count: usize, within: Duration) -> Result<Vec<Received>, TooFew> {
        self.state.store.wait_for(count, within).await
    }

    /// What happens from now on, as it happens. A receiver that stays behind loses the oldest.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Happened> {
        self.state.followers.follow()
    }

    /// Forgets what was kept. Scripted faults stay.
    pub fn clear(&self) {
        self.state.store.clear();
    }

    /// The next `count` valid sends, to whomever, meet `fault`. Calls add up, in order.
    pub fn fail_next(&self, count: usize, fault: Fault) {
        self.state.faults.add_next(count, fault);
    }

    /// The next `count` valid sends to `address` (a phone number, with or without `+`, or a user id)
    /// meet `fault`; `None` means all of them. These come before those of [`fail_next`](Self::fail_next).
    pub fn fail_recipient(&self, address: &str, count: Option<usize>, fault: Fault) {
        self.state.faults.add_recipient(address, count, fault);
    }

    /// Every valid send that the others say nothing about meets `fault`, until this says `None`.
    pub fn fail_always(&self, fault: Option<Fault>) {
        self.state.faults.set_always(fault);
    }

    /// Forgets all scripted faults.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Stops listening, ends every delay that is under way, and waits for open connections.
    pub async fn stop(mut self) {
        self.running.take();
        if tokio::time::timeout(STOP_WITHIN, &mut self.server).await.is_err() {
            self.server.abort();
        }
    }
}
