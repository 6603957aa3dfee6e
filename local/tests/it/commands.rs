//! The commands, called as by a user or a script, and that they leave nothing behind, however they end.

use std::collections::BTreeSet;
#[cfg(target_os = "linux")]
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use local_process::Signal;
use local_supabase::{USER_A, USER_B};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use local_testing::{PHONE_A, PHONE_B, payload, text, until};

fn local(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Returns the command with the default actions of the terminating signals: `local` respects ignored signals, and the
/// tests may run under `nohup` or in the background of a script.
#[cfg(target_os = "linux")]
fn local_that_signals_end(arguments: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,TERM,HUP", env!("CARGO_BIN_EXE_local")]).args(arguments);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs the command to its end. Standard error is captured for the test's failure message.
pub(crate) async fn output(arguments: &[&str]) -> Output {
    let mut command = local(arguments);
    let output = tokio::time::timeout(Duration::from_secs(300), command.stderr(Stdio::inherit()).output());
    output.await.expect("it ends").expect("it starts")
}

fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[tokio::test]
async fn demo_prints_one_json_object_and_succeeds() {
    let output = output(&["demo", "--json"]).await;
    assert!(output.status.success());
    let demo: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let keys: BTreeSet<_> = demo.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["accepted", "echoes", "history", "rows"]));
    let question = "Does it come in another color?";
    let wamid = "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=";
    assert_eq!(demo["accepted"], true);
    assert_eq!(demo["echoes"], json!([{"to": format!("+{PHONE_A}"), "body": question, "quotes": wamid}]));
    let row = |role| json!({"role": role, "content": question, "user_id": USER_A});
    assert_eq!(demo["rows"], json!([row("user"), row("assistant")]));
    assert_eq!(demo["history"][USER_A.to_string()].as_array().map(Vec::len), Some(2));
    assert_eq!(demo["history"][USER_B.to_string()], json!([]));
}

#[tokio::test]
async fn replay_prints_outcomes_and_reasons_as_json_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    let write =
        |name: &str, content: &[u8]| std::fs::write(directory.path().join(name), content).expect("a file");
    let again = payload(&[text(PHONE_A, "wamid.same", "hi"), text("4915112345678", "wamid.other", "hello")]);
    write("1.json", &again);
    write("2.json", &again);
    write("3.json", b"not JSON");
    let image = json!({"from": PHONE_B, "id": "wamid.image", "type": "image", "image": {"id": "1"}});
    let status = json!({"entry": [{"changes": [{"field": "messages", "value": {"statuses": [{"id": "wamid.sent", "status": "read"}]}}]}]});
    let named = json!({"an image": serde_json::from_slice::<Value>(&payload(&[image])).expect("JSON"), "read": status});
    write("4.json", named.to_string().as_bytes());

    let output = output(&["replay", "--json", directory.path().to_str().expect("UTF-8")]).await;
    assert!(output.status.success());
    let lines: Vec<Value> =
        text_of(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let summary: Vec<_> = lines
        .iter()
        .map(|line| {
            let file = line["file"].as_str().and_then(|file| file.rsplit('/').next()).expect("a file");
            let length = |name: &str| line[name].as_array().map_or(0, Vec::len);
            let name = line["name"].as_str().expect("a name");
            (
                file,
                name,
                line["status"].as_u64(),
                line["queued"].as_u64(),
                length("echoes"),
                length("rows"),
                length("ignored"),
            )
        })
        .collect();
    let expected = [
        ("1.json", "", Some(200), Some(2), 2, 2, 1),
        ("2.json", "", Some(200), Some(2), 1, 2, 1),
        ("3.json", "", Some(200), Some(0), 0, 0, 0),
        ("4.json", "an image", Some(200), Some(1), 0, 1, 0),
        ("4.json", "read", Some(200), Some(0), 0, 0, 0),
    ];
    assert_eq!(summary, expected);
    let why = |line: usize| lines[line]["ignored"][0]["why"].as_str().expect("a reason").to_owned();
    assert_eq!(why(0), "registration sent: its sender is unlinked");
    assert!(why(1).starts_with("ignored: its sender is unlinked and was sent"), "{}", why(1));
    assert_eq!(lines[2]["events"], json!([{"field": "unreadable", "outcome": "stored"}]));
    assert_eq!(lines[4]["statuses"], json!([{"wamid": "wamid.sent", "status": "read", "outcome": "stored"}]));
}

#[tokio::test]
async fn a_closed_pipe_ends_the_command_without_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("1.json"), "not JSON").expect("a file");
    let mut command = local(&["replay", "--json", directory.path().to_str().expect("UTF-8")]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let output = tokio::time::timeout(Duration::from_secs(300), child.wait_with_output());
    let output = output.await.expect("it ends").expect("a status");
    let said = text_of(&output.stderr);
    assert_eq!(output.status.code(), Some(141), "{said}");
    assert!(!said.contains("panicked") && !said.contains("error"), "{said}");
}

#[tokio::test]
async fn an_older_queue_accepts_the_samples_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let env_file = directory.path().join("local.env");
    let mut services = local(&["services", "--env-file", env_file.to_str().expect("UTF-8")]);
    let mut services = services.stdout(Stdio::null()).spawn().expect("it starts");
    until("the services are up", async || env_file.exists()).await;
    let environment = std::fs::read_to_string(&env_file).expect("readable");
    let endpoint = environment.lines().find_map(|line| line.strip_prefix("AWS_ENDPOINT_URL_SQS="));
    let endpoint = endpoint.expect("an endpoint").trim_matches('"');

    let file = directory.path().join("1.json");
    std::fs::write(&file, payload(&[text(PHONE_A, "wamid.1", "hi")])).expect("a file");
    let replay = ["replay", "--json", file.to_str().expect("UTF-8"), "--sqs-endpoint", endpoint];
    for _ in 0..2 {
        assert!(output(&["demo", "--json", "--sqs-endpoint", endpoint]).await.status.success());
        let output = output(&replay).await;
        let played: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert_eq!((&played["queued"], &played["ignored"]), (&json!(1), &json!([])));
        assert_eq!(played["echoes"].as_array().map(Vec::len), Some(1));
    }
    stop(&mut services, Signal::SIGTERM).await;
}

#[tokio::test]
async fn an_unreadable_path_is_named_in_the_error() {
    let output = local(&["replay", "does-not-exist.json"]).output().await.expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(text_of(&output.stderr).contains("does-not-exist.json"), "{}", text_of(&output.stderr));
}

#[tokio::test]
async fn empty_variables_are_unset_and_invalid_ones_are_named() {
    let missing = ["replay", "does-not-exist.json"];
    let run = async |name: &str, value: &str| {
        let output = local(&missing).env(name, value).output().await.expect("it starts");
        (output.status.code(), text_of(&output.stderr).to_owned())
    };
    for name in ["LOCAL_PORT", "LOCAL_SQS_ENDPOINT"] {
        let (code, said) = run(name, "").await;
        assert!(code == Some(1) && said.contains("does-not-exist.json"), "{said}");
    }
    for (name, value) in
        [("LOCAL_PORT", "many"), ("LOCAL_SQS_ENDPOINT", "127.0.0.1:5000"), ("LOCAL_SQS_ENDPOINT", "ftp://a")]
    {
        let (code, said) = run(name, value).await;
        assert!(code == Some(2) && said.contains(value) && said.contains("--"), "{said}");
    }
}

#[tokio::test]
async fn options_of_the_responder_that_do_not_fit_are_named() {
    let url = ["--llm-url", "http://127.0.0.1:11434/v1"];
    for (arguments, code, expected) in [
        (&["demo", url[0], url[1]][..], 1, "--llm-url needs --llm-model"),
        (&["services", "--llm-model", "llama"], 1, "--llm-model needs --llm-url"),
        (&["demo", "--link", "--responder", "llm"], 1, "demo --link compares replies"),
        (&["load", "--llm-model", "llama", url[0], url[1]], 1, "needs --responder echo"),
        (&["demo", "--responder", "human"], 2, "[possible values: echo, llm, silent]"),
        (&["demo", "--llm-url", "127.0.0.1:11434"], 2, "not a URL"),
        (&["demo", "--reply-env", "LLM_HISTORY"], 2, "not like NAME=VALUE"),
    ] {
        let output = local(arguments).output().await.expect("it starts");
        let said = text_of(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(expected), "{arguments:?}: {said}");
    }
}

/// Starts the program without a command, and waits until it prints that it is running.
async fn running(
    local: impl Fn(&[&str]) -> Command,
    env_file: &Path,
) -> (Child, Lines<BufReader<ChildStdout>>, Vec<String>) {
    let mut command = local(&["--env-file", env_file.to_str().expect("UTF-8")]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut printed = Vec::new();
    let ready = async {
        while let Some(line) = lines.next_line().await.expect("readable") {
            printed.push(line);
            if printed.last().is_some_and(|line| line.ends_with("/received") && line.contains("curl")) {
                return;
            }
        }
        panic!("it ended: {printed:#?}");
    };
    tokio::time::timeout(Duration::from_secs(300), ready).await.expect("it gets ready");
    (child, lines, printed)
}

/// Returns the value printed after `label`.
fn printed<'p>(lines: &'p [String], label: &str) -> &'p str {
    let line = lines.iter().find_map(|line| line.trim().strip_prefix(label));
    line.unwrap_or_else(|| panic!("no {label} in {lines:#?}")).trim()
}

#[tokio::test]
async fn the_printed_commands_work_while_local_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let env_file = directory.path().join("local.env");
    let (mut child, _lines, lines) = running(local, &env_file).await;
    let token = printed(&lines, "A=");
    let history = printed(&lines, "history   http");
    let url = format!("http{history}");
    let client = shared::http::client().expect("a client");
    let answer = client.get(&url).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<Vec<Value>>().await.expect("an array").len(), 2);

    // The printed commands, in a shell.
    let script: Vec<&str> = lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| line.starts_with("BODY=") || line.starts_with("curl"))
        .collect();
    assert_eq!(script.len(), 5, "{script:#?}");
    let message = script.iter().find(|line| line.starts_with("BODY=")).expect("a message");
    let sh = async |script: &str| Command::new("sh").args(["-ec", script]).output().await.expect("sh starts");
    let body = format!("{message}; printf %s \"$BODY\"");
    assert_ne!(sh(&body).await.stdout, sh(&body).await.stdout, "no duplicate of the first");
    let output = sh(&script.join(" && echo && \n")).await;
    let said = text_of(&output.stdout);
    assert!(output.status.success(), "{said}{}", text_of(&output.stderr));
    assert!(said.contains("1158201444") && said.contains(r#"{"status":"ok"}"#), "{said}");
    until("the message that the commands sent is in the history", async || {
        let answer = client.get(&url).bearer_auth(token).send().await.expect("an answer");
        answer.text().await.expect("a body").contains("Hello again")
    })
    .await;
    stop(&mut child, Signal::SIGTERM).await;
    assert!(!env_file.exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nothing_is_left_after_any_signal() {
    let directory = tempfile::tempdir().expect("a directory");
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGKILL] {
        let env_file = directory.path().join("local.env");
        let (mut child, _lines, _) = running(local_that_signals_end, &env_file).await;
        let mode = std::fs::metadata(&env_file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it may hold keys");
        let family = descendants(child.id().expect("a process"));
        let names: Vec<String> = family.iter().filter_map(|pid| name(*pid)).collect();
        for expected in ["webhook", "reply", "messages", "postgres", "sh"] {
            assert!(names.iter().any(|name| name == expected), "{expected} is not in {names:?}");
        }
        let clean = stop(&mut child, signal).await;
        assert_eq!(clean, signal != Signal::SIGKILL, "{signal}");
        until(&format!("nothing is left after {signal}"), async || {
            family.iter().all(|pid| name(*pid).is_none()) && !env_file.exists()
        })
        .await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nothing_is_left_after_a_signal_during_the_build() {
    let directory = tempfile::tempdir().expect("a directory");
    let cargo = directory.path().join("cargo");
    std::fs::write(&cargo, "#!/bin/sh\nsleep 600 & sleep 600 & wait\n").expect("a file");
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o700)).expect("executable");
    for (signal, code) in [
        (Signal::SIGINT, Some(130)),
        (Signal::SIGTERM, Some(143)),
        (Signal::SIGHUP, Some(129)),
        (Signal::SIGKILL, None),
    ] {
        let mut command = local_that_signals_end(&["demo"]);
        let mut child = command.env("CARGO", &cargo).stderr(Stdio::null()).spawn().expect("it starts");
        let pid = child.id().expect("a process");
        // The guardian's shell, cargo and the two compilers.
        until("the build is running", async || {
            descendants(pid).into_iter().filter_map(name).filter(|name| name == "sleep").count() == 2
        })
        .await;
        let family = descendants(pid);
        assert_eq!(family.len(), 4);
        local_process::signal(pid, signal).expect("ours");
        let ended = tokio::time::timeout(Duration::from_secs(60), child.wait()).await.expect("it ends");
        assert_eq!(ended.expect("a status").code(), code, "{signal}");
        until(&format!("nothing is left after {signal}"), async || {
            family.iter().all(|pid| name(*pid).is_none())
        })
        .await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn sighup_is_ignored_under_nohup() {
    let directory = tempfile::tempdir().expect("a directory");
    let cargo = directory.path().join("cargo");
    std::fs::write(&cargo, "#!/bin/sh\nexec sleep 600\n").expect("a file");
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o700)).expect("executable");
    let mut child = Command::new("nohup")
        .args([env!("CARGO_BIN_EXE_local"), "demo"])
        .env("CARGO", &cargo)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let pid = child.id().expect("a process");
    until("the build is running", async || {
        descendants(pid).into_iter().filter_map(name).any(|name| name == "sleep")
    })
    .await;
    local_process::signal(pid, Signal::SIGHUP).expect("ours");
    // The second signal ends the program.
    local_process::signal(pid, Signal::SIGTERM).expect("ours");
    let ended = tokio::time::timeout(Duration::from_secs(60), child.wait()).await.expect("it ends");
    assert_eq!(ended.expect("a status").code(), Some(143));
}

/// Sends the signal and waits for the end; returns whether the exit status was 0.
async fn stop(child: &mut Child, signal: Signal) -> bool {
    local_process::signal(child.id().expect("a process"), signal).expect("ours");
    tokio::time::timeout(Duration::from_secs(60), child.wait())
        .await
        .expect("it ends")
        .expect("a status")
        .success()
}

/// Returns all descendants of `pid`.
#[cfg(target_os = "linux")]
fn descendants(pid: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("a process table").filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent: u32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        Some((pid, parent))
    });
    let processes: Vec<(u32, u32)> = processes.collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(processes.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// Returns the program of the process, unless it has ended.
#[cfg(target_os = "linux")]
fn name(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    (!rest.trim_start().starts_with('Z')).then(|| name.to_owned())
}
