//! Builds the function binaries with the `cargo` that started us.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail, ensure};
use local_process::{Guardian, Signal};
use serde::Deserialize;
use tokio::process::Command;

/// The three binaries.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// Takes what Meta posts.
    pub webhook: PathBuf,
    /// Answers and records.
    pub reply: PathBuf,
    /// Serves the history.
    pub messages: PathBuf,
}

/// Root of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Beginnings of the names of what cargo tells a program that it runs.
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

/// Builds the three functions, as debug or release build like this program itself. What cargo prints goes
/// to standard error. Cargo and the compilers that it has started end with this, or with us if we are killed.
///
/// # Errors
/// When a function does not compile.
pub async fn functions(guardian: &Guardian) -> anyhow::Result<Binaries> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).args(["build", "--message-format", "json-render-diagnostics"]);
    // With `local`, because cargo chooses the features of dependencies by what is built together: alone,
    // the functions would be compiled from the ground up a second time.
    command.args(["-p", "local", "-p", "webhook", "-p", "reply", "-p", "messages", "--bins"]);
    // What the outer cargo says about *this* package would make build scripts run again, and everything
    // after them: they watch these variables.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| PACKAGE_VARIABLES.iter().any(|start| name.starts_with(start))) {
            command.env_remove(name);
        }
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let cargo = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        // Its own group, which its compilers share, so that all of them can be ended together.
        .process_group(0)
        .spawn()
        .context("cargo cannot be started: is it on the PATH?")?;
    let group = guardian.watch_group(cargo.id().context("cargo has no process id")?, Signal::SIGTERM)?;
    let output = cargo.wait_with_output().await?;
    group.release();
    ensure!(output.status.success(), "the functions do not compile: see cargo's messages above");

    let built: Vec<Message> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let binary = |name: &str| {
        let artifact =
            built.iter().find(|message| message.target.name == name && message.executable.is_some());
        match artifact.and_then(|message| message.executable.clone()) {
            Some(path) => Ok(path),
            None => bail!("cargo built no binary named {name}"),
        }
    };
    Ok(Binaries { webhook: binary("webhook")?, reply: binary("reply")?, messages: binary("messages")? })
}

/// What cargo says of each artifact. Source: “External tools”, The Cargo Book.
#[derive(Deserialize)]
struct Message {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}
