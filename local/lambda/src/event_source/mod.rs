//! Lambda's event source mapping: polls an SQS queue and invokes a function with the messages.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>. The queue is the one behind the given
//! client. The mapping never changes visibility: a failed message is redelivered after its visibility
//! timeout.

mod batch;
mod event;
mod outcome;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::function::Function;
use batch::Batch;
use event::Source;

/// Timeout of [`EventSourceMapping::stop`] for the batches in progress.
const GRACE: Duration = Duration::from_secs(5);
/// Backoff after a failed call; doubled after each further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The queue, the function, and the limits.
#[derive(Clone, Debug)]
pub struct EventSourceConfig {
    /// Client for the queue's endpoint.
    pub client: Client,
    /// URL of the queue.
    pub queue_url: String,
    /// The function to invoke.
    pub function: Function,
    /// Maximum number of messages in a batch, 1 to 10.
    pub batch_size: u8,
    /// Maximum number of concurrent batches.
    pub maximum_concurrency: usize,
    /// `ReportBatchItemFailures`: the response lists the failed messages. Without it every response is a
    /// success of the whole batch.
    pub report_batch_item_failures: bool,
    /// Wait time of a long poll; 20 s at most.
    pub wait_time: Duration,
}

impl EventSourceConfig {
    /// Batches of 10, two concurrently, with partial batch responses.
    pub fn new(client: Client, queue_url: impl Into<String>, function: Function) -> Self {
        Self {
            client,
            queue_url: queue_url.into(),
            function,
            batch_size: 10,
            maximum_concurrency: 2,
            report_batch_item_failures: true,
            wait_time: Duration::from_secs(20),
        }
    }
}

/// A running event source mapping; dropping it stops it at once.
#[derive(Debug)]
pub struct EventSourceMapping {
    shared: Arc<PollerState>,
    stop: watch::Sender<bool>,
    poller: JoinHandle<()>,
}

/// Number of messages since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Received from the queue, including redeliveries.
    pub received: u64,
    /// Deleted from the queue.
    pub deleted: u64,
    /// Left in the queue: failed, or not deletable.
    pub returned: u64,
}

#[derive(Debug)]
struct PollerState {
    config: EventSourceConfig,
    in_flight: watch::Sender<usize>,
    received: AtomicU64,
    deleted: AtomicU64,
    returned: AtomicU64,
}

impl EventSourceMapping {
    /// Starts polling. An unreachable queue is retried until it responds.
    #[must_use]
    pub fn start(mut config: EventSourceConfig) -> Self {
        config.batch_size = config.batch_size.clamp(1, 10);
        config.maximum_concurrency = config.maximum_concurrency.max(1);
        let shared = Arc::new(PollerState {
            config,
            in_flight: watch::Sender::new(0),
            received: AtomicU64::default(),
            deleted: AtomicU64::default(),
            returned: AtomicU64::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let poller = tokio::spawn(poll(Arc::clone(&shared), stopped));
        Self { shared, stop, poller }
    }

    /// Number of messages received and not yet deleted or returned.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        *self.shared.in_flight.borrow()
    }

    /// Waits until no message is in flight. Messages still in the queue do not count.
    pub async fn idle(&self) {
        let _ = self.shared.in_flight.subscribe().wait_for(|in_flight| *in_flight == 0).await;
    }

    /// The counters so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            received: read(&self.shared.received),
            deleted: read(&self.shared.deleted),
            returned: read(&self.shared.returned),
        }
    }

    /// Stops receiving, waits up to five seconds for the batches in progress and abandons the rest: their
    /// messages are redelivered after their visibility timeout.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let _ = timeout(GRACE, &mut self.poller).await;
    }
}

impl Drop for EventSourceMapping {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

/// Receives while another batch may run. One receive at a time is enough: it returns as soon as there is a
/// message.
async fn poll(shared: Arc<PollerState>, mut stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(shared.config.maximum_concurrency));
    let mut batches = JoinSet::new();
    let receive = async {
        let source = resolve(&shared).await;
        let mut failures = 0;
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
            match receive(&shared).await {
                Ok(messages) => {
                    failures = 0;
                    while batches.try_join_next().is_some() {}
                    if !messages.is_empty() {
                        let batch = Batch::new(Arc::clone(&shared), source.clone(), messages);
                        batches.spawn(async move {
                            batch.process().await;
                            drop(permit);
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(error, "receiving from the queue failed");
                    pause(&mut failures).await;
                }
            }
        }
    };
    tokio::select! {
        () = receive => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    while batches.join_next().await.is_some() {}
}

async fn receive(shared: &PollerState) -> Result<Vec<Message>, String> {
    let config = &shared.config;
    let wait_time = i32::try_from(config.wait_time.as_secs().min(20)).unwrap_or(20);
    let received = config
        .client
        .receive_message()
        .queue_url(&config.queue_url)
        .max_number_of_messages(i32::from(config.batch_size))
        .wait_time_seconds(wait_time)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .message_attribute_names("All")
        .send()
        .await
        .map_err(|error| DisplayErrorContext(error).to_string())?;
    Ok(received.messages.unwrap_or_default())
}

/// Queries the ARN of the queue, which every record contains.
async fn resolve(shared: &PollerState) -> Source {
    let mut failures = 0;
    loop {
        let config = &shared.config;
        let attributes = config
            .client
            .get_queue_attributes()
            .queue_url(&config.queue_url)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await;
        match attributes {
            Ok(attributes) => {
                let arn = attributes.attributes().and_then(|a| a.get(&QueueAttributeName::QueueArn));
                return Source::new(arn.map(String::as_str).unwrap_or_default());
            }
            Err(error) => {
                let error = DisplayErrorContext(error).to_string();
                tracing::warn!(error, "the queue does not respond");
                pause(&mut failures).await;
            }
        }
    }
}

async fn pause(failures: &mut u32) {
    let pause = FIRST_PAUSE.saturating_mul(1 << (*failures).min(10)).min(LONGEST_PAUSE);
    *failures = failures.saturating_add(1);
    sleep(pause).await;
}
