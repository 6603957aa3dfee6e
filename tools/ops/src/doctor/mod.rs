//! Checks a deployed stack and what it stands on, and says in plain words what is wrong.
//!
//! | module | what it checks |
//! |---|---|
//! | [`settings`] | nothing: which settings there are, and where they come from |
//! | [`webhook`] | `/webhook` and `/messages`: address, verify token, signature |
//! | [`graph`] | Meta's Graph API: version, access token, business number |
//! | [`supabase`] | the project: keys, tables and columns, and that nobody reads without being a user |
//! | [`event`] | the way from the webhook through the queue and `reply` into the database |
//! | `connection` | nothing: where secrets may be sent, and why there is no answer |
//! | [`report`] | nothing: what was found, and how it reads |
//!
//! What it leaves behind: lines in the functions' logs. The signed test POST holds no message, but an event that is
//! named `doctor`: nobody is answered and no person's row is written. Its row in `account_events` is removed again,
//! if the secret key is known. Nothing else is written, and no row of a person's is read.

mod connection;
pub mod event;
pub mod graph;
pub mod report;
pub mod settings;
pub mod supabase;
pub mod webhook;

use std::path::PathBuf;

use clap::Args;

use crate::env_file::EnvFile;

use self::event::TestEvent;
use self::report::{Outcome, Report};
use self::settings::{Settings, Sources};

/// `doctor`: where the stack is, and where its settings are.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The address that Meta posts to: the stack's output WebhookUrl. Unless given, WEBHOOK_URL.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The address of the history: the stack's output MessagesUrl. Unless given, MESSAGES_URL, or `/messages` beside
    /// `/webhook`.
    #[arg(long, value_name = "URL")]
    messages_url: Option<String>,
    /// The JSON object of a Secrets Manager secret: once for that of `webhook`, once for that of `reply`. `-` is
    /// standard input.
    #[arg(long, value_name = "FILE")]
    secret: Vec<PathBuf>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Makes all checks and prints what was found. False when something is wrong.
///
/// # Errors
/// When a file cannot be read, or nothing says what is to be checked.
pub async fn run(arguments: &Arguments, env_file: EnvFile<'_>) -> anyhow::Result<bool> {
    let Arguments { url, messages_url, secret, json } = arguments;
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

/// Makes all checks.
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
    report.append(supabase);
    event.follow(&mut report, database.as_ref()).await;
    Ok(report)
}
