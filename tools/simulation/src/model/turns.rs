//! Turns: the window and the bursts of a run, stored answers, and what is known of holds.
//!
//! All of it is drawn from a sequence of its own: the other faults of a seed stay the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use reply::details::LlmDetails;
use uuid::Uuid;

use crate::model::faults::{Chance, Plan};
use crate::model::people::People;
use crate::model::posts::{Post, again};
use crate::model::questions::Kind;

/// Maximum number of messages in a burst.
const BURST: u64 = 10;

/// The state of the turns of a run.
#[derive(Debug)]
pub struct Turns {
    /// The source of randomness of all that concerns turns.
    pub chance: Chance,
    /// The table `stored_answers`.
    pub stored: BTreeMap<Uuid, StoredAnswer>,
    /// The turns in which each message was recorded, by the wamid of their last messages.
    pub recorded: BTreeMap<String, BTreeSet<String>>,
    /// Number of receives of each delivery, by its message id.
    pub receives: BTreeMap<String, u32>,
    /// Number of receives at which a delivery was held, by its message id.
    pub holds: BTreeMap<String, u32>,
    /// Visibility timeouts that an invocation set, by receipt handle.
    pub hidden: BTreeMap<u64, BTreeMap<String, Duration>>,
    /// Deliveries that were held for too long, too often, or although their window had ended.
    pub overheld: Vec<String>,
    /// Messages that were dead-lettered because holds were counted as tries, by wamid.
    pub early_letters: BTreeSet<String>,
    /// Number of answers of the responder so far.
    pub answers: u64,
    /// The last step of each invocation.
    pub steps: BTreeMap<u64, TurnStep>,
}

/// A row of the table `stored_answers`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredAnswer {
    /// Wamid of the last message of its turn.
    pub wamid: String,
    /// Number of messages in the turn.
    pub messages: usize,
    /// The text.
    pub text: String,
    /// How it came about.
    pub details: Option<LlmDetails>,
    /// Whether the row of the message existed before.
    pub is_late: bool,
}

/// The last step of an invocation, by which a crash is named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TurnStep {
    /// Messages were held.
    Held,
    /// A turn was looked up.
    LookedUp,
    /// The responder answered.
    Answered,
    /// The answer was stored.
    Stored,
    /// A message was sent.
    Sent,
    /// Rows were written, or a task for them.
    Recorded,
}

impl TurnStep {
    /// The fault of a process that crashes after this step.
    #[must_use]
    pub fn crash(step: Option<Self>) -> &'static str {
        match step {
            None => "process crashed",
            Some(Self::Held) => "process crashed after a hold",
            Some(Self::LookedUp) => "process crashed after the lookup",
            Some(Self::Answered) => "process crashed after the answer",
            Some(Self::Stored) => "process crashed after the answer was stored",
            Some(Self::Sent) => "process crashed after the send",
            Some(Self::Recorded) => "process crashed after the record",
        }
    }
}

impl Turns {
    /// No turns yet.
    #[must_use]
    pub fn new(chance: Chance) -> Self {
        Self {
            chance,
            stored: BTreeMap::new(),
            recorded: BTreeMap::new(),
            receives: BTreeMap::new(),
            holds: BTreeMap::new(),
            hidden: BTreeMap::new(),
            overheld: Vec::new(),
            early_letters: BTreeSet::new(),
            answers: 0,
            steps: BTreeMap::new(),
        }
    }
}

/// Gathers drawn messages in bursts: 2 to 10 of one sender to one business number, within and across windows.
pub fn gather(chance: &mut Chance, plan: &Plan, people: &mut People, posts: &mut Vec<Post>) {
    for _ in 0..plan.answering.bursts {
        let Some(first) = usize::try_from(chance.between(0, posts.len() as u64)).ok() else { return };
        let most = usize::try_from(chance.between(2, BURST)).unwrap_or_default();
        let mut wamids = Vec::new();
        for post in posts.iter_mut().skip(first) {
            post.wamids.retain(|wamid| {
                let question = people.questions.get(wamid);
                // The faults of one sender stay with that sender.
                let movable =
                    question.is_some_and(|question| !matches!(question.kind, Kind::Poison | Kind::Stubborn));
                let gathered = movable && wamids.len() < most;
                if gathered {
                    wamids.push(wamid.clone());
                }
                !gathered
            });
        }
        let Some(opening) = wamids.first().and_then(|wamid| people.questions.get(wamid)) else { continue };
        let (sender, number) = (opening.sender, opening.number.clone());
        let mut after = posts.get(first).map_or(0, |post| post.after);
        for wamid in wamids {
            if let Some(question) = people.questions.get_mut(&wamid) {
                (question.sender, question.number) = (sender, number.clone());
            }
            posts.push(Post {
                after,
                wamids: vec![wamid],
                events: Vec::new(),
                again: again(chance, plan),
                request: OnceLock::new(),
            });
            let window = u64::try_from(plan.answering.window.as_millis()).unwrap_or_default().max(1_000);
            let (soon, later, next) = (
                chance.between(0, window / 3),
                chance.between(0, window),
                chance.between(window, 2 * window),
            );
            after += chance.pick(soon, &[soon, soon, later, later, next]);
        }
        posts.retain(|post| !post.wamids.is_empty() || !post.events.is_empty());
    }
}
