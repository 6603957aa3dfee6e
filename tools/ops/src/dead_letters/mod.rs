//! Dead letters: what could not be delivered, why, and how it is sent again.
//!
//! Works with any endpoint that speaks SQS: AWS, a running `local`, moto.
//!
//! | module | what it does |
//! |---|---|
//! | [`find`] | which queues are meant |
//! | [`queue`] | the dead-letter queue: looking without taking |
//! | [`cause`] | what a dead letter is, and why it is one, as far as its body says |
//! | [`reasons`] | why, as the log of `reply` says |
//! | [`redrive`] | back to where they came from |
//! | [`print`](mod@print) | how they read on a terminal |

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

/// `dead-letters`: the queues, and what to do with them.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// A dead-letter queue's URL, on AWS an output of the stack. Unless given: both queues that
    /// INBOUND_DEAD_LETTERS_URL and RECORD_DEAD_LETTERS_URL name, or those of the `local` that is running.
    #[arg(long, global = true, value_name = "URL")]
    queue_url: Option<String>,
    /// Another endpoint than AWS's own; unless given, that of a queue URL which is not AWS's.
    #[arg(long, global = true, env = "AWS_ENDPOINT_URL_SQS", value_name = "URL")]
    endpoint_url: Option<String>,
    /// The log of `reply`, from which the last error of each message is read that SQS itself has moved; `-` is
    /// standard input.
    #[arg(long, global = true, value_name = "FILE")]
    logs: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print a table of the dead letters, with the cause of each. This is what happens without a command.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Print one dead letter in full, personal data masked.
    Show {
        /// Its message id, or its wamid, whole or as the log has it.
        id: String,
        /// Print phone numbers and what was written too.
        #[arg(long)]
        body: bool,
    },
    /// Send all dead letters back to the queues that they came from, when the cause is repaired.
    Redrive {
        /// Receive, send and delete each, instead of a move task of SQS's. Happens by itself where the
        /// endpoint has no move tasks.
        #[arg(long)]
        one_by_one: bool,
    },
}

/// Does what was asked. False when the dead letter to be shown is not there, or some were not sent again.
///
/// # Errors
/// When a queue cannot be found or reached, or is no dead-letter queue.
pub async fn run(arguments: &Arguments, env_file: EnvFile<'_>) -> anyhow::Result<bool> {
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
    eprintln!("no dead letter that can be received has this message id or wamid: {id}");
    Ok(false)
}

async fn redrive(letters: &DeadLetters, one_by_one: bool) -> anyhow::Result<bool> {
    let redriven = letters.redrive(one_by_one).await?;
    println!("{}: {} sent again", letters.name(), redriven.moved);
    let remaining = letters.count().await?;
    if remaining > 0 {
        eprintln!("about {remaining} are there now: in flight while the others were moved, or new");
    }
    if let Some(why) = &redriven.left {
        eprintln!("not all: {why}");
    }
    Ok(redriven.left.is_none())
}
