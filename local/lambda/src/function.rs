//! The public interface of a function.

use std::collections::BTreeMap;
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

/// Maximum size of an event in bytes: 6 MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub(crate) const REQUEST_LIMIT: usize = 6 * 1024 * 1024;

/// Maximum number of attempts to deliver an event to a process that ends before it takes the event.
const MAXIMUM_ATTEMPTS: u32 = 5;

/// A function with local processes. Clones share the processes; dropping the last clone kills them.
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
    /// Sets up a function. Its first process is started by the first invocation, or by [`Function::warm`].
    ///
    /// # Errors
    /// On an invalid configuration.
    pub fn start(config: FunctionConfig, guardian: &Guardian, logs: LogSink) -> Result<Self, StartError> {
        config.check()?;
        let pool = Pool::new(config, guardian.clone(), logs);
        Ok(Self { handle: Arc::new(Handle { pool }) })
    }

    /// Name of the function.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.pool().config.name
    }

    /// Configuration of the function at its start.
    #[must_use]
    pub fn config(&self) -> &FunctionConfig {
        &self.pool().config
    }

    /// ARN of the function.
    #[must_use]
    pub fn arn(&self) -> String {
        self.pool().config.arn()
    }

    /// Invokes the function with an event and returns the response, both JSON.
    ///
    /// The event goes to an idle process, else to a new one. At the maximum number of processes, callers wait
    /// in order for the next idle one. Dropping the future does not end the invocation.
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

    /// Starts the first process now, to save the first caller the cold start.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub async fn warm(&self) -> Result<(), InvokeError> {
        let pool = Arc::clone(self.pool());
        let warmed = tokio::spawn(async move {
            let instance = pool.acquire().await?;
            pool.release(instance);
            Ok(())
        });
        warmed.await.unwrap_or(Err(InvokeError::Shutdown))
    }

    /// Changes environment variables, as `UpdateFunctionConfiguration` does: for invocations from now on. Idle
    /// processes end now, and others after their invocation.
    pub fn change_env(&self, variables: BTreeMap<String, String>) {
        self.pool().change_env(variables);
    }

    /// Process ids of the started instances, oldest first.
    #[must_use]
    pub fn instance_pids(&self) -> Vec<u32> {
        self.pool().pids()
    }

    /// Rejects further invocations, sends `SIGTERM` to every process, `SIGKILL` two seconds later, and waits
    /// for their exit. Invocations in progress fail with [`InvokeError::Shutdown`].
    pub async fn stop(&self) {
        self.pool().stop().await;
    }

    fn pool(&self) -> &Arc<Pool> {
        &self.handle.pool
    }
}

/// One invocation, from queueing to the next poll of its process.
async fn run(
    pool: Arc<Pool>,
    payload: Bytes,
    trace_id: String,
    caller: oneshot::Sender<Result<Bytes, InvokeError>>,
) {
    let request_id = Uuid::new_v4().to_string();
    let after = pool.config.timeout;
    let mut attempts = 0;
    let (result, instance) = loop {
        let instance = match pool.acquire().await {
            Ok(instance) => instance,
            Err(error) => break (Err(error), None),
        };
        // The timeout starts when the function receives the event, not when the event was queued.
        let deadline = Instant::now() + after;
        let invocation = Invocation {
            request_id: request_id.clone(),
            payload: payload.clone(),
            deadline: SystemTime::now() + after,
            trace_id: trace_id.clone(),
        };
        let answer = instance.invoke(invocation, deadline).await;
        attempts += 1;
        break match answer {
            Answer::Outcome(outcome) => (outcome.map_err(handled), Some((instance, deadline))),
            _ if pool.is_stopped() => (Err(InvokeError::Shutdown), None),
            Answer::TimedOut => (Err(InvokeError::Timeout { request_id, after }), None),
            Answer::NotTaken if attempts < MAXIMUM_ATTEMPTS => continue,
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
    // A caller that no longer waits does not end the invocation.
    let _ = caller.send(result);
    // A process is idle again when it polls, not when it responds: it may crash in between.
    if let Some((instance, deadline)) = instance {
        let polls = instance.polls_again(deadline).await;
        pool.finished(instance, polls);
    }
}

fn handled(error: FunctionError) -> InvokeError {
    InvokeError::Handled { error_type: error.error_type, error_message: error.error_message }
}

/// A trace id in the X-Ray format: the time in seconds and 96 random bits.
/// <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>
pub(crate) fn new_trace_id() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let random = Uuid::new_v4().simple().to_string();
    format!("Root=1-{seconds:08x}-{}", random.get(..24).unwrap_or_default())
}
