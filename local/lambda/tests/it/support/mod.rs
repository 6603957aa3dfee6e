//! Shared test helpers.
use std::future::Future;
use std::time::{Duration, Instant};

use local_lambda::{Function, FunctionConfig, LogSink, Logs};
use local_process::Guardian;
use serde_json::Value;

/// Long enough for a loaded machine; a passing test never waits this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn probe(name: &str) -> FunctionConfig {
    let mut config = FunctionConfig::new(name, env!("CARGO_BIN_EXE_local-lambda-probe"));
    config.timeout = DEADLINE;
    config
}

pub(crate) struct Started {
    pub function: Function,
    pub logs: Logs,
    pub guardian: Guardian,
}

pub(crate) fn start(config: FunctionConfig) -> Started {
    let guardian = Guardian::start().unwrap();
    let (sink, logs) = LogSink::collect();
    let function = Function::start(config, &guardian, sink).unwrap();
    Started { function, logs, guardian }
}

/// Waits until `condition` returns a value.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < until, "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    eventually(what, || async { condition().then_some(()) }).await;
}

pub(crate) async fn call(function: &Function, event: Value) -> Value {
    serde_json::from_slice(&function.invoke(event.to_string()).await.unwrap()).unwrap()
}

/// Whether a process has this id, zombies included.
pub(crate) fn exists(pid: u32) -> bool {
    std::process::Command::new("kill")
        .args(["-0", &pid.to_string()])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
        .success()
}
