//! Checks a deployed stack and the services it uses, and reports errors with their remedies.
//!
//! | module | checks |
//! |---|---|
//! | [`settings`] | nothing: the settings and their sources |
//! | [`webhook`] | `/webhook` and `/messages`: address, verify token, signature |
//! | [`graph`] | Meta's Graph API: version, access token, business number |
//! | `responder` | the settings of the responder |
//! | [`supabase`] | the project: keys, tables, columns, functions of linking, and that anonymous calls are refused |
//! | [`event`] | the pipeline from the webhook through the queue and `reply` to the database |
//! | `connection` | nothing: URLs that may receive secrets, and causes of missing responses |
//! | [`report`] | nothing: the findings and their output |
//!
//! It leaves only lines in the functions' logs. The signed test POST contains no message, but an event named `doctor`:
//! no reply is sent and no user's row is written. Its row in `account_events` is removed again if the secret key is
//! known. Nothing else is written. Rows of a user are read only with the user's own token, `SUPABASE_USER_TOKEN`.

mod connection;
pub mod event;
pub mod graph;
pub mod report;
mod responder;
pub mod settings;
pub mod supabase;
pub mod webhook;

use std::path::PathBuf;

use clap::Args;

use crate::env_file::EnvFile;

use self::event::TestEvent;
use self::report::{Outcome, Report};
use self::settings::{Settings, Sources};

/// `doctor`: the stack's URLs, and the sources of its settings.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// The URL to which Meta posts: the stack's output WebhookUrl. Default: WEBHOOK_URL.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The URL of the history: the stack's output MessagesUrl. Default: MESSAGES_URL, or `/messages` beside
    /// `/webhook`.
    #[arg(long, value_name = "URL")]
    messages_url: Option<String>,
    /// The JSON object of a Secrets Manager secret: once for that of `webhook`, once for that of `reply`. `-` is
    /// standard input.
    #[arg(long, value_name = "FILE")]
    secret: Vec<PathBuf>,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

/// Runs all checks and prints the findings. Returns false if a check failed.
///
/// # Errors
/// When a file cannot be read, or no setting names a stack to check.
pub async fn run(arguments: &DoctorArguments, env_file: EnvFile<'_>) -> anyhow::Result<bool> {
    let DoctorArguments { url, messages_url, secret, json } = arguments;
    let sources = Sources { secrets: secret, env_file };
    let environment = |name: &str| std::env::var(name).ok();
    let settings = Settings::read(url.clone(), messages_url.clone(), sources, environment)?;
    terminal::progress("checking");
    let report = examine(&settings).await?;
    if *json {
        report.print_json()?;
    } else {
        report.print();
    }
    Ok(report.count(Outcome::Wrong) == 0)
}

/// Runs all checks.
///
/// # Errors
/// When TLS cannot be set up.
pub async fn examine(settings: &Settings) -> anyhow::Result<Report> {
    let http = shared::http::client()?;
    let event = TestEvent::new();
    let (webhook, graph, (supabase, database)) = tokio::join!(
        webhook::examine(settings, &event, &http),
        graph::examine(settings, &http),
        supabase::examine(settings, &http),
    );
    let mut report = webhook;
    report.append(graph);
    responder::examine(settings, &mut report);
    report.append(supabase);
    event.check(&mut report, database.as_ref()).await;
    Ok(report)
}
