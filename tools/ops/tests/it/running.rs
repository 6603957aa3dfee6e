//! The commands find the running `local`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use local_process::{Guardian, Signal};
use local_stack::{Options, compile};
use local_testing::until;
use ops::doctor::settings::{MESSAGES_URL, WEBHOOK_URL};
use ops::env_file;
use serde_json::Value;
use tokio::process::Command;

/// Returns the command `ops` without variables that would change its behaviour.
fn ops(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ops"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("WHATSAPP_") || name.starts_with("SUPABASE_"))
    {
        command.env_remove(name);
    }
    command.env_remove(WEBHOOK_URL).env_remove(MESSAGES_URL).env_remove("AWS_ENDPOINT_URL_SQS");
    command.env_remove("INBOUND_DEAD_LETTERS_URL").env_remove("RECORD_DEAD_LETTERS_URL");
    command
}

/// Builds the program `local` together with the functions.
async fn local() -> PathBuf {
    let guardian = Guardian::start().expect("a shell");
    let binaries = compile::functions(&guardian).await.expect("it compiles");
    binaries.webhook.with_file_name("local")
}

#[test]
fn the_default_file_is_that_of_local() {
    assert_eq!(Options::default().env_file, Path::new(env_file::OF_LOCAL));
}

#[tokio::test]
async fn the_command_finds_local_and_fails_if_a_check_is_wrong() {
    let directory = tempfile::tempdir().expect("a directory");
    let env_file = directory.path().join("local.env");
    let file = env_file.to_str().expect("UTF-8");
    let output = ops(&["doctor"]).current_dir(directory.path()).output().await.expect("it ends");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("give --url"), "{output:?}");

    let mut running = Command::new(local().await);
    let running = running.args(["--env-file", file]).stdin(Stdio::null()).kill_on_drop(true);
    let mut running = running.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    until("local is up", async || env_file.exists()).await;

    let output = ops(&["doctor", "--env-file", file]).output().await.expect("it ends");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("✓ webhook url") && said.contains("26 right, 0 wrong, 1 not checked"), "{said}");

    // The default file of `local` is found without an option.
    std::fs::create_dir(directory.path().join("target")).expect("a directory");
    std::fs::copy(&env_file, directory.path().join("target/local.env")).expect("copied");
    let output = ops(&["doctor"]).current_dir(directory.path()).output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    let json = ["doctor", "--json", "--env-file", file, "--url", "http://127.0.0.1:9/webhook"];
    let output = ops(&json).output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 27);
    assert_eq!((&lines[0]["check"], &lines[0]["outcome"]), (&"webhook_url".into(), &"wrong".into()));

    let secret = directory.path().join("secret.json");
    std::fs::write(&secret, r#"{"WHATSAPP_APP_SECRET": "another-app-secret"}"#).expect("written");
    let other = directory.path().join("other.json");
    std::fs::write(&other, r#"{"WHATSAPP_ACCESS_TOKEN": "another-access-token"}"#).expect("written");
    let [secret, other] = [&secret, &other].map(|path| path.to_str().expect("UTF-8"));
    let with_secret = ["doctor", "--env-file", file, "--secret", secret, "--secret", other];
    let output = ops(&with_secret).output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(said.contains("✗ signature") && said.contains("✗ access token"), "{said}");
    assert!(!said.contains("another-app-secret") && !said.contains("another-access-token"), "{said}");

    let dead_letters = ["dead-letters", "--env-file", file];
    let output = ops(&dead_letters).output().await.expect("it ends");
    assert!(output.status.success());
    let none = "inbound-dead-letters.fifo: 0 dead letters\nrecords-dead-letters: 0 dead letters\n";
    assert_eq!(String::from_utf8(output.stdout).expect("UTF-8"), none);

    let pid = running.id().expect("running");
    local_process::signal(pid, Signal::SIGTERM).expect("signalled");
    running.wait().await.expect("it ends");
    let output = ops(&dead_letters).output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--queue-url"), "{output:?}");
}
