//! Plays files of payloads.

use std::path::PathBuf;

use serde::Serialize;

use crate::payloads;
use crate::play::{Played, Sent};
use crate::show;
use crate::stack::{Options, Stack};

/// What became of one payload of a file.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The file, as it was given.
    pub file: PathBuf,
    /// The payload's name in the file.
    pub name: String,
    /// What became of it.
    #[serde(flatten)]
    pub played: Played,
}

/// Starts everything, plays all payloads one after the other, reports, stops. Whether all were answered
/// with 200.
///
/// # Errors
/// When a file cannot be read or something cannot be started.
pub async fn run(options: &Options, paths: &[PathBuf], json: bool, keep_ids: bool) -> anyhow::Result<bool> {
    let payloads = payloads::read(paths)?;
    let stack = Stack::start(options, show::progress).await?;
    let mut renewal = stack.renewal();
    let mut sent = Sent::default();
    let mut accepted = 0;
    let total = payloads.len();
    for mut payload in payloads {
        let renewed = if keep_ids { 0 } else { renewal.renew(&mut payload) };
        let played = stack.play_next(&payload.body, &mut sent).await?;
        accepted += usize::from(played.status == 200);
        let report = Report { file: payload.file, name: payload.name, played };
        if json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            show::report(&report, renewed, renewal.reason());
        }
        if report.played.incomplete {
            show::log_since(&stack.journal, report.played.since);
        }
    }
    if !json {
        show::total(accepted, total);
    }
    stack.stop().await?;
    Ok(accepted == total)
}
