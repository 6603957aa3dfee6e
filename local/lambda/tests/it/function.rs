//! Functions as processes: responses, errors, timeouts, crashes, several instances, shutdown.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use local_lambda::{Function, FunctionConfig, InvokeError, LogSink, StartError, Stream};
use local_process::{Guardian, Signal};
use serde_json::json;

use crate::support::{DEADLINE, Started, call, eventually, exists, probe, start, until};

#[tokio::test]
async fn response_is_returned_unchanged() {
    let Started { function, .. } = start(probe("echo"));
    let event = json!({"text": "größer als ✓", "numbers": [1, 2.5, null]});
    assert_eq!(call(&function, event.clone()).await, event);
    assert_eq!(function.instance_pids().len(), 1);
    assert_eq!(call(&function, event.clone()).await, event, "the second call finds the process warm");
    assert_eq!(function.instance_pids().len(), 1);
    function.stop().await;
}

#[tokio::test]
async fn context_has_the_deadline_in_real_time_and_the_arn() {
    let mut config = probe("context");
    config.timeout = Duration::from_secs(20);
    config.region = "eu-west-3".to_owned();
    let Started { function, .. } = start(config);
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let context = call(&function, json!({"do": "context"})).await;
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let deadline = u128::from(context["deadline_ms"].as_u64().unwrap());
    assert!((before + 20_000..=after + 20_000).contains(&deadline), "{deadline}");
    assert_eq!(context["arn"], "arn:aws:lambda:eu-west-3:000000000000:function:context");
    assert_eq!(context["request_id"].as_str().unwrap().len(), 36);
    assert!(context["trace_id"].as_str().unwrap().starts_with("Root=1-"));
    function.stop().await;
}

#[tokio::test]
async fn process_environment_is_isolated_from_the_parent() {
    let config =
        probe("environment").with_env("SUPABASE_URL", "http://127.0.0.1:1").with_env("TZ", "Asia/Tokyo");
    let Started { function, .. } = start(config);
    let env = call(&function, json!({"do": "environment"})).await;
    assert_eq!(env["AWS_LAMBDA_FUNCTION_NAME"], "environment");
    assert_eq!(env["AWS_LAMBDA_FUNCTION_VERSION"], "$LATEST");
    assert_eq!(env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "128");
    assert_eq!(env["AWS_LAMBDA_LOG_GROUP_NAME"], "/aws/lambda/environment");
    assert_eq!(env["AWS_REGION"], "us-east-1");
    assert_eq!(env["SUPABASE_URL"], "http://127.0.0.1:1");
    assert_eq!(env["TZ"], "Asia/Tokyo", "the function's own environment wins");
    // Cargo sets these for the test process.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert!(env.get("CARGO_MANIFEST_DIR").is_none());
    function.stop().await;
}

#[tokio::test]
async fn error_and_panic_are_distinct_and_keep_the_process() {
    let Started { function, .. } = start(probe("errors"));
    let error =
        function.invoke(json!({"do": "error", "message": "no such thing"}).to_string()).await.unwrap_err();
    let InvokeError::Handled { error_message, .. } = &error else { panic!("{error:?}") };
    assert_eq!(error_message, "no such thing");
    assert_eq!(error.payload()["errorMessage"], "no such thing");
    let pids = function.instance_pids();
    let error = function.invoke(json!({"do": "panic"}).to_string()).await.unwrap_err();
    let InvokeError::Handled { error_message, .. } = &error else { panic!("{error:?}") };
    assert!(error_message.contains("requested panic"), "{error_message}");
    assert_eq!(call(&function, json!({"still": "here"})).await, json!({"still": "here"}));
    assert_eq!(function.instance_pids(), pids);
    function.stop().await;
}

#[tokio::test]
async fn invocation_past_its_deadline_fails_and_replaces_the_process() {
    let mut config = probe("slow");
    config.timeout = Duration::from_millis(500);
    let Started { function, .. } = start(config);
    function.warm().await.unwrap();
    let pids = function.instance_pids();
    let error = function.invoke(json!({"do": "sleep", "ms": 600_000}).to_string()).await.unwrap_err();
    assert!(matches!(error, InvokeError::Timeout { .. }), "{error:?}");
    assert!(error.to_string().ends_with("Task timed out after 0.50 seconds"), "{error}");
    assert_eq!(error.error_type(), "Sandbox.Timedout");
    assert!(!exists(pids[0]));
    assert_eq!(call(&function, json!(1)).await, json!(1));
    assert_ne!(function.instance_pids(), pids);
    function.stop().await;
}

#[tokio::test]
async fn process_that_ends_during_an_invocation_is_replaced() {
    let Started { function, .. } = start(probe("crash"));
    let error = function.invoke(json!({"do": "exit"}).to_string()).await.unwrap_err();
    assert!(matches!(error, InvokeError::Crashed { .. }), "{error:?}");
    assert_eq!(error.error_type(), "Runtime.ExitError");
    assert!(error.to_string().ends_with("Runtime exited with error: exit status 3"), "{error}");
    assert_eq!(call(&function, json!(1)).await, json!(1));
    function.stop().await;
}

#[tokio::test]
async fn process_that_never_polls_fails_calls_with_backoff() {
    let Started { function, logs, .. } = start(probe("init").with_env("PROBE_INIT", "exit"));
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let function = function.clone();
            tokio::spawn(async move { function.invoke("{}").await })
        })
        .collect();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        let InvokeError::Init { error_type, error_message } = &error else { panic!("{error:?}") };
        assert_eq!(error_type, "Runtime.ExitError");
        assert_eq!(error_message, "Runtime exited with error: exit status 7");
    }
    assert!(logs.lines().iter().any(|line| line.text == "exiting before the first poll"));
    // Without waiting callers no process is started.
    let started = logs.lines().len();
    assert!(started <= 6, "{started} processes for 6 calls");
    assert!(function.invoke("{}").await.is_err());
    assert!(logs.lines().len() > started, "a later call tries again");
    assert_eq!(function.instance_pids(), Vec::<u32>::new());
    function.stop().await;
}

#[tokio::test]
async fn reported_init_error_is_returned_to_the_caller() {
    let Started { function, .. } = start(probe("report").with_env("PROBE_INIT", "report"));
    let error = function.invoke("{}").await.unwrap_err();
    let expected = InvokeError::Init {
        error_type: "Probe.NoConfiguration".to_owned(),
        error_message: "a setting is missing".to_owned(),
    };
    assert_eq!(error, expected);
    function.stop().await;
}

#[tokio::test]
async fn slow_start_is_ended() {
    let mut config = probe("hang").with_env("PROBE_INIT", "hang");
    config.init_timeout = Duration::from_millis(300);
    let Started { function, .. } = start(config);
    let error = function.warm().await.unwrap_err();
    assert_eq!(error.to_string(), "Sandbox.Timedout: Init timed out after 0.30 seconds");
    function.stop().await;
}

#[tokio::test]
async fn non_executable_file_fails_the_call() {
    let guardian = Guardian::start().unwrap();
    let missing = FunctionConfig::new("missing", "/nonexistent/bootstrap");
    let error = Function::start(missing, &guardian, LogSink::discard()).unwrap_err();
    assert!(matches!(error, StartError::Executable { .. }), "{error:?}");
    let text = FunctionConfig::new("text", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    let function = Function::start(text, &guardian, LogSink::discard()).unwrap();
    assert!(matches!(function.invoke("{}").await, Err(InvokeError::Init { .. })));
    let name = FunctionConfig::new("a b", env!("CARGO_BIN_EXE_local-lambda-probe"));
    let error = Function::start(name, &guardian, LogSink::discard()).unwrap_err();
    assert!(matches!(error, StartError::Name(_)), "{error:?}");
}

#[tokio::test]
async fn concurrent_invocations_get_a_process_each_up_to_the_limit() {
    let mut config = probe("parallel");
    config.max_instances = 3;
    let Started { function, .. } = start(config);
    let directory = tempfile::tempdir().unwrap();
    let event = json!({"do": "meet", "directory": directory.path(), "count": 3});
    // Three can only respond together; the others wait for one of them.
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (function, event) = (function.clone(), event.clone());
            tokio::spawn(async move { call(&function, event).await["pid"].as_u64().unwrap() })
        })
        .collect();
    let mut pids = BTreeSet::new();
    for call in calls {
        pids.insert(u32::try_from(call.await.unwrap()).unwrap());
    }
    assert_eq!(pids, function.instance_pids().into_iter().collect());
    assert_eq!(pids.len(), 3);
    function.stop().await;
}

#[tokio::test]
async fn idle_process_killed_from_outside_is_replaced() {
    let Started { function, .. } = start(probe("killed"));
    assert_eq!(call(&function, json!(1)).await, json!(1));
    let killed = function.instance_pids()[0];
    local_process::signal(killed, Signal::SIGKILL).unwrap();
    until("another process", || matches!(function.instance_pids()[..], [pid] if pid != killed)).await;
    assert_eq!(call(&function, json!(2)).await, json!(2));
    function.stop().await;
}

#[tokio::test]
async fn process_killed_during_an_invocation_fails_it() {
    let Started { function, .. } = start(probe("killed-busy"));
    function.warm().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let event = json!({"do": "meet", "directory": directory.path(), "count": 2});
    let call = {
        let function = function.clone();
        tokio::spawn(async move { function.invoke(event.to_string()).await })
    };
    until("the event to arrive", || std::fs::read_dir(directory.path()).unwrap().count() == 1).await;
    local_process::signal(function.instance_pids()[0], Signal::SIGKILL).unwrap();
    let error = call.await.unwrap().unwrap_err();
    assert!(error.to_string().ends_with("Runtime exited with error: signal: killed"), "{error}");
    function.stop().await;
}

#[tokio::test]
async fn changed_environment_reaches_later_invocations_and_spares_one_in_progress() {
    let Started { function, .. } = start(probe("changed").with_env("NEW", "no").with_env("KEPT", "yes"));
    function.warm().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let event = json!({"do": "meet", "directory": directory.path(), "count": 2});
    let in_progress = {
        let function = function.clone();
        tokio::spawn(async move { call(&function, event).await })
    };
    until("the event to arrive", || std::fs::read_dir(directory.path()).unwrap().count() == 1).await;
    let environment = async || {
        let environment = call(&function, json!({"do": "environment"})).await;
        [environment["NEW"].clone(), environment["KEPT"].clone()]
    };
    // The second process becomes idle.
    assert_eq!(environment().await, ["no", "yes"]);
    let outdated = function.instance_pids();
    assert_eq!(outdated.len(), 2);
    function.change_env([("NEW".to_owned(), "yes".to_owned())].into());
    assert_eq!(environment().await, ["yes", "yes"]);
    std::fs::write(directory.path().join("second"), "").unwrap();
    assert_eq!(in_progress.await.unwrap(), json!({"pid": outdated[0]}));
    until("the older processes to end", || {
        function.instance_pids().iter().all(|pid| !outdated.contains(pid))
    })
    .await;
    assert_eq!(environment().await, ["yes", "yes"]);
    function.stop().await;
}

#[tokio::test]
async fn process_that_ends_after_each_poll_is_restarted_3_times() {
    let Started { function, logs, .. } = start(probe("polls").with_env("PROBE_INIT", "poll-once"));
    let error = function.invoke("{}").await.unwrap_err();
    assert!(matches!(error, InvokeError::Crashed { .. } | InvokeError::Init { .. }), "{error:?}");
    // The process that failed had work and is replaced; its replacements have none, and after three of them
    // no process is started without a caller.
    until("the last start", || logs.lines().len() == 4).await;
    until("its end", || function.instance_pids().is_empty()).await;
    assert_eq!(logs.lines().len(), 4);
    function.stop().await;
}

#[tokio::test]
async fn lines_of_both_streams_reach_the_sink() {
    let Started { function, logs, .. } = start(probe("logs"));
    call(&function, json!({"do": "log"})).await;
    for (stream, text) in [(Stream::Stdout, "to standard output"), (Stream::Stderr, "to standard error")] {
        let line = eventually("a line", || async {
            logs.lines().into_iter().find(|line| line.stream == stream && line.text == text)
        })
        .await;
        assert_eq!(&*line.function, "logs");
        assert_eq!(vec![line.pid], function.instance_pids());
    }
    function.stop().await;
}

#[tokio::test]
async fn payloads_above_six_megabytes_are_rejected_both_ways() {
    let Started { function, .. } = start(probe("large"));
    let event = json!("x".repeat(6 * 1024 * 1024)).to_string();
    assert_eq!(function.invoke(event.clone()).await.unwrap_err(), InvokeError::TooLarge(event.len()));
    let just_below = json!("x".repeat(6 * 1024 * 1024 - 2));
    assert_eq!(call(&function, just_below.clone()).await, just_below);
    let pids = function.instance_pids();
    let error = function.invoke(json!({"do": "respond", "bytes": 6_300_000}).to_string()).await.unwrap_err();
    assert_eq!(error.error_type(), "Function.ResponseSizeTooLarge");
    assert_eq!(call(&function, json!(1)).await, json!(1));
    assert_eq!(function.instance_pids(), pids);
    function.stop().await;
}

#[tokio::test]
async fn stop_ends_every_process_and_fails_every_call() {
    let mut config = probe("stop").with_env("PROBE_IGNORE_SIGTERM", "1");
    config.max_instances = 2;
    let Started { function, .. } = start(config);
    let directory = tempfile::tempdir().unwrap();
    let event = json!({"do": "meet", "directory": directory.path(), "count": 99}).to_string();
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let (function, event) = (function.clone(), event.clone());
            tokio::spawn(async move { function.invoke(event).await })
        })
        .collect();
    until("two to be busy", || std::fs::read_dir(directory.path()).unwrap().count() == 2).await;
    let pids = function.instance_pids();
    assert_eq!(pids.len(), 2);
    function.stop().await;
    assert!(pids.iter().all(|pid| !exists(*pid)));
    for call in calls {
        assert_eq!(call.await.unwrap(), Err(InvokeError::Shutdown));
    }
    assert_eq!(function.invoke("{}").await, Err(InvokeError::Shutdown));
    assert_eq!(function.instance_pids(), Vec::<u32>::new());
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_processes() {
    let Started { function, guardian, .. } = start(probe("dropped"));
    function.warm().await.unwrap();
    let pid = function.instance_pids()[0];
    drop(function);
    tokio::time::timeout(DEADLINE, until("the end", || !exists(pid))).await.unwrap();
    drop(guardian);
}
