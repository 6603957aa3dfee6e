//! Links a number with a user and checks every step: from an unlinked number to a recorded reply.

use std::collections::BTreeMap;

use anyhow::Context;
use chrono::{TimeDelta, Utc};
use local_graph::Button;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::histories::Histories;
use crate::show;
use local_stack::links::{Link, Links};
use local_stack::logs::Mark;
use local_stack::play::{Played, Reply, Row};
use local_stack::{Options, Stack, compose};

/// The number of the demo: one of those that Ofcom reserves for fiction.
const NUMBER: &str = "447700900123";
/// The masked address of user A of the seed.
const ACCOUNT: &str = "a•••@example.com";
/// The last text: the one that is recorded.
const TEXT: &str = "Is the green one in stock?";

/// The outcome of the demo.
#[derive(Debug, Serialize)]
pub struct LinkDemo {
    /// The messages of the phone: two texts of an unlinked number, the code, the tap, and a text of a linked number.
    pub steps: Vec<Step>,
    /// The code, created between the second and the third step.
    pub link: Link,
    /// `GET /messages` for each user, without earlier messages.
    pub history: BTreeMap<Uuid, Vec<Value>>,
    /// The differences from the expected outcome.
    #[serde(skip)]
    pub differences: Vec<String>,
    /// The position in the logs at the start.
    #[serde(skip)]
    since: Mark,
}

/// A message of the phone and its outcome.
#[derive(Debug, Serialize)]
pub struct Step {
    /// The text, or the title of the tapped button.
    pub sent: String,
    /// `reply`'s name of the outcome.
    pub outcome: String,
    /// The messages that the phone received.
    pub echoes: Vec<Reply>,
    /// The rows in the database.
    pub rows: Vec<Row>,
}

/// Starts everything, links a number, shows the outcome and stops. Returns whether every step was as expected.
///
/// # Errors
/// When something cannot be started, or no code is created.
pub async fn run(options: &Options, json: bool) -> anyhow::Result<bool> {
    options.responder.check_echo("demo --link")?;
    let stack = Stack::start(options, terminal::progress).await?;
    let demo = play(&stack).await?;
    if json {
        println!("{}", serde_json::to_string(&demo)?);
    } else {
        demo.show(&stack)?;
    }
    show::differences(&stack.logs, demo.since, &demo.differences);
    stack.stop().await?;
    Ok(demo.differences.is_empty())
}

/// Links a number on a running stack. It ends early when the phone gets no question with a button.
///
/// # Errors
/// When a service cannot be reached, or no code is created.
pub async fn play(stack: &Stack) -> anyhow::Result<LinkDemo> {
    let since = stack.logs.mark();
    let [(user, token), _] = stack.users()?;
    let histories = Histories::begin(stack).await?;
    let mut steps = Vec::new();
    for text in ["Hello", "Is this shop open?"] {
        steps.push(Step::text(stack, text).await?);
    }
    let link = Links::new(&stack.services.supabase)?.create(&token).await.context("create_whatsapp_link")?;
    steps.push(Step::text(stack, &link.text().context("the link has no text")?).await?);
    let question = steps.last().and_then(Step::question);
    if let Some((wamid, button)) = question {
        steps.push(Step::tap(stack, &wamid, &button).await?);
        steps.push(Step::text(stack, TEXT).await?);
    }
    let history = histories.read(stack).await?;
    let differences = differences(&steps, &link, &history, user);
    Ok(LinkDemo { steps, link, history, differences, since })
}

impl Step {
    async fn text(stack: &Stack, text: &str) -> anyhow::Result<Self> {
        Self::send(stack, text, compose::text(text)).await
    }

    async fn tap(stack: &Stack, question: &str, button: &Button) -> anyhow::Result<Self> {
        Self::send(stack, &button.title, compose::tap(question, button)).await
    }

    async fn send(stack: &Stack, sent: &str, mut message: Value) -> anyhow::Result<Self> {
        message["from"] = json!(NUMBER);
        message["id"] = json!(compose::wamid());
        message["timestamp"] = json!(Utc::now().timestamp().to_string());
        let contact = json!({"profile": {"name": "Alex"}, "wa_id": NUMBER});
        let payload = compose::payload(&json!({"contacts": [contact], "messages": [message]}));
        let Played { echoes, rows, updates, .. } = stack.play(&payload).await?;
        let outcome = updates.into_iter().next().map(|(_, update)| update.outcome).unwrap_or_default();
        Ok(Self { sent: sent.to_owned(), outcome, echoes, rows })
    }

    /// The wamid of the message with buttons that the phone received, and its first button.
    fn question(&self) -> Option<(String, Button)> {
        self.echoes.iter().find_map(|echo| Some((echo.wamid.clone(), echo.buttons.first()?.clone())))
    }

    /// Whether the outcome is this one, with one message to the phone, which is as expected, and no rows.
    fn is(&self, outcome: &str, expected: impl Fn(&str, &[Button]) -> bool) -> bool {
        let is_expected = |echo: &Reply| {
            echo.to.trim_start_matches('+') == NUMBER
                && expected(echo.body.as_deref().unwrap_or_default(), &echo.buttons)
        };
        self.outcome == outcome && self.rows.is_empty() && matches!(&*self.echoes, [one] if is_expected(one))
    }
}

impl LinkDemo {
    /// Prints the steps.
    ///
    /// # Errors
    /// When a token cannot be signed.
    pub fn show(&self, stack: &Stack) -> anyhow::Result<()> {
        for (number, step) in self.steps.iter().enumerate() {
            if number == 2 {
                let Link { code, url, expires_at } = &self.link;
                println!("\nUser A's app calls create_whatsapp_link:");
                println!("  code      {code}, valid until {}", expires_at.format("%H:%M:%S UTC"));
                println!("  link      {url}");
            }
            let does = match number {
                0 | 1 => "An unlinked sender writes",
                2 => "The sender sends the code:",
                3 => "The sender taps",
                _ => "The linked sender writes",
            };
            println!("\n{does} “{}”", step.sent);
            println!("  reply     {}", step.outcome.replace('_', " "));
            for echo in &step.echoes {
                println!("  phone     receives “{}”", echo.body.as_deref().unwrap_or_default());
                let buttons: Vec<_> =
                    echo.buttons.iter().map(|button| format!("[{}]", button.title)).collect();
                if !buttons.is_empty() {
                    println!("            {}", buttons.join(" "));
                }
            }
            for row in &step.rows {
                println!("  database  {:<9} “{}”  (user {})", row.role, row.content, row.user_id);
            }
        }
        println!();
        show::histories(stack, &self.history)
    }
}

fn differences(
    steps: &[Step],
    link: &Link,
    history: &BTreeMap<Uuid, Vec<Value>>,
    owner: Uuid,
) -> Vec<String> {
    let [unlinked, again, code, tap, linked] = steps else {
        return vec!["the phone did not get a question with buttons".to_owned()];
    };
    let valid_for = link.expires_at - Utc::now();
    let titles = |buttons: &[Button]| buttons.iter().map(|one| one.title.clone()).collect::<Vec<_>>();
    let row = |row: &Row, role: &str| row.role == role && row.content == TEXT && row.user_id == owner;
    let entries = |user: Uuid| history.get(&user).into_iter().flatten();
    let roles = entries(owner).filter(|entry| entry["content"] == TEXT).map(|entry| entry["role"].as_str());
    let until_linked: usize = [unlinked, again, code].map(|step| step.echoes.len()).iter().sum();
    [
        (
            unlinked.is("registration_sent", |body, buttons| !body.is_empty() && buttons.is_empty()),
            "the unlinked number did not get the registration text",
        ),
        (
            again.echoes.is_empty() && again.rows.is_empty(),
            "the second text of the unlinked number was answered or recorded",
        ),
        (is_code(&link.code), "the code is not LLDLL-LLDLL"),
        (
            link.url.starts_with(&format!("https://wa.me/{}?text=", compose::DISPLAY_PHONE_NUMBER))
                && link.text().is_some_and(|text| text.contains(&link.code)),
            "the link does not open a message with the code to the business number",
        ),
        (
            valid_for > TimeDelta::zero() && valid_for <= TimeDelta::minutes(10),
            "the code is not valid for ten minutes",
        ),
        (
            code.is("link_asked", |body, buttons| {
                body.contains(ACCOUNT) && titles(buttons) == ["Link", "Not me"]
            }),
            "the code was not answered by the question with the masked account and two buttons",
        ),
        (until_linked <= 2, "more than two messages were sent until the number was linked"),
        (
            tap.is("linked", |body, buttons| !body.is_empty() && buttons.is_empty()),
            "the tap was not confirmed",
        ),
        (
            linked.outcome == "answered"
                && matches!(&*linked.echoes, [one] if one.body.as_deref() == Some(TEXT))
                && matches!(&*linked.rows, [question, reply] if row(question, "user") && row(reply, "assistant")),
            "the text of the linked number was not answered and recorded for its user",
        ),
        (
            roles.eq([Some("assistant"), Some("user")]) && entries(owner).count() == 2,
            "the user does not see exactly the text and its reply in the history",
        ),
        (
            history.keys().filter(|user| **user != owner).all(|user| entries(*user).next().is_none()),
            "another user sees entries",
        ),
    ]
    .into_iter()
    .filter(|(as_expected, _)| !as_expected)
    .map(|(_, difference)| difference.to_owned())
    .collect()
}

/// Whether the text is a code: letters and digits in two groups, `LLDLL-LLDLL`.
fn is_code(text: &str) -> bool {
    let is_group = |group: &str| {
        group.len() == 5
            && group.bytes().enumerate().all(|(position, byte)| match position {
                2 => byte.is_ascii_digit(),
                _ => byte.is_ascii_uppercase(),
            })
    };
    text.split_once('-').is_some_and(|(one, two)| is_group(one) && is_group(two))
}
