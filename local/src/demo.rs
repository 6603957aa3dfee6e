//! Sends one sample and checks every step.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::histories::Histories;
use crate::show;
use local_stack::payloads::Payload;
use local_stack::play::{Played, Reply, Row};
use local_stack::responder::Responder;
use local_stack::{Options, Stack};

/// Meta's samples; see `local/samples/README.md`.
const SAMPLES: &str = include_str!("../samples/meta-webhook-examples.json");
/// The name of the sample that is sent.
const SAMPLE: &str = "Text Message";

/// The outcome of the sample.
#[derive(Debug, Serialize)]
pub struct Demo {
    /// Whether the webhook returned 200 and the queue accepted the message.
    pub accepted: bool,
    /// The replies that the phone received.
    pub echoes: Vec<Reply>,
    /// The rows in the database.
    pub rows: Vec<Row>,
    /// `GET /messages` for each user, without earlier messages.
    pub history: BTreeMap<Uuid, Vec<Value>>,
    /// The differences from the expected outcome.
    #[serde(skip)]
    pub differences: Vec<String>,
    /// The complete outcome, for display.
    #[serde(skip)]
    pub played: Played,
    /// The user's message and its wamid.
    #[serde(skip)]
    pub question: (String, String),
}

/// Starts everything, sends the sample, shows the outcome and stops. Returns whether every step was as expected.
///
/// # Errors
/// When something cannot be started.
pub async fn run(options: &Options, json: bool) -> anyhow::Result<bool> {
    let stack = Stack::start(options, terminal::progress).await?;
    let demo = play(&stack).await?;
    if json {
        println!("{}", serde_json::to_string(&demo)?);
    } else {
        demo.show(&stack)?;
    }
    show::differences(&stack.logs, demo.played.since, &demo.differences);
    stack.stop().await?;
    Ok(demo.differences.is_empty())
}

/// Sends the sample to a running stack.
///
/// # Errors
/// When the gateway or the database cannot be reached.
pub async fn play(stack: &Stack) -> anyhow::Result<Demo> {
    let samples: Value = serde_json::from_str(SAMPLES)?;
    let body = samples.get(SAMPLE).context("the sample is missing")?.to_string().into_bytes();
    let mut sample = Payload { file: PathBuf::new(), name: SAMPLE.to_owned(), body };
    stack.fresh_ids().replace_used(&mut sample);
    let body = sample.body;
    let sample: Value = serde_json::from_slice(&body)?;
    let message = &sample["entry"][0]["changes"][0]["value"]["messages"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let question = (text(&message["text"]["body"]), text(&message["id"]));

    let users = stack.users()?;
    let histories = Histories::begin(stack).await?;
    let played = stack.play(&body).await?;
    let history = histories.read(stack).await?;
    let responder = stack.services.responder;
    let differences = differences(&played, &history, &users, &question, &text(&message["from"]), responder);
    Ok(Demo {
        accepted: played.status == 200 && played.queued == 1,
        echoes: played.echoes.clone(),
        rows: played.rows.clone(),
        history,
        differences,
        played,
        question,
    })
}

impl Demo {
    /// Prints the sample's steps through the pipeline.
    ///
    /// # Errors
    /// When a token cannot be signed.
    pub fn show(&self, stack: &Stack) -> anyhow::Result<()> {
        let (question, wamid) = &self.question;
        println!("\nA user writes “{question}”. Meta posts the message to the webhook:");
        println!(
            "  webhook   {} {}",
            self.played.status,
            if self.accepted { "accepted" } else { "not accepted" }
        );
        println!("  queue     {} message, taken by reply", self.played.queued);
        for reply in &self.echoes {
            let body = reply.body.as_deref().unwrap_or_default();
            println!("  phone     {} receives “{body}”", reply.to);
            println!("            in reply to {}", reply.quotes.as_deref().unwrap_or("nothing"));
        }
        for row in &self.rows {
            println!("  database  {:<9} “{}”  (user {})", row.role, row.content, row.user_id);
        }
        show::histories(stack, &self.history)?;
        for ignored in &self.played.ignored {
            println!("  ignored   {}: {}", ignored.what, ignored.why);
        }
        println!("  ({wamid})");
        Ok(())
    }
}

fn differences(
    played: &Played,
    history: &BTreeMap<Uuid, Vec<Value>>,
    users: &[(Uuid, String); 2],
    (question, wamid): &(String, String),
    sender: &str,
    responder: Responder,
) -> Vec<String> {
    let [(owner, _), (other, _)] = users;
    let is_reply = |reply: &Reply| {
        reply.to.trim_start_matches('+') == sender
            && responder.may_answer(question, reply.body.as_deref())
            && reply.quotes.as_ref() == Some(wamid)
    };
    let replied = match played.echoes.as_slice() {
        [] => responder.may_answer(question, None),
        [one] => is_reply(one),
        _ => false,
    };
    let reply = played.echoes.first().and_then(|reply| reply.body.as_deref());
    let said = [("user", Some(question.as_str())), ("assistant", reply)];
    let said: Vec<_> = said.into_iter().filter_map(|(role, content)| Some((role, content?))).collect();
    let owned = played.rows.iter().filter(|row| row.user_id == *owner);
    let has_rows = owned.map(|row| (&*row.role, &*row.content)).eq(said.iter().copied())
        && played.rows.len() == said.len();
    let entries = |user: &Uuid| history.get(user).map_or(0, Vec::len);
    let roles = |user: &Uuid| {
        let entries = history.get(user).into_iter().flatten();
        entries.filter_map(|entry| entry["role"].as_str()).collect::<Vec<_>>()
    };
    [
        (played.status == 200, format!("the webhook returned {}", played.status)),
        (played.queued == 1, format!("{} messages were queued", played.queued)),
        (replied, "the phone did not get exactly the reply".to_owned()),
        (has_rows, "the database does not contain exactly the rows of what was said".to_owned()),
        (played.ignored.is_empty(), format!("ignored: {:?}", played.ignored)),
        (
            roles(owner).into_iter().rev().eq(said.iter().map(|(role, _)| *role)),
            format!("the owner sees {} entries", entries(owner)),
        ),
        (entries(other) == 0, format!("another user sees {} entries", entries(other))),
    ]
    .into_iter()
    .filter_map(|(as_expected, difference)| (!as_expected).then_some(difference))
    .collect()
}
