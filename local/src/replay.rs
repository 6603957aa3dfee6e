//! Sends files of payloads.

use std::path::PathBuf;

use serde::Serialize;

use crate::show;
use local_stack::outcomes::UpdateOutcome;
use local_stack::payloads;
use local_stack::play::{Played, Sent};
use local_stack::{Options, Stack};

/// The outcome of one payload of a file.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The file's path as given on the command line.
    pub file: PathBuf,
    /// The payload's name in the file.
    pub name: String,
    /// The payload's outcome.
    #[serde(flatten)]
    pub played: Played,
}

/// Starts everything, sends all payloads one after the other, reports and stops. Returns whether all were answered
/// with 200.
///
/// # Errors
/// When a file cannot be read or something cannot be started.
pub async fn run(options: &Options, paths: &[PathBuf], json: bool, keep_ids: bool) -> anyhow::Result<bool> {
    let payloads = payloads::read(paths)?;
    let stack = Stack::start(options, terminal::progress).await?;
    let mut fresh_ids = stack.fresh_ids();
    let mut sent = Sent::default();
    let mut accepted = 0;
    let total = payloads.len();
    for mut payload in payloads {
        let replaced = if keep_ids { 0 } else { fresh_ids.replace_used(&mut payload) };
        let played = stack.play_next(&payload.body, &mut sent).await?;
        accepted += usize::from(played.status == 200);
        let report = Report { file: payload.file, name: payload.name, played };
        if json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            report.show(replaced, fresh_ids.reason());
        }
        if report.played.incomplete {
            show::log_since(&stack.logs, report.played.since);
        }
    }
    if !json {
        println!("{accepted} of {total} payloads got 200");
    }
    stack.stop().await?;
    Ok(accepted == total)
}

impl Report {
    /// Prints the report; `replaced` wamids were replaced because of `reason`.
    fn show(&self, replaced: usize, reason: &str) {
        let played = &self.played;
        let name = if self.name.is_empty() { self.file.display().to_string() } else { self.name.clone() };
        let mark = if played.status == 200 { '✓' } else { '✗' };
        println!(
            "{mark} {name}\n    {}  queued {}  replies {}  rows {}  statuses {}  events {}",
            played.status,
            played.queued,
            played.echoes.len(),
            played.rows.len(),
            played.statuses.len(),
            played.events.len()
        );
        for (what, UpdateOutcome { outcome, reason }) in &played.updates {
            let outcome = outcome.replace('_', " ");
            match (outcome.as_str(), reason.as_str()) {
                ("", reason) => println!("    {what}: {reason}"),
                (outcome, "") => println!("    {what}: {outcome}"),
                (outcome, reason) => println!("    {what}: {outcome} ({reason})"),
            }
        }
        for reply in &played.echoes {
            println!("    phone {}: “{}”", reply.to, reply.body.as_deref().unwrap_or_default());
        }
        for row in &played.rows {
            println!("    row {} of {}: “{}”", row.role, row.user_id, row.content);
        }
        // Updates without an outcome.
        let printed: Vec<_> = played.updates.iter().map(|(what, _)| what).collect();
        for ignored in played.ignored.iter().filter(|ignored| !printed.contains(&&ignored.what)) {
            println!("    ignored {}: {}", ignored.what, ignored.why);
        }
        if replaced > 0 {
            println!("    ({replaced} wamids replaced: {reason})");
        }
    }
}
