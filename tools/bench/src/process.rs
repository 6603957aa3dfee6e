//! A function's process, and its resource usage.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use local_process::{Guardian, Signal, Watched};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::runtime_api::{Invocation, RuntimeApi, Start};
use crate::usage;

/// The timeout of every step.
const PATIENCE: Duration = Duration::from_secs(60);

/// The stored bytes at the end of its output.
const LAST_WORDS: usize = 4096;

/// A function, started on a separate runtime API.
pub struct Process {
    api: RuntimeApi,
    child: Child,
    pid: u32,
    last_output: Arc<Mutex<VecDeque<u8>>>,
    watched: Watched,
}

impl Process {
    /// Starts a function with exactly this environment. Its log is read and discarded.
    ///
    /// # Errors
    /// When the function cannot be started.
    pub async fn start(
        guardian: &Guardian,
        binary: &Path,
        environment: &BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        let api = RuntimeApi::start().await?;
        let mut command = Command::new(binary);
        command
            .env_clear()
            .envs(environment)
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        api.spawning();
        let mut child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        let pid = child.id().context("the function has no process id")?;
        crate::cores::move_to_last(pid);
        api.spawned(pid);
        let watched = guardian.watch_process(pid, Signal::SIGKILL)?;
        let last_output = Arc::default();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(listen(stdout, Arc::clone(&last_output)));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(listen(stderr, Arc::clone(&last_output)));
        }
        Ok(Self { api, child, pid, last_output, watched })
    }

    /// Waits for the first poll, and returns the usage until then.
    ///
    /// # Errors
    /// When it does not poll.
    pub async fn first_poll(&mut self) -> anyhow::Result<Start> {
        let polled = tokio::time::timeout(PATIENCE, self.api.first_poll());
        tokio::select! {
            polled = polled => polled.context("the function does not poll")?,
            _ = self.child.wait() => bail!("the function has ended: {}", self.last_output()),
        }
    }

    /// Passes one event after the other, and waits for the poll after the last.
    ///
    /// # Errors
    /// When the function reports an error, or ends.
    pub async fn invoke(&mut self, events: Vec<String>) -> anyhow::Result<Vec<Invocation>> {
        let done = tokio::time::timeout(PATIENCE, self.api.invoke(events));
        tokio::select! {
            done = done => done.context("the function does not respond")?,
            _ = self.child.wait() => bail!("the function has ended: {}", self.last_output()),
        }
    }

    /// Passes an event without waiting.
    pub fn give(&self, event: String) {
        self.api.give(event);
    }

    /// Returns its CPU time since the start, user and system.
    ///
    /// # Errors
    /// When the function has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        usage::cpu(self.pid)
    }

    /// Returns the time of the start.
    #[must_use]
    pub fn started_at(&self) -> Instant {
        self.api.started_at()
    }

    /// Returns its peak resident memory in bytes.
    ///
    /// # Errors
    /// When the function has ended.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        usage::peak_memory(self.pid)
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends the function.
    ///
    /// # Errors
    /// When waiting for the process fails.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        drop(self.watched);
        Ok(())
    }

    fn last_output(&self) -> String {
        let words = self.last_output.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&words.iter().copied().collect::<Vec<_>>()).into_owned()
    }
}

/// Reads all output, and stores its end.
async fn listen(mut stream: impl AsyncRead + Unpin, last_output: Arc<Mutex<VecDeque<u8>>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let mut words = last_output.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend(&buffer[..length]);
        let excess = words.len().saturating_sub(LAST_WORDS);
        words.drain(..excess);
    }
}
