//! Meta's side of the webhook: messages of users, and payloads that are posted, retried and duplicated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::sleep;

use super::business::Written;
use super::changes::{self, Change, IdentityEvent, Removal};
use super::events::Events;
use super::faults::{Chance, Plan};
use super::links::Links;
use super::payloads::{self, Request};
use super::people::Person;
use super::webhook;
use super::world::{State, World};

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;
/// Prefix of the messages of an automatic correspondent.
pub const AUTOMATIC: &str = "automatic answer";
/// Meta's retry period.
const RETRY_PERIOD: u64 = 7 * DAY;

/// The users of a run and their messages.
#[derive(Debug, Default)]
pub struct People {
    /// The users.
    pub senders: Vec<Person>,
    /// Their links in the database.
    pub links: Links,
    /// Their messages, by wamid.
    pub questions: BTreeMap<String, Question>,
    /// Turns of an automatic correspondent so far.
    pub turns: usize,
    /// Messages that the business sent to them itself, by wamid.
    pub written: BTreeMap<String, Written>,
    /// Number of messages accepted by the inbound queue.
    accepted: usize,
    /// Identity changes sent by Meta, by mark.
    pub changes: BTreeMap<String, Change>,
    /// The accepted changes: sender, version and message group.
    pub accepted_changes: BTreeSet<(usize, usize, String)>,
    /// Changes of users' identities and links, and their times.
    pub identity_events: Vec<(u64, IdentityEvent)>,
    /// Users that an operator will unlink as soon as their link is completed.
    pub unlinked_soon: BTreeSet<usize>,
    /// Operators' removals of identities from links.
    pub removals: Vec<Removal>,
    /// Number of identities generated.
    pub identities: u64,
}

/// Kind of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A text.
    Text,
    /// A text of white space only, which gets no answer.
    Blank,
    /// A text with an answer longer than one message.
    Long,
    /// A text that makes the responder panic until it is repaired.
    Poison,
    /// A text that the responder cannot answer until it is repaired.
    Stubborn,
    /// An image with a caption, which is answered like a text.
    Caption,
    /// An image without a caption.
    Image,
    /// A reaction to an earlier message.
    Reaction,
    /// A new text for an earlier message.
    Edit,
    /// A message of an unknown type.
    Hologram,
}

impl Kind {
    /// Whether a linked user gets no answer to it.
    #[must_use]
    pub fn is_silent(self) -> bool {
        matches!(self, Self::Blank | Self::Image | Self::Reaction | Self::Edit | Self::Hologram)
    }

    /// Whether even an unlinked sender gets no answer.
    #[must_use]
    pub fn is_never_answered(self) -> bool {
        matches!(self, Self::Reaction | Self::Edit)
    }

    /// Meta's name of the type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text | Self::Blank | Self::Long | Self::Poison | Self::Stubborn => "text",
            Self::Caption | Self::Image => "image",
            Self::Reaction => "reaction",
            Self::Edit => "edit",
            Self::Hologram => "hologram",
        }
    }
}

/// A user's message and its state.
#[derive(Debug)]
pub struct Question {
    /// Index of the sender.
    pub sender: usize,
    /// The receiving business number.
    pub number: String,
    /// Kind of the message.
    pub kind: Kind,
    /// Text of the message.
    pub text: String,
    /// The message it refers to.
    pub refers_to: Option<String>,
    /// Its message group.
    pub group: Option<String>,
    /// Whether Meta got a 200 for it.
    pub ok: bool,
    /// Position among the messages accepted by the queue, and time of acceptance.
    pub accepted: Option<(usize, u64)>,
    /// Time of acceptance of each of its queue messages.
    pub copies: BTreeMap<String, u64>,
    /// Whether it was quarantined or dead-lettered, and lost its place in the order.
    pub out_of_order: bool,
    /// Version of the sender's identity in the message, once generated.
    pub version: Option<usize>,
    /// Whether its sender may be unlinked: another number or user id, or a changed link, in the meantime.
    pub uncertain: bool,
    /// Whether the sender's link has changed since it was written: a redelivery may find no user although the
    /// message is recorded.
    pub relinked: bool,
}

/// A payload.
#[derive(Debug)]
pub struct Post {
    /// Delay before it is posted.
    pub after: u64,
    /// Messages in it, of users and of the business.
    pub wamids: Vec<String>,
    /// Events in it, by mark.
    pub events: Vec<String>,
    /// Delays of unsolicited repetitions after the first post.
    pub again: Vec<u64>,
    /// The request, identical in every repetition.
    pub request: OnceLock<Request>,
}

impl Question {
    fn new(sender: usize, number: String, kind: Kind, text: String, refers_to: Option<String>) -> Self {
        Self {
            sender,
            number,
            kind,
            text,
            refers_to,
            group: None,
            ok: false,
            accepted: None,
            copies: BTreeMap::new(),
            out_of_order: false,
            version: None,
            uncertain: false,
            relinked: false,
        }
    }
}

impl People {
    /// Draws the users, their messages, and the payloads.
    pub fn draw(chance: &mut Chance, plan: &Plan, events: &mut Events) -> (Self, Vec<Post>) {
        let mut people = Self::default();
        for index in 0..chance.between(2, 6) {
            let (person, link) = Person::draw(chance, index);
            if let Some(account) = person.account {
                people.links.0.insert(account, link);
            }
            people.senders.push(person);
        }
        let numbers = chance.between(1, 2);
        // A burst, or an hour of conversation.
        let span = chance.pick(5_000, &[10 * MINUTE, 60 * MINUTE]);
        let count = chance.between(5, 40);
        if plan.identities {
            people.identity_events = changes::draw(chance, &people.senders, span);
        }
        let mut posts = Vec::new();
        let mut after = 0;
        while people.questions.len() < usize::try_from(count).unwrap_or(usize::MAX) {
            after += chance.between(0, 2 * span / count);
            let many = chance.between(1, 8);
            let mut wamids: Vec<_> =
                (0..chance.pick(1, &[1, 2, many])).map(|_| people.write(chance, plan, numbers)).collect();
            if chance.in_1000(100) {
                wamids.push(people.written_by_business(chance, numbers));
            }
            let events = if chance.in_1000(100) { vec![events.draw(chance)] } else { Vec::new() };
            posts.push(Post { after, wamids, events, again: again(chance, plan), request: OnceLock::new() });
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
            4 | 10..=14 if plan.long_texts => Kind::Long,
            5 => Kind::Reaction,
            6 => Kind::Edit,
            7 => Kind::Hologram,
            8 | 9 => Kind::Caption,
            _ if plan.poison && sender == 0 && chance.in_1000(250) => Kind::Poison,
            _ if plan.stubborn && sender == 0 && chance.in_1000(150) => Kind::Stubborn,
            _ => Kind::Text,
        };
        let text = match kind {
            Kind::Blank => " \n".to_owned(),
            Kind::Long => {
                // All parts differ: a duplicate of a part is detected by its text.
                let words = 170 * chance.between(3, 16);
                let said: String = (0..words).map(|n| format!(" says word {n} and another")).collect();
                format!("{wamid}{said}")
            }
            Kind::Poison => format!("poison {wamid}"),
            Kind::Stubborn => format!("stubborn {wamid}"),
            _ => format!("hello from {wamid}"),
        };
        let earlier = format!("wamid.{:03}", chance.between(0, position as u64));
        let number = format!("10654035224292{}", chance.between(1, numbers));
        let refers_to = matches!(kind, Kind::Reaction | Kind::Edit).then_some(earlier);
        self.questions.insert(wamid.clone(), Question::new(sender, number, kind, text, refers_to));
        wamid
    }

    /// An automatic correspondent responds to a business number.
    pub fn write_back(&mut self, sender: usize, number: String) -> String {
        let wamid = format!("wamid.{:03}", self.questions.len());
        self.turns += 1;
        let text = format!("{AUTOMATIC} {wamid}");
        self.questions.insert(wamid.clone(), Question::new(sender, number, Kind::Text, text, None));
        wamid
    }

    fn written_by_business(&mut self, chance: &mut Chance, numbers: u64) -> String {
        let wamid = format!("wamid.business.{:03}", self.written.len());
        let to = usize::try_from(chance.between(0, self.senders.len() as u64 - 1)).unwrap_or_default();
        let number = format!("10654035224292{}", chance.between(1, numbers));
        self.written.insert(wamid.clone(), Written { to, number, ok: false });
        wamid
    }

    /// Records that Meta got a 200 for these messages.
    fn deliver(&mut self, wamids: &[String]) {
        for wamid in wamids {
            if let Some(question) = self.questions.get_mut(wamid) {
                question.ok = true;
            }
            if let Some(written) = self.written.get_mut(wamid) {
                written.ok = true;
            }
        }
    }

    /// Whether a delivery may find no user: the sender is unlinked, or the link has changed.
    #[must_use]
    pub fn may_be_unlinked(&self, question: &Question) -> bool {
        question.uncertain || question.relinked || self.senders[question.sender].account.is_none()
    }

    /// Marks the user's messages before this version that are not recorded: their sender may be unlinked now.
    pub fn mark_uncertain(&mut self, sender: usize, version: usize, is_recorded: impl Fn(&str) -> bool) {
        for (wamid, question) in &mut self.questions {
            let before = question.version.is_some_and(|written_as| written_as < version);
            let theirs = question.sender == sender && before;
            question.relinked |= theirs;
            question.uncertain |= theirs && !is_recorded(wamid);
        }
    }

    /// Records the sender's identity at the time the message is generated.
    pub fn set_version(&mut self, wamid: &str) {
        let Some(question) = self.questions.get_mut(wamid) else { return };
        let sender = &self.senders[question.sender];
        question.version = Some(sender.version);
        question.uncertain |= sender.unlinked;
    }

    /// Records that the inbound queue has accepted a change, in the group of the user's later messages.
    pub fn accept_change(&mut self, mark: &str, group: &str) {
        if let Some(change) = self.changes.get(mark) {
            self.accepted_changes.insert((change.sender, change.version, group.to_owned()));
        }
    }

    /// Records that the inbound queue has accepted a message, or recognised a duplicate, with this id.
    pub fn accept(&mut self, wamid: &str, group: &str, message_id: String, at: u64) {
        let Some(question) = self.questions.get_mut(wamid) else { return };
        question.group = Some(group.to_owned());
        if question.accepted.is_none() {
            // Ahead of the change that identifies its sender.
            let (sender, version) = (question.sender, question.version.unwrap_or_default());
            let waits = self
                .changes
                .values()
                .any(|change| change.sender == sender && change.version == version && !change.applied);
            question.uncertain |=
                waits && !self.accepted_changes.contains(&(sender, version, group.to_owned()));
            question.accepted = Some((self.accepted, at));
            self.accepted += 1;
        }
        question.copies.entry(message_id).or_insert(at);
    }
}

/// Delays of unsolicited repetitions of a payload: at once, within minutes, days later.
pub fn again(chance: &mut Chance, plan: &Plan) -> Vec<u64> {
    let mut again = Vec::new();
    while again.len() < 3 && chance.in_1000(plan.rates.duplicate) {
        let soon = chance.between(0, 2 * MINUTE);
        let later = chance.between(4 * MINUTE, 90 * MINUTE);
        let days = chance.between(DAY / 4, 6 * DAY);
        again.push(chance.pick(0, &[soon, later, later, days]));
    }
    again
}

/// Posts the pending statuses in a separate payload.
pub fn post_statuses(world: &Arc<World>) {
    let post = {
        let state = &mut *world.lock();
        let again = again(&mut state.chance, &state.plan);
        let request = OnceLock::from(payloads::request(state, &[], &[]));
        Post { after: 0, wamids: Vec::new(), events: Vec::new(), again, request }
    };
    start(world, vec![post]);
}

/// Posts every payload at its time.
pub fn start(world: &Arc<World>, posts: Vec<Post>) {
    for post in posts {
        let post = Arc::new(post);
        for (copy, later) in std::iter::once(0).chain(post.again.iter().copied()).enumerate() {
            world.lock().busy += 1;
            let (world, post) = (world.clone(), post.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(post.after + later)).await;
                deliver(&world, &post, copy).await;
                world.done();
            });
        }
    }
}

/// Posts a payload once, at its time.
pub fn post_later(world: &Arc<World>, state: &mut State, post: Post) {
    state.busy += 1;
    let world = world.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(post.after)).await;
        deliver(&world, &post, 0).await;
        world.done();
    });
}

/// Posts a payload until it gets a 200: at once, then with backoff, for 7 days.
async fn deliver(world: &Arc<World>, post: &Post, copy: usize) {
    let request =
        post.request.get_or_init(|| payloads::request(&mut world.lock(), &post.wamids, &post.events));
    let start = {
        let mut state = world.lock();
        if copy > 0 {
            state.inject("duplicate delivery");
            state.note("Meta", format_args!("posts {} once more", request.what));
        }
        state.now
    };
    let mut wait = 1_000;
    loop {
        let status = webhook::invoke(world, &request.what, &request.event).await;
        let pause = {
            let state = &mut *world.lock();
            state.note("Meta", format_args!("{} got {status:?}", request.what));
            if status == Some(200) {
                state.people.deliver(&post.wamids);
                state.events.accept(&post.events);
                let updates = request.statuses.iter().cloned().map(|update| (update, true));
                state.statuses.updates.extend(updates);
                return;
            }
            if state.now - start > RETRY_PERIOD {
                return;
            }
            state.inject("redelivery");
            state.chance.millis(wait / 2, wait)
        };
        wait = (wait * 5).min(DAY / 4);
        sleep(pause).await;
    }
}
