//! One process of a function, with its runtime API.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use local_process::{Guardian, Signal, Watched};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::FunctionConfig;
use crate::logs::{LogSink, Stream, forward};
use crate::runtime_api::{FunctionError, Invocation, Outcome, Phase, RuntimeApi};

/// Timeout for the last log lines of an ended process: one of its children may hold the pipe open.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A running process.
#[derive(Debug)]
pub(crate) struct Instance {
    pub id: u64,
    pub pid: u32,
    api: RuntimeApi,
    ended: watch::Receiver<Option<String>>,
    signals: mpsc::UnboundedSender<Signal>,
}

/// Result of an invocation.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The function responded.
    Outcome(Outcome),
    /// The function did not respond in time; its process was killed.
    TimedOut,
    /// The process ended with the event.
    Crashed(String),
    /// The process ended before it took the event, which can go to another process.
    NotTaken,
}

impl Instance {
    /// Starts the process, without waiting for its first poll.
    ///
    /// `on_end` is called once, after the process has ended and its last log lines were read.
    pub(crate) fn spawn(
        id: u64,
        api: RuntimeApi,
        config: &FunctionConfig,
        guardian: &Guardian,
        logs: &LogSink,
        on_end: impl FnOnce() + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let stream = format!("local/[$LATEST]{}", uuid::Uuid::new_v4().simple());
        let mut child = Command::new(&config.executable)
            .env_clear()
            .envs(config.environment(api.address(), &stream))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own process group: Ctrl-C in the terminal must not reach the function.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or(io::ErrorKind::NotFound)?;
        let watched = guardian.watch_process(pid, Signal::SIGKILL)?;
        let function: Arc<str> = Arc::from(config.name.as_str());
        let mut lines = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            lines.spawn(forward(stdout, logs.clone(), Arc::clone(&function), pid, Stream::Stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            lines.spawn(forward(stderr, logs.clone(), function, pid, Stream::Stderr));
        }
        let (signals, commands) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(None);
        tokio::spawn(async move {
            let reason = wait(child, watched, commands, lines).await;
            on_end();
            end.send_replace(Some(reason));
        });
        Ok(Arc::new(Self { id, pid, api, ended, signals }))
    }

    /// Waits until the process polls for its first event.
    pub(crate) async fn initialised(&self, limit: Duration) -> Result<(), FunctionError> {
        let mut phase = self.api.phase();
        let mut ended = self.ended.clone();
        let polled = async {
            tokio::select! {
                biased;
                phase = phase.wait_for(|phase| *phase != Phase::Init) => phase.ok().map(|phase| phase.clone()),
                _ = ended.wait_for(Option::is_some) => None,
            }
        };
        match timeout(limit, polled).await {
            Ok(Some(Phase::InitFailed(error))) => {
                self.signal(Signal::SIGKILL);
                self.ended().await;
                Err(error)
            }
            Ok(Some(_)) => Ok(()),
            Ok(None) => {
                let error_message = self.ended().await;
                Err(FunctionError { error_type: "Runtime.ExitError".to_owned(), error_message })
            }
            Err(_) => {
                self.signal(Signal::SIGKILL);
                self.ended().await;
                Err(FunctionError {
                    error_type: "Sandbox.Timedout".to_owned(),
                    error_message: format!("Init timed out after {:.2} seconds", limit.as_secs_f64()),
                })
            }
        }
    }

    /// Sends the event to the idle process and waits for the response until `deadline`; then kills the
    /// process.
    pub(crate) async fn invoke(&self, invocation: Invocation, deadline: Instant) -> Answer {
        let mut outcome = self.api.send(invocation);
        let mut ended = self.ended.clone();
        let answered = async {
            tokio::select! {
                biased;
                Ok(outcome) = &mut outcome => Some(outcome),
                _ = ended.wait_for(Option::is_some) => None,
            }
        };
        match timeout_at(deadline, answered).await {
            Ok(Some(outcome)) => Answer::Outcome(outcome),
            Ok(None) if self.api.has_event() => Answer::Crashed(self.ended().await),
            Ok(None) => Answer::NotTaken,
            Err(_) => {
                self.signal(Signal::SIGKILL);
                self.ended().await;
                Answer::TimedOut
            }
        }
    }

    /// Waits until the process polls again; kills it after `deadline`.
    pub(crate) async fn polls_again(&self, deadline: Instant) -> bool {
        let mut phase = self.api.phase();
        let mut ended = self.ended.clone();
        let idle = async {
            tokio::select! {
                idle = phase.wait_for(|phase| *phase == Phase::Idle) => idle.is_ok(),
                _ = ended.wait_for(Option::is_some) => false,
            }
        };
        let idle = timeout_at(deadline, idle).await;
        if idle.is_err() {
            self.signal(Signal::SIGKILL);
        }
        idle.unwrap_or(false)
    }

    /// Sends a signal, unless the process has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        // Without a receiver the process has ended.
        let _ = self.signals.send(signal);
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// Waits for the end of the process; returns the reason in Lambda's wording.
    pub(crate) async fn ended(&self) -> String {
        match self.ended.clone().wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "Runtime exited without providing a reason".to_owned(),
        }
    }
}

/// Owns the process until it has ended. All signals go through this task, so that none can reach a later
/// process with the same id.
async fn wait(
    mut child: Child,
    watched: Watched,
    mut commands: mpsc::UnboundedReceiver<Signal>,
    mut lines: JoinSet<()>,
) -> String {
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            Some(signal) = commands.recv() => {
                if let Some(pid) = child.id() {
                    let _ = local_process::signal(pid, signal);
                }
            }
        }
    };
    drop(watched);
    let _ = timeout(LAST_LINES, async { while lines.join_next().await.is_some() {} }).await;
    match status {
        Ok(status) => reason(status),
        Err(error) => format!("Runtime exited with error: {error}"),
    }
}

fn reason(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, Some(9)) => "Runtime exited with error: signal: killed".to_owned(),
        (None, signal) => format!("Runtime exited with error: signal: {}", signal.unwrap_or_default()),
    }
}
