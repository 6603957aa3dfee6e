//! Meta's side of the webhook: what happens is posted, and posted again when it is not taken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::compose;
use crate::phones::Phone;
use local_stack::play;

/// The waits before it is posted again, in seconds. Meta's own grow to hours, and end after seven days.
const WAITS: [u64; 10] = [2, 4, 8, 16, 32, 60, 60, 60, 60, 60];

/// Who posts.
#[derive(Clone)]
pub(crate) struct Meta {
    shared: Arc<Shared>,
}

struct Shared {
    client: reqwest::Client,
    url: String,
    /// Whether everything is posted twice.
    twice: AtomicBool,
    tasks: Mutex<JoinSet<()>>,
}

impl Meta {
    /// Posts to the webhook at `url`.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub(crate) fn new(url: String) -> anyhow::Result<Self> {
        let client = shared::http::client()?;
        let shared = Shared { client, url, twice: AtomicBool::new(false), tasks: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether everything is delivered twice from now on, as Meta may do.
    pub(crate) fn set_twice(&self, twice: bool) {
        self.shared.twice.store(twice, Ordering::Relaxed);
    }

    /// Posts `body` and says how that was answered. What is not taken is posted again, in the background.
    ///
    /// # Errors
    /// When nobody answers.
    pub(crate) async fn deliver(&self, body: Vec<u8>) -> anyhow::Result<u16> {
        let status = self.post(&body).await?;
        if status != 200 {
            let meta = self.clone();
            self.spawn(async move { meta.post_again(&body).await });
        }
        Ok(status)
    }

    /// Says of a message that was sent to `phone` that it is on its way, and that it has arrived.
    pub(crate) fn report(&self, phone: &Phone, wamid: &str) {
        let bodies = ["sent", "delivered"].map(|status| compose::status(phone, wamid, status));
        let meta = self.clone();
        self.spawn(async move {
            for body in bodies {
                if !matches!(meta.post(&body).await, Ok(200)) {
                    meta.post_again(&body).await;
                }
            }
        });
    }

    /// Ends what is under way.
    pub(crate) fn stop(&self) {
        *self.tasks() = JoinSet::new();
    }

    async fn post_again(&self, body: &[u8]) {
        for wait in WAITS {
            tokio::time::sleep(Duration::from_secs(wait)).await;
            if matches!(self.post(body).await, Ok(200)) {
                return;
            }
        }
    }

    /// Posts once, or twice at the same time: then both must be taken.
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
