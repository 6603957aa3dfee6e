//! Metrics in CloudWatch's embedded metric format: JSON lines in the logs, from which CloudWatch extracts metrics.
//!
//! Namespace `WhatsAppLambda`, one dimension `function`: the function's name on AWS, which distinguishes stacks. Every
//! log line with a `counter` counts under that name; durations are measured with [`timed`], in milliseconds.
//! [`VERSION_ERRORS`] has a second dimension `version`. Source: “Embedded metric format specification”, Amazon
//! CloudWatch User Guide.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_cloudwatch_embedded::{Builder, Collector};
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::lambda::counter::Counter;
use crate::lambda::env;

/// The namespace of all metrics.
const NAMESPACE: &str = "WhatsAppLambda";

/// The measured durations in milliseconds: name and meaning.
pub const TIMES: [(&str, &str); 11] = [
    ("webhook_ms", "from a request to its response"),
    ("queue_ms", "all calls to SQS of a request"),
    ("lookup_ms", "the lookups of a message: its user, and an earlier reply"),
    ("respond_ms", "a call of the responder"),
    ("llm_ms", "a call of the language model"),
    ("send_ms", "a call of the Graph API that sends"),
    ("insert_ms", "writing rows"),
    ("receipt_to_reply_ms", "from the webhook's receipt of a message to its reply"),
    ("held_ms", "the time for which a message is held, for each hold"),
    ("send_to_status_ms", "from a send to the receipt of its status `sent`"),
    ("history_ms", "from a request for a page to its response"),
];

/// The measured numbers: name and meaning.
pub const NUMBERS: [(&str, &str); 2] = [
    ("llm_input_tokens", "tokens that the language model read for an answer"),
    ("llm_output_tokens", "tokens that it wrote"),
];

/// The counter of log lines at level ERROR with a `counter`, by the function's version: they roll the deployment of a
/// new version back. Lambda counts these invocations as successes, because the function responds with 5xx, returns the
/// message to the queue or records the failure.
pub const VERSION_ERRORS: &str = "version_errors";

static COLLECTOR: OnceLock<&'static Collector> = OnceLock::new();

/// Starts collecting for `function`, and counts its cold start.
pub(crate) fn init(function: &'static str) {
    let name = env::optional("AWS_LAMBDA_FUNCTION_NAME").ok().flatten();
    let name = name.unwrap_or_else(|| function.to_owned());
    let collector = Builder::new().cloudwatch_namespace(NAMESPACE).with_dimension("function", name).init();
    // A second initialization, in a test, keeps the first collector.
    if let Ok(collector) = collector {
        let _ = COLLECTOR.set(collector);
        for (name, meaning) in TIMES {
            metrics::describe_histogram!(name, metrics::Unit::Milliseconds, meaning);
        }
        for (name, meaning) in NUMBERS {
            metrics::describe_histogram!(name, metrics::Unit::Count, meaning);
        }
        count(Counter::ColdStarts);
    }
}

/// Writes the metrics collected since the last call. Called at the end of an invocation, before the process is frozen.
pub fn flush() {
    if let Some(collector) = COLLECTOR.get() {
        // Without standard output there is no place to report the error.
        let _ = collector.flush(std::io::stdout());
    }
}

/// Runs `work` and records its duration under a name of [`TIMES`], for any result.
pub async fn timed<T>(name: &'static str, work: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let result = work.await;
    record(name, start.elapsed());
    result
}

/// Records a duration under a name of [`TIMES`].
pub fn record(name: &'static str, time: Duration) {
    metrics::histogram!(name).record(time.as_secs_f64() * 1000.0);
}

/// Records a number under a name of [`NUMBERS`].
pub fn record_number(name: &'static str, number: u64) {
    metrics::histogram!(name).record(number as f64);
}

/// Increments a counter without a log line.
pub fn count(counter: Counter) {
    metrics::counter!(counter.name()).increment(1);
}

/// Returns the whole milliseconds since `start`, for log lines.
#[must_use]
pub fn milliseconds_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Counts log lines by their field `counter`, and those at level ERROR as [`VERSION_ERRORS`].
pub(crate) struct Counts {
    version: String,
}

impl Counts {
    /// Creates the layer for the version of the function that this process runs.
    pub(crate) fn of_this_version() -> Self {
        let version = env::optional("AWS_LAMBDA_FUNCTION_VERSION").ok().flatten();
        Self { version: version.unwrap_or_else(|| "$LATEST".to_owned()) }
    }
}

impl<S: Subscriber> Layer<S> for Counts {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut counter = CounterField { counted: false };
        event.record(&mut counter);
        if counter.counted && *event.metadata().level() == Level::ERROR {
            metrics::counter!(VERSION_ERRORS, "version" => self.version.clone()).increment(1);
        }
    }
}

struct CounterField {
    counted: bool,
}

impl Visit for CounterField {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "counter" {
            metrics::counter!(value.to_owned()).increment(1);
            self.counted = true;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
