//! Stays up for a person to try.

use std::path::{Path, PathBuf};

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
        let env_file = EnvFile::write(&stack.services, &options.env_file)?;
        let demo = demo::play(&stack).await?;
        show::demo(&stack, &demo)?;
        show::next_steps(&stack)?;
        anyhow::Ok((stack, env_file))
    };
    let (stack, _env_file) = tokio::select! {
        started = started => started?,
        _ = &mut told_to_stop => return Ok(()),
    };
    tokio::select! {
        () = stack.journal.follow(Mark::default(), show::log) => {}
        _ = &mut told_to_stop => {}
    }
    show::progress("stopping");
    stack.stop().await
}

/// Starts the services alone, writes the functions' environment for `cargo lambda watch`, and stays up until
/// `told_to_stop`.
///
/// # Errors
/// When something cannot be started or the file cannot be written.
pub async fn services(options: &Options, told_to_stop: impl Future) -> anyhow::Result<()> {
    tokio::pin!(told_to_stop);
    show::progress("starting PostgreSQL, the queue and the Graph API's stand-in");
    let guardian = Guardian::start().context("/bin/sh cannot be started")?;
    let services = tokio::select! {
        services = Services::start(options, &guardian) => services?,
        _ = &mut told_to_stop => return Ok(()),
    };
    let _env_file = EnvFile::write(&services, &options.env_file)?;
    show::services(&services, &options.env_file);
    told_to_stop.await;
    show::progress("stopping");
    services.stop().await
}

/// A file with all variables of all functions, in the form that `cargo lambda watch --env-file` reads. It goes
/// with this, unless another `local` has written its own in its place.
struct EnvFile {
    path: PathBuf,
    content: String,
}

impl EnvFile {
    fn write(services: &Services, path: &Path) -> anyhow::Result<Self> {
        let mut environment = services.webhook_environment();
        environment.extend(services.reply_environment());
        environment.extend(services.messages_environment());
        let lines = environment.into_iter().map(|(name, value)| format!("{name}=\"{value}\"\n"));
        let file = Self { path: path.to_owned(), content: lines.collect() };
        file.save().with_context(|| path.display().to_string())?;
        Ok(file)
    }

    fn save(&self) -> std::io::Result<()> {
        if let Some(directory) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory)?;
        }
        // In one go: whoever waits for the file must not read half of it.
        let partial = self.path.with_extension("partial");
        std::fs::write(&partial, &self.content)?;
        std::fs::rename(&partial, &self.path)
    }
}

impl Drop for EnvFile {
    fn drop(&mut self) {
        if std::fs::read_to_string(&self.path).is_ok_and(|content| content == self.content) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
