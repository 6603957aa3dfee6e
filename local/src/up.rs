//! Stays up for a person to try.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use local_process::Guardian;

use crate::journal::Mark;
use crate::services::Services;
use crate::stack::{Options, Stack};
use crate::{demo, show};

/// Starts everything, plays one sample, says what to try next, and stays up until `told_to_stop`.
///
/// # Errors
/// When something cannot be started.
pub async fn run(options: &Options, told_to_stop: impl Future) -> anyhow::Result<()> {
    tokio::pin!(told_to_stop);
    let started = async {
        let stack = Stack::start(options, show::progress).await?;
        let demo = demo::play(&stack).await?;
        show::demo(&stack, &demo)?;
        show::next_steps(&stack)?;
        anyhow::Ok(stack)
    };
    let stack = tokio::select! {
        stack = started => stack?,
        _ = &mut told_to_stop => return Ok(()),
    };
    tokio::select! {
        () = stack.journal.follow(Mark::default(), show::log) => {}
        _ = &mut told_to_stop => {}
    }
    show::progress("stopping");
    stack.stop().await
}

/// Starts the services alone, writes the functions' environment to `env_file` for `cargo lambda watch`, and
/// stays up until `told_to_stop`.
///
/// # Errors
/// When something cannot be started or the file cannot be written.
pub async fn services(options: &Options, env_file: &Path, told_to_stop: impl Future) -> anyhow::Result<()> {
    tokio::pin!(told_to_stop);
    show::progress("starting PostgreSQL, the queue and the Graph API's stand-in");
    let guardian = Guardian::start().context("/bin/sh cannot be started")?;
    let services = tokio::select! {
        services = Services::start(options, &guardian) => services?,
        _ = &mut told_to_stop => return Ok(()),
    };
    write_environment(&services, env_file).with_context(|| env_file.display().to_string())?;
    show::services(&services, env_file);
    told_to_stop.await;
    show::progress("stopping");
    services.stop().await
}

/// All variables of all functions, in the form that `cargo lambda watch --env-file` reads.
fn write_environment(services: &Services, env_file: &Path) -> anyhow::Result<()> {
    let mut environment = services.webhook_environment();
    environment.extend(services.reply_environment());
    environment.extend(services.messages_environment());
    // In one go: whoever waits for the file must not read half of it.
    let directory =
        env_file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let partial = env_file.with_extension("partial");
    let mut file = std::fs::File::create(&partial)?;
    for (name, value) in environment {
        writeln!(file, "{name}=\"{value}\"")?;
    }
    drop(file);
    std::fs::rename(&partial, env_file)?;
    Ok(())
}
