//! A fake of Meta's side of the webhook: posts payloads, with retries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use local_graph::Received;
use tokio::task::JoinSet;

use crate::compose;
use crate::phones::Phone;
use local_stack::play;

/// The backoff between retries, in seconds. Meta's grows to hours and ends after seven days.
const WAITS: [u64; 10] = [2, 4, 8, 16, 32, 60, 60, 60, 60, 60];

/// Posts to the webhook.
#[derive(Clone)]
pub(crate) struct Meta {
    shared: Arc<Shared>,
}

struct Shared {
    client: reqwest::Client,
    url: String,
    /// Whether each payload is posted twice.
    twice: AtomicBool,
    tasks: Mutex<JoinSet<()>>,
}

impl Meta {
    /// A poster to the webhook at `url`.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub(crate) fn new(url: String) -> anyhow::Result<Self> {
        let client = shared::http::client()?;
        let shared = Shared { client, url, twice: AtomicBool::new(false), tasks: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Sets whether each payload is posted twice, as Meta may do.
    pub(crate) fn set_twice(&self, twice: bool) {
        self.shared.twice.store(twice, Ordering::Relaxed);
    }

    /// Posts `body` and returns the HTTP status. A refused payload is retried in the background.
    ///
    /// # Errors
    /// When the webhook cannot be reached.
    pub(crate) async fn deliver(&self, body: Vec<u8>) -> anyhow::Result<u16> {
        let status = self.post(&body).await?;
        if status != 200 {
            let meta = self.clone();
            self.spawn(async move { meta.retry(&body).await });
        }
        Ok(status)
    }

    /// Posts the statuses `sent` and `delivered` of a message that `phone` received.
    pub(crate) fn report(&self, phone: &Phone, received: &Received) {
        let Received { id, callback_data, .. } = received;
        let status = |status| compose::status(phone, id, callback_data.as_deref(), status);
        let bodies = ["sent", "delivered"].map(status);
        let meta = self.clone();
        self.spawn(async move {
            for body in bodies {
                if !matches!(meta.post(&body).await, Ok(200)) {
                    meta.retry(&body).await;
                }
            }
        });
    }

    /// Cancels pending posts.
    pub(crate) fn stop(&self) {
        *self.tasks() = JoinSet::new();
    }

    async fn retry(&self, body: &[u8]) {
        for wait in WAITS {
            tokio::time::sleep(Duration::from_secs(wait)).await;
            if matches!(self.post(body).await, Ok(200)) {
                return;
            }
        }
    }

    /// Posts once, or twice at the same time: then both must be accepted.
    async fn post(&self, body: &[u8]) -> anyhow::Result<u16> {
        let Shared { client, url, twice, .. } = &*self.shared;
        let once = || play::post(client, url, body.to_vec());
        if !twice.load(Ordering::Relaxed) {
            return once().await;
        }
        let (first, second) = tokio::try_join!(once(), once())?;
        Ok(if first == 200 { second } else { first })
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
