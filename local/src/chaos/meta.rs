//! Meta's side of the webhook: who writes what, and payloads that are posted, posted again and posted twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::faults::{Chance, Plan};
use super::webhook;
use super::world::World;

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;
/// How long Meta tries.
const GIVES_UP: u64 = 7 * DAY;

/// The people of a run and what they wrote.
#[derive(Debug, Default)]
pub struct People {
    /// Who writes.
    pub senders: Vec<Sender>,
    /// What they wrote, by wamid.
    pub questions: BTreeMap<String, Question>,
    /// Messages that the inbound queue has accepted so far.
    accepted: usize,
}

/// A person.
#[derive(Debug)]
pub struct Sender {
    /// The digits of the phone number, or a business-scoped user id.
    pub id: String,
    /// The account that the number is linked to.
    pub user_id: Option<Uuid>,
}

/// What is special about a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A text.
    Text,
    /// A text of white space only: there is nothing to answer.
    Blank,
    /// A text whose answer is longer than one message.
    Long,
    /// A text that makes the responder panic until it is repaired.
    Poison,
    /// A text to which the responder has no answer until it is repaired.
    Stubborn,
    /// Not a text.
    Image,
}

/// A message of a person, and what is known of it.
#[derive(Debug)]
pub struct Question {
    /// Index of the sender.
    pub sender: usize,
    /// The business number that it was written to.
    pub number: String,
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub text: String,
    /// Whether Meta got 200 for it.
    pub ok: bool,
    /// Where it stands among the messages that the queue accepted, and when that was.
    pub accepted: Option<(usize, u64)>,
    /// When each of its queue messages was accepted.
    pub copies: BTreeMap<String, u64>,
    /// It was set aside or became a dead letter, and lost its place.
    pub out_of_order: bool,
}

/// A payload.
#[derive(Debug)]
pub struct Post {
    at: u64,
    /// The messages in it.
    pub wamids: Vec<String>,
    /// The request as API Gateway hands it over, as JSON.
    pub event: String,
    /// When it is posted again although nobody asked for it, after the first time.
    again: Vec<u64>,
}

impl People {
    /// Draws who writes what, and in which payloads it arrives.
    pub fn draw(chance: &mut Chance, plan: &Plan) -> (Self, Vec<Post>) {
        let mut people = Self::default();
        for number in 0..chance.between(2, 6) {
            let id = format!("1650555{:04}", 1234 + number);
            let user_id =
                Some(Uuid::from_u128(0x1111_1111_1111_4111_8111_0000_0000_0000 + u128::from(number)));
            people.senders.push(match chance.between(0, 19) {
                0 => Sender { id: format!("US.1349120865530274191{number}"), user_id: None },
                1 | 2 => Sender { id, user_id: None },
                _ => Sender { id, user_id },
            });
        }
        let numbers = chance.between(1, 2);
        // A burst, or an hour of talk.
        let span = chance.pick(5_000, &[10 * MINUTE, 60 * MINUTE]);
        let count = chance.between(5, 40);
        let mut posts = Vec::new();
        let mut at = 0;
        while people.questions.len() < usize::try_from(count).unwrap_or(usize::MAX) {
            at += chance.between(0, 2 * span / count);
            let many = chance.between(1, 8);
            let wamids: Vec<_> =
                (0..chance.pick(1, &[1, 2, many])).map(|_| people.write(chance, plan, numbers)).collect();
            let event = webhook::event(&people.payload(&wamids, at).to_string());
            posts.push(Post { at, wamids, event, again: again(chance, plan) });
        }
        (people, posts)
    }

    fn write(&mut self, chance: &mut Chance, plan: &Plan, numbers: u64) -> String {
        let position = self.questions.len();
        let wamid = format!("wamid.{position:03}");
        let last = self.senders.len() as u64 - 1;
        let sender = usize::try_from(chance.between(0, last)).unwrap_or_default();
        let kind = match chance.between(0, 99) {
            0..=2 => Kind::Image,
            3 => Kind::Blank,
            4 if plan.long_texts => Kind::Long,
            _ if plan.poison && sender == 0 && chance.in_1000(250) => Kind::Poison,
            _ if plan.stubborn && sender == 0 && chance.in_1000(150) => Kind::Stubborn,
            _ => Kind::Text,
        };
        let text = match kind {
            Kind::Blank => " \n".to_owned(),
            Kind::Long => format!("{wamid} {}", "says a word and another ".repeat(600)),
            Kind::Poison => format!("poison {wamid}"),
            Kind::Stubborn => format!("stubborn {wamid}"),
            Kind::Text | Kind::Image => format!("hello from {wamid}"),
        };
        let number = format!("10654035224292{}", chance.between(1, numbers));
        self.questions.insert(
            wamid.clone(),
            Question {
                sender,
                number,
                kind,
                text,
                ok: false,
                accepted: None,
                copies: BTreeMap::new(),
                out_of_order: false,
            },
        );
        wamid
    }

    /// What Meta posts: one change for each business number, a status among them.
    fn payload(&self, wamids: &[String], at: u64) -> Value {
        let mut changes: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        let seconds = super::world::EPOCH_SECONDS + at / 1000;
        for wamid in wamids {
            let Some(question) = self.questions.get(wamid) else { continue };
            let sender = &self.senders[question.sender];
            let mut message = json!({"id": wamid, "timestamp": seconds.to_string()});
            let from = if sender.id.starts_with("US.") { "from_user_id" } else { "from" };
            message[from] = json!(sender.id);
            if question.kind == Kind::Image {
                message["type"] = json!("image");
                message["image"] = json!({"id": "1", "mime_type": "image/jpeg"});
            } else {
                message["type"] = json!("text");
                message["text"] = json!({"body": question.text});
            }
            changes.entry(&question.number).or_default().push(message);
        }
        let change = |(number, messages): (&str, Vec<Value>)| {
            let metadata = json!({"display_phone_number": "15550783881", "phone_number_id": number});
            json!({"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata,
                "messages": messages, "statuses": [{"id": "wamid.answer", "status": "read"}]}})
        };
        let changes: Vec<_> = changes.into_iter().map(change).collect();
        json!({"object": "whatsapp_business_account", "entry": [{"id": "419561257915477", "changes": changes}]})
    }

    /// The inbound queue has accepted a message under this id, or has recognised it.
    pub fn accept(&mut self, wamid: &str, message_id: String, at: u64) {
        let Some(question) = self.questions.get_mut(wamid) else { return };
        if question.accepted.is_none() {
            question.accepted = Some((self.accepted, at));
            self.accepted += 1;
        }
        question.copies.entry(message_id).or_insert(at);
    }

    /// The account that a number is linked to.
    #[must_use]
    pub fn user_of(&self, id: &str) -> Option<Uuid> {
        self.senders.iter().find(|sender| sender.id == id)?.user_id
    }
}

/// When a payload is posted again of Meta's own accord: at the same moment, within minutes, days later.
fn again(chance: &mut Chance, plan: &Plan) -> Vec<u64> {
    let mut again = Vec::new();
    while again.len() < 3 && chance.in_1000(plan.rates.duplicate) {
        let soon = chance.between(0, 2 * MINUTE);
        let later = chance.between(4 * MINUTE, 90 * MINUTE);
        let days = chance.between(DAY / 4, 6 * DAY);
        again.push(chance.pick(0, &[soon, later, later, days]));
    }
    again
}

/// Meta: posts everything when its time has come.
pub fn start(world: &Arc<World>, posts: Vec<Post>) {
    for post in posts {
        let post = Arc::new(post);
        for (copy, later) in std::iter::once(0).chain(post.again.iter().copied()).enumerate() {
            world.lock().busy += 1;
            let (world, post) = (world.clone(), post.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(post.at + later)).await;
                if copy > 0 {
                    let mut state = world.lock();
                    state.inject("duplicate delivery");
                    state.note("Meta", format_args!("posts {} once more", post.wamids.join(", ")));
                }
                deliver(&world, &post).await;
                world.done();
            });
        }
    }
}

/// Posts a payload until it is answered with 200: at once, and then less and less often, for 7 days.
async fn deliver(world: &Arc<World>, post: &Post) {
    let start = world.lock().now;
    let mut wait = 1_000;
    loop {
        let status = webhook::invoke(world, post).await;
        let pause = {
            let state = &mut *world.lock();
            state.note("Meta", format_args!("{} answered {status:?}", post.wamids.join(", ")));
            if status == Some(200) {
                for wamid in &post.wamids {
                    if let Some(question) = state.people.questions.get_mut(wamid) {
                        question.ok = true;
                    }
                }
                return;
            }
            if state.now - start > GIVES_UP {
                return;
            }
            state.inject("redelivery");
            state.chance.millis(wait / 2, wait)
        };
        wait = (wait * 5).min(DAY / 4);
        sleep(pause).await;
    }
}
