//! Checks a deployed stack and what it stands on, and says in plain words what is wrong.
//!
//! | module | what it checks |
//! |---|---|
//! | [`settings`] | nothing: which settings there are, and where they come from |
//! | [`webhook`] | `/webhook` and `/messages`: address, verify token, signature |
//! | [`graph`] | Meta's Graph API: version, access token, business number |
//! | [`supabase`] | the project: keys, tables and columns, and that nobody reads without being a user |
//! | [`event`] | the way from the webhook through the queue and `reply` into the database |
//! | [`report`] | nothing: what was found, and how it reads |
//!
//! What it leaves behind: lines in the functions' logs. The signed test POST holds no message, but an event that is
//! named `doctor`: nobody is answered and no person's row is written. Its row in `account_events` is removed again,
//! if the secret key is known. Nothing else is written, and no row of a person's is read.

pub mod event;
pub mod graph;
pub mod report;
pub mod settings;
pub mod supabase;
pub mod webhook;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::Url;

use self::event::TestEvent;
use self::report::{Outcome, Report};
use self::settings::{Settings, Sources};
use crate::show;

/// How long an answer may take: a function that starts takes some of it.
const TIMEOUT: Duration = Duration::from_secs(15);

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
pub async fn run(arguments: &Arguments, env_file: &Path, env_file_is_named: bool) -> anyhow::Result<bool> {
    let Arguments { url, messages_url, secret, json } = arguments;
    let sources = Sources { secrets: secret, env_file, env_file_is_named };
    let environment = |name: &str| std::env::var(name).ok();
    let settings = Settings::read(url.clone(), messages_url.clone(), sources, environment)?;
    show::progress("checking");
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

/// A URL that secrets may be sent to: `https`, or on this machine.
///
/// # Errors
/// Says, as the rest of a sentence, what it is not.
fn safe_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "it is not a URL like https://…".to_owned())?;
    let is_local = match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_local => Ok(url),
        _ => Err("it does not begin with https:// (http:// is for this machine alone)".to_owned()),
    }
}

/// A URL as it may be printed: without a password or a key in it.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path().trim_end_matches('/'))
}

/// Why there is no answer. Never the address: it may hold a secret.
fn no_answer(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if error.is_connect() {
        format!("no connection ({cause})")
    } else {
        format!("the connection broke ({cause})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_to_https_and_to_this_machine_alone() {
        for good in
            ["https://a.example/webhook", "http://127.0.0.1:9/x", "http://localhost/", "http://[::1]:1/"]
        {
            assert!(safe_url(good).is_ok(), "{good}");
        }
        let url = safe_url("https://me:secret@a.example/webhook/?key=secret").expect("a URL");
        assert_eq!(shown(&url), "https://a.example/webhook");
        for bad in
            ["http://a.example/webhook", "ftp://127.0.0.1/", "a.example", "", "http://127.0.0.1.example/"]
        {
            assert!(safe_url(bad).is_err(), "{bad}");
        }
    }
}
