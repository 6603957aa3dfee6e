//! Dead letters: what could not be delivered, why, and how it is sent again.
//!
//! Works with any endpoint that speaks SQS: AWS, a running `local`, moto.
//!
//! | module | what it does |
//! |---|---|
//! | [`queue`] | the dead-letter queue: looking without taking |
//! | [`cause`] | what a dead letter is, and why it is one, as far as its body says |
//! | [`reasons`] | why, as the log of `reply` says |
//! | [`redrive`] | back to where they came from |
//! | [`print`](mod@print) | how they read on a terminal |

pub mod cause;
pub mod print;
pub mod queue;
pub mod reasons;
pub mod redrive;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};

use self::queue::DeadLetters;
use self::reasons::Reasons;

/// `dead-letters`: the queue, and what to do with it.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// The dead-letter queue's URL (an output of the stack on AWS; printed by `local`).
    #[arg(long, global = true, value_name = "URL")]
    queue_url: Option<String>,
    /// Another endpoint than AWS's own; unless given, that of a queue URL which is not AWS's.
    #[arg(long, global = true, env = "AWS_ENDPOINT_URL_SQS", value_name = "URL")]
    endpoint_url: Option<String>,
    /// The log of `reply`, from which the last error of each message is read; `-` is standard input.
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
        /// Its message id, or its wamid.
        id: String,
        /// Print phone numbers and what was written too.
        #[arg(long)]
        body: bool,
    },
    /// Send all dead letters back to the queue that they came from, when the cause is repaired.
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
/// When the queue cannot be reached, or is no dead-letter queue.
pub async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let url = arguments.queue_url.as_deref().context("--queue-url is missing: which dead-letter queue?")?;
    let client = queue::client(url, arguments.endpoint_url.as_deref())?;
    let letters = DeadLetters::open(client, url).await?;
    let reasons = arguments.logs.as_deref().map(Reasons::read).transpose()?.unwrap_or_default();
    match &arguments.action {
        None => list(&letters, &reasons, 100).await,
        Some(Action::List { limit }) => list(&letters, &reasons, *limit).await,
        Some(Action::Show { id, body }) => match letters.find(id).await? {
            Some(letter) => {
                print!("{}", print::letter(&letter, &reasons, *body));
                Ok(true)
            }
            None => {
                eprintln!("no dead letter that can be received has this message id or wamid: {id}");
                Ok(false)
            }
        },
        Some(Action::Redrive { one_by_one }) => {
            let redriven = letters.redrive(*one_by_one).await?;
            println!("{} sent again", redriven.moved);
            let remaining = letters.count().await?;
            if remaining > 0 {
                eprintln!("about {remaining} are there now: in flight while the others were moved, or new");
            }
            if let Some(why) = &redriven.left {
                eprintln!("not all: {why}");
            }
            Ok(redriven.left.is_none())
        }
    }
}

async fn list(letters: &DeadLetters, reasons: &Reasons, limit: usize) -> anyhow::Result<bool> {
    let waiting = letters.count().await?;
    let found = letters.look(limit).await?;
    print!("{}", print::table(&found, reasons));
    if waiting > found.len() {
        println!(
            "{} more: behind these in their groups, beyond --limit, or in flight",
            waiting - found.len()
        );
    }
    Ok(true)
}
