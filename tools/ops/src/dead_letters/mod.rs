//! Dead letters: listing them with their causes, and redriving them.
//!
//! Works with any endpoint compatible with SQS: AWS, a running `local`, moto.
//!
//! | module | contents |
//! |---|---|
//! | [`find`] | the default queues |
//! | [`queue`] | the dead-letter queue: reading without removing |
//! | [`cause`] | kind and cause of a dead letter, derived from its body |
//! | [`reasons`] | causes from the log of `reply` |
//! | [`redrive`] | redriving to the source queues |
//! | [`print`](mod@print) | output for a terminal |

pub mod cause;
pub mod find;
pub mod print;
pub mod queue;
pub mod reasons;
pub mod redrive;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::env_file::EnvFile;

use self::queue::DeadLetters;
use self::reasons::Reasons;

/// `dead-letters`: the queues, and the action.
#[derive(Debug, Args)]
pub struct DeadLetterArguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// A dead-letter queue's URL, on AWS an output of the stack. Default: both queues of
    /// INBOUND_DEAD_LETTERS_URL and RECORD_DEAD_LETTERS_URL, or those of the running `local`.
    #[arg(long, global = true, value_name = "URL")]
    queue_url: Option<String>,
    /// Another endpoint than AWS. Default: the origin of a queue URL that is not one of AWS.
    #[arg(long, global = true, env = "AWS_ENDPOINT_URL_SQS", value_name = "URL")]
    endpoint_url: Option<String>,
    /// The log of `reply`, with the last error of each message that SQS itself has moved; `-` is
    /// standard input.
    #[arg(long, global = true, value_name = "FILE")]
    logs: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print a table of the dead letters, with the cause of each. The default command.
    List {
        /// The maximum number of dead letters.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Print one dead letter in full, personal data masked.
    Show {
        /// Its message id, or its wamid, complete or shortened as in the log.
        id: String,
        /// Also print phone numbers and message texts.
        #[arg(long)]
        body: bool,
    },
    /// Send all dead letters back to their source queues, after the cause is repaired.
    Redrive {
        /// Receive, send and delete each message, instead of starting a move task of SQS. The default where the
        /// endpoint has no move tasks.
        #[arg(long)]
        one_by_one: bool,
    },
}

/// Runs the action. Returns false if the requested dead letter was not found, or some were not redriven.
///
/// # Errors
/// When a queue cannot be found or reached, or is not a dead-letter queue.
pub async fn run(arguments: &DeadLetterArguments, env_file: EnvFile<'_>) -> anyhow::Result<bool> {
    let urls = match &arguments.queue_url {
        Some(url) => vec![url.clone()],
        None => find::both(env_file.path())?.to_vec(),
    };
    let mut queues = Vec::new();
    for url in &urls {
        let client = queue::client(url, arguments.endpoint_url.as_deref())?;
        queues.push(DeadLetters::open(client, url).await?);
    }
    let reasons = arguments.logs.as_deref().map(Reasons::read).transpose()?.unwrap_or_default();
    match arguments.action.as_ref().unwrap_or(&Action::List { limit: 100 }) {
        Action::List { limit } => {
            for letters in &queues {
                list(letters, &reasons, *limit).await?;
            }
            Ok(true)
        }
        Action::Show { id, body } => show(&queues, &reasons, id, *body).await,
        Action::Redrive { one_by_one } => {
            let mut all = true;
            for letters in &queues {
                all &= redrive(letters, *one_by_one).await?;
            }
            Ok(all)
        }
    }
}

async fn list(letters: &DeadLetters, reasons: &Reasons, limit: usize) -> anyhow::Result<()> {
    let waiting = letters.count().await?;
    let found = letters.look(limit).await?;
    println!("{}: {waiting} dead letters", letters.name());
    if !found.is_empty() {
        print!("{}", print::table(&found, reasons));
    }
    if waiting > found.len() {
        println!(
            "{} more: behind these in their groups, beyond --limit, or in flight",
            waiting - found.len()
        );
    }
    Ok(())
}

async fn show(queues: &[DeadLetters], reasons: &Reasons, id: &str, body: bool) -> anyhow::Result<bool> {
    for letters in queues {
        if let Some(letter) = letters.find(id).await? {
            print!("{}", print::letter(&letter, reasons, body));
            return Ok(true);
        }
    }
    eprintln!("no available dead letter has this message id or wamid: {id}");
    Ok(false)
}

async fn redrive(letters: &DeadLetters, one_by_one: bool) -> anyhow::Result<bool> {
    let redriven = letters.redrive(one_by_one).await?;
    println!("{}: {} redriven", letters.name(), redriven.moved);
    let remaining = letters.count().await?;
    if remaining > 0 {
        eprintln!("about {remaining} remain: in flight during the redrive, or new");
    }
    if let Some(reason) = &redriven.left {
        eprintln!("not all were redriven: {reason}");
    }
    Ok(redriven.left.is_none())
}
