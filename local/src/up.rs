//! Runs the stack until a signal.

use std::path::Path;

use anyhow::Context;
use local_process::{Guardian, PrivateFile};

use crate::{demo, show};
use local_page::Page;
use local_stack::logs::Mark;
use local_stack::services::Services;
use local_stack::{Options, Stack};
use ops::doctor::settings::{MESSAGES_URL, WEBHOOK_URL};

/// Starts everything, opens the page, sends one sample, prints commands to try, and runs until `stop_signal`.
///
/// # Errors
/// When something cannot be started.
pub async fn run(options: &Options, stop_signal: impl Future) -> anyhow::Result<()> {
    tokio::pin!(stop_signal);
    let started = async {
        let stack = Stack::start(options, terminal::progress).await?;
        let urls = [(WEBHOOK_URL, stack.webhook_url()), (MESSAGES_URL, stack.messages_url())];
        let env_file = write_env_file(&stack.services, &urls, &options.env_file, stack.guardian())?;
        let page = Page::open(&stack)?;
        let demo = demo::play(&stack).await?;
        demo.show(&stack)?;
        show::next_steps(&stack)?;
        anyhow::Ok((stack, page, env_file))
    };
    let (stack, page, _env_file) = tokio::select! {
        started = started => started?,
        _ = &mut stop_signal => return Ok(()),
    };
    tokio::select! {
        () = stack.logs.follow(Mark::default(), show::log) => {}
        _ = &mut stop_signal => {}
    }
    terminal::progress("stopping");
    page.close().await;
    stack.stop().await
}

/// Starts the services alone, writes the functions' environment for `cargo lambda watch`, and runs until
/// `stop_signal`.
///
/// # Errors
/// When something cannot be started or the file cannot be written.
pub async fn services(options: &Options, stop_signal: impl Future) -> anyhow::Result<()> {
    tokio::pin!(stop_signal);
    terminal::progress("starting the database, the queue and the fakes");
    let guardian = Guardian::start().context("/bin/sh cannot be started")?;
    let services = tokio::select! {
        services = Services::start(options, &guardian, terminal::progress) => services?,
        _ = &mut stop_signal => return Ok(()),
    };
    let _env_file = write_env_file(&services, &[], &options.env_file, &guardian)?;
    show::services(&services, &options.env_file);
    stop_signal.await;
    terminal::progress("stopping");
    services.stop().await
}

/// Writes a file with all variables of all functions, in the format of `cargo lambda watch --env-file`, and with the
/// functions' addresses. The file may contain the keys of a real AWS account: it is readable only by the current user,
/// and removed with the result or at the end of the process.
fn write_env_file(
    services: &Services,
    urls: &[(&str, String)],
    path: &Path,
    guardian: &Guardian,
) -> anyhow::Result<PrivateFile> {
    let mut environment = services.webhook_environment();
    environment.extend(services.reply_environment());
    environment.extend(services.messages_environment());
    environment.extend(urls.iter().map(|(name, url)| ((*name).to_owned(), url.clone())));
    // Escaped as cargo-lambda reads it: https://docs.rs/env-file-reader/0.3.0
    let escaped = |value: String| value.replace('"', "\\\"").replace('\n', "\\n");
    let line = |(name, value)| format!("{name}=\"{}\"\n", escaped(value));
    let lines: String = environment.into_iter().map(line).collect();
    let write = || {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        guardian.private_file(path, lines.as_bytes())
    };
    write().with_context(|| path.display().to_string())
}
