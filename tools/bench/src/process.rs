//! A function's process, and what it has used.

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

/// How long anything may take before it is taken for hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of its last words that are kept.
const LAST_WORDS: usize = 4096;

/// A function, started on a runtime API of its own.
pub struct Process {
    api: RuntimeApi,
    child: Child,
    pid: u32,
    last_words: Arc<Mutex<VecDeque<u8>>>,
    watched: Watched,
}

impl Process {
    /// Starts a function with `environment` and nothing else. Its log is read and dropped.
    ///
    /// # Errors
    /// When it cannot be started.
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
        let pid = child.id().context("it has no process id")?;
        crate::cores::move_to_last(pid);
        api.spawned(pid);
        let watched = guardian.watch_process(pid, Signal::SIGKILL)?;
        let last_words = Arc::default();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(listen(stdout, Arc::clone(&last_words)));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(listen(stderr, Arc::clone(&last_words)));
        }
        Ok(Self { api, child, pid, last_words, watched })
    }

    /// What it had used when it polled for the first time; waits for that.
    ///
    /// # Errors
    /// When it does not poll.
    pub async fn first_poll(&mut self) -> anyhow::Result<Start> {
        let polled = tokio::time::timeout(PATIENCE, self.api.first_poll());
        tokio::select! {
            polled = polled => polled.context("it does not poll")?,
            _ = self.child.wait() => bail!("it has ended: {}", self.last_words()),
        }
    }

    /// Gives it one event after the other, and waits until it polls again after the last.
    ///
    /// # Errors
    /// When it reports an error, or ends.
    pub async fn invoke(&mut self, events: Vec<String>) -> anyhow::Result<Vec<Invocation>> {
        let done = tokio::time::timeout(PATIENCE, self.api.invoke(events));
        tokio::select! {
            done = done => done.context("it does not answer")?,
            _ = self.child.wait() => bail!("it has ended: {}", self.last_words()),
        }
    }

    /// Gives it an event, and waits for nothing.
    pub fn give(&self, event: String) {
        self.api.give(event);
    }

    /// CPU time that it has used since it was started, user and system.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        usage::cpu(self.pid)
    }

    /// When the start was begun.
    #[must_use]
    pub fn started_at(&self) -> Instant {
        self.api.started_at()
    }

    /// The most memory that it has had resident, in bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        usage::peak_memory(self.pid)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        drop(self.watched);
        Ok(())
    }

    fn last_words(&self) -> String {
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&words.iter().copied().collect::<Vec<_>>()).into_owned()
    }
}

/// Reads all that is written, and keeps the end of it.
async fn listen(mut stream: impl AsyncRead + Unpin, last_words: Arc<Mutex<VecDeque<u8>>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let mut words = last_words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend(&buffer[..length]);
        let excess = words.len().saturating_sub(LAST_WORDS);
        words.drain(..excess);
    }
}
