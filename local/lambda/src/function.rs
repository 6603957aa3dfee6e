//! A function as its callers see it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use local_process::{Guardian, Signal};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::FunctionConfig;
use crate::error::{InvokeError, StartError};
use crate::instance::Answer;
use crate::logs::LogSink;
use crate::pool::Pool;
use crate::runtime_api::{FunctionError, Invocation};

/// The largest event, in bytes: 6 MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub(crate) const REQUEST_LIMIT: usize = 6 * 1024 * 1024;

/// How often an event is offered again when processes end before they take it.
const OFFERS: u32 = 5;

/// A function whose processes run here. Clones share them; dropping the last clone kills them.
#[derive(Clone, Debug)]
pub struct Function {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    pool: Arc<Pool>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.pool.refuse(Signal::SIGKILL);
    }
}

impl Function {
    /// Sets a function up. Its first process is started by the first call, or by [`Function::warm`].
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub fn start(config: FunctionConfig, guardian: &Guardian, logs: LogSink) -> Result<Self, StartError> {
        config.check()?;
        let pool = Pool::new(config, guardian.clone(), logs);
        Ok(Self { handle: Arc::new(Handle { pool }) })
    }

    /// The function's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.pool().config.name
    }

    /// What it was started with.
    #[must_use]
    pub fn config(&self) -> &FunctionConfig {
        &self.pool().config
    }

    /// The function's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        self.pool().config.arn()
    }

    /// Sends an event and waits for the response, both JSON.
    ///
    /// The event goes to an idle process; if all are busy, to a new one; if there are as many as there
    /// may be, to the one that is free first, callers in the order in which they came. A caller that
    /// goes away does not end the invocation.
    ///
    /// # Errors
    /// See [`InvokeError`].
    pub async fn invoke(&self, payload: impl Into<Bytes>) -> Result<Bytes, InvokeError> {
        self.invoke_traced(payload.into(), None).await
    }

    pub(crate) async fn invoke_traced(
        &self,
        payload: Bytes,
        trace_id: Option<String>,
    ) -> Result<Bytes, InvokeError> {
        if payload.len() > REQUEST_LIMIT {
            return Err(InvokeError::TooLarge(payload.len()));
        }
        let pool = Arc::clone(self.pool());
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(run(pool, payload, trace_id.unwrap_or_else(new_trace_id), sender));
        receiver.await.unwrap_or(Err(InvokeError::Shutdown))
    }

    /// Starts the first process now, so that the first call finds it ready.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn warm(&self) -> Result<(), InvokeError> {
        let pool = Arc::clone(self.pool());
        let warmed = tokio::spawn(async move {
            let instance = pool.acquire().await?;
            pool.release(instance);
            Ok(())
        });
        warmed.await.unwrap_or(Err(InvokeError::Shutdown))
    }

    /// The process ids of the instances that have started, oldest first.
    #[must_use]
    pub fn instance_pids(&self) -> Vec<u32> {
        self.pool().pids()
    }

    /// Refuses further calls, sends `SIGTERM` to every process, `SIGKILL` two seconds later, and waits
    /// for their end. Calls under way fail with [`InvokeError::Shutdown`].
    pub async fn stop(&self) {
        self.pool().stop().await;
    }

    fn pool(&self) -> &Arc<Pool> {
        &self.handle.pool
    }
}

/// One invocation, from the queue to the moment its process polls again.
async fn run(
    pool: Arc<Pool>,
    payload: Bytes,
    trace_id: String,
    caller: oneshot::Sender<Result<Bytes, InvokeError>>,
) {
    let request_id = Uuid::new_v4().to_string();
    let after = pool.config.timeout;
    let mut offers = 0;
    let (result, instance) = loop {
        let instance = match pool.acquire().await {
            Ok(instance) => instance,
            Err(error) => break (Err(error), None),
        };
        // The function's time begins when it gets the event, not when the event was queued.
        let deadline = Instant::now() + after;
        let invocation = Invocation {
            request_id: request_id.clone(),
            payload: payload.clone(),
            deadline: SystemTime::now() + after,
            trace_id: trace_id.clone(),
        };
        let answer = instance.invoke(invocation, deadline).await;
        offers += 1;
        break match answer {
            Answer::Outcome(outcome) => (outcome.map_err(handled), Some((instance, deadline))),
            _ if pool.is_stopped() => (Err(InvokeError::Shutdown), None),
            Answer::TimedOut => (Err(InvokeError::Timeout { request_id, after }), None),
            Answer::NotTaken if offers < OFFERS => continue,
            Answer::NotTaken => {
                let reason = instance.ended().await;
                (Err(InvokeError::Crashed { request_id, reason }), None)
            }
            Answer::Crashed(reason) => (Err(InvokeError::Crashed { request_id, reason }), None),
        };
    };
    if let Err(error) = &result {
        tracing::debug!(function = pool.config.name, error_type = error.error_type(), "invocation failed");
    }
    if instance.is_some() {
        pool.answered();
    }
    // A caller that has gone away is no reason to stop.
    let _ = caller.send(result);
    // A process is free again when it polls, not when it answers: it may crash in between.
    if let Some((instance, deadline)) = instance {
        let polls = instance.polls_again(deadline).await;
        pool.finished(instance, polls);
    }
}

fn handled(error: FunctionError) -> InvokeError {
    InvokeError::Handled { error_type: error.error_type, error_message: error.error_message }
}

/// A trace id as X-Ray makes them: the time in seconds and 96 random bits.
/// <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>
pub(crate) fn new_trace_id() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let random = Uuid::new_v4().simple().to_string();
    format!("Root=1-{seconds:08x}-{}", random.get(..24).unwrap_or_default())
}
