//! Builds the function binaries with the `cargo` that started this program.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail, ensure};
use local_process::{Guardian, Signal};
use serde::Deserialize;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// The three binaries.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// Receives Meta's webhook requests.
    pub webhook: PathBuf,
    /// Replies and stores both messages.
    pub reply: PathBuf,
    /// Serves the history.
    pub messages: PathBuf,
}

/// Root of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Prefixes of the variables that cargo sets for a program it runs.
/// Source: “Environment Variables”, The Cargo Book.
const PACKAGE_VARIABLES: [&str; 7] = [
    "CARGO_BIN_",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_TARGET_TMPDIR",
    "OUT_DIR",
];

/// Builds the three functions, in the profile of this program: debug or release. Cargo's output goes
/// to standard error. Cargo and its compilers end with this call, or with this process if it is killed.
/// Later calls in the same process return the same binaries.
///
/// # Errors
/// When a function does not compile.
pub async fn functions(guardian: &Guardian) -> anyhow::Result<Binaries> {
    static BUILT: OnceCell<Binaries> = OnceCell::const_new();
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    BUILT.get_or_try_init(|| together(guardian, profile)).await.cloned()
}

/// Builds the three functions as [`functions`] does, with this profile.
///
/// # Errors
/// When a function does not compile.
pub async fn together(guardian: &Guardian, profile: &str) -> anyhow::Result<Binaries> {
    // With `local`, because cargo chooses the features of dependencies by what is built together: alone,
    // the functions would be compiled completely a second time.
    let targets = ["-p", "local", "-p", "webhook", "-p", "reply", "-p", "messages", "--bins"];
    let built = build(guardian, profile, &targets).await?;
    let binary = |name| executable(&built, name);
    Ok(Binaries { webhook: binary("webhook")?, reply: binary("reply")?, messages: binary("messages")? })
}

/// Builds one program separately, as for deployment: dependencies get only the features that it requests.
/// `targets` are cargo's arguments that select it; see [`functions`] for the rest.
///
/// # Errors
/// When it does not compile.
pub async fn alone(
    guardian: &Guardian,
    profile: &str,
    targets: &[&str],
    name: &str,
) -> anyhow::Result<PathBuf> {
    executable(&build(guardian, profile, targets).await?, name)
}

async fn build(guardian: &Guardian, profile: &str, targets: &[&str]) -> anyhow::Result<Vec<Message>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).args(["build", "--message-format", "json-render-diagnostics"]);
    command.args(["--profile", profile]).args(targets);
    // The outer cargo's variables about *this* package would make build scripts, which watch these variables,
    // and everything after them run again.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| PACKAGE_VARIABLES.iter().any(|start| name.starts_with(start))) {
            command.env_remove(name);
        }
    }
    let cargo = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        // A separate process group, shared with its compilers, so that all of them can be ended together.
        .process_group(0)
        .spawn()
        .context("cargo cannot be started: is it on the PATH?")?;
    let group = guardian.watch_group(cargo.id().context("cargo has no process id")?, Signal::SIGTERM)?;
    let output = cargo.wait_with_output().await?;
    group.release();
    ensure!(output.status.success(), "the functions do not compile: see cargo's messages above");
    let lines = output.stdout.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

fn executable(built: &[Message], name: &str) -> anyhow::Result<PathBuf> {
    let artifact = built.iter().find(|message| message.target.name == name && message.executable.is_some());
    match artifact.and_then(|message| message.executable.clone()) {
        Some(path) => Ok(path),
        None => bail!("cargo built no binary named {name}"),
    }
}

/// Cargo's message about an artifact. Source: “External tools”, The Cargo Book.
#[derive(Deserialize)]
struct Message {
    target: BuildTarget,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct BuildTarget {
    name: String,
}
