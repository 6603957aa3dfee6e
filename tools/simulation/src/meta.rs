//! Meta's side of the webhook: who writes what, and payloads that are posted, posted again and posted twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::sleep;

use super::business::Written;
use super::changes::{self, Change, Happening, TakenOut};
use super::events::Events;
use super::faults::{Chance, Plan};
use super::links::Links;
use super::payloads::{self, Request};
use super::people::Person;
use super::webhook;
use super::world::{State, World};

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;
/// How each text of an automatic correspondent begins.
pub const AUTOMATIC: &str = "automatic answer";
/// How long Meta tries.
const GIVES_UP: u64 = 7 * DAY;

/// The people of a run and what they wrote.
#[derive(Debug, Default)]
pub struct People {
    /// Who writes.
    pub senders: Vec<Person>,
    /// What the database has linked of them.
    pub links: Links,
    /// What they wrote, by wamid.
    pub questions: BTreeMap<String, Question>,
    /// Turns of an automatic correspondent so far.
    pub turns: usize,
    /// What the business wrote to them itself, by wamid.
    pub written: BTreeMap<String, Written>,
    /// Messages that the inbound queue has accepted so far.
    accepted: usize,
    /// Changes of number or user id that Meta tells, and what is known of each.
    pub changes: BTreeMap<String, Change>,
    /// The same that have happened, by the message groups in which they were accepted.
    pub told: BTreeSet<(usize, usize, String)>,
    /// What becomes of people's numbers and user ids, and when.
    pub happenings: Vec<(u64, Happening)>,
    /// Senders whom an operator will unlink as soon as something is learned of them.
    pub unlinked_soon: BTreeSet<usize>,
    /// What operators took out of links.
    pub taken_out: Vec<TakenOut>,
    /// Numbers and user ids given out so far.
    pub identities: u64,
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
    /// An image with a caption, which is answered as a text is.
    Caption,
    /// An image without one.
    Image,
    /// A reaction to an earlier message.
    Reaction,
    /// Another text in the place of an earlier one.
    Edit,
    /// A message of a type that nobody knows.
    Hologram,
}

impl Kind {
    /// Whether a linked person gets no answer to it.
    #[must_use]
    pub fn is_silent(self) -> bool {
        matches!(self, Self::Blank | Self::Image | Self::Reaction | Self::Edit | Self::Hologram)
    }

    /// Whether even somebody whom nobody linked gets none.
    #[must_use]
    pub fn is_never_answered(self) -> bool {
        matches!(self, Self::Reaction | Self::Edit)
    }

    /// Meta's name for it.
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
    /// The message that it is about.
    pub refers_to: Option<String>,
    /// The message group that it is in.
    pub group: Option<String>,
    /// Whether Meta got 200 for it.
    pub ok: bool,
    /// Where it stands among the messages that the queue accepted, and when that was.
    pub accepted: Option<(usize, u64)>,
    /// When each of its queue messages was accepted.
    pub copies: BTreeMap<String, u64>,
    /// It was set aside or became a dead letter, and lost its place.
    pub out_of_order: bool,
    /// Which of the sender's numbers and user ids it names, once it is written down.
    pub version: Option<usize>,
    /// Whether it may be nobody's: its sender got another number or user id, or was linked or unlinked, meanwhile.
    pub uncertain: bool,
    /// Whether what is linked of its sender has changed since it was written: redelivered, it may be an unlinked sender's
    /// although it is recorded.
    pub relinked: bool,
}

/// A payload.
#[derive(Debug)]
pub struct Post {
    /// When it is posted, from now.
    pub after: u64,
    /// The messages in it, of people and of the business.
    pub wamids: Vec<String>,
    /// The events in it, by their marks.
    pub events: Vec<String>,
    /// When it is posted again although nobody asked for it, after the first time.
    pub again: Vec<u64>,
    /// What is posted: always the same.
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
    /// Draws who writes what, and in which payloads it arrives.
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
        // A burst, or an hour of talk.
        let span = chance.pick(5_000, &[10 * MINUTE, 60 * MINUTE]);
        let count = chance.between(5, 40);
        if plan.identities {
            people.happenings = changes::draw(chance, &people.senders, span);
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
                // No part is like another: a part that is sent twice is noticed by its text.
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

    /// An automatic correspondent writes to a business number that has answered it.
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

    /// Meta got 200 for these messages.
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

    /// Whether a delivery of it may find no user: its sender is not linked, or was linked otherwise meanwhile.
    #[must_use]
    pub fn may_be_unlinked(&self, question: &Question) -> bool {
        question.uncertain || question.relinked || self.senders[question.sender].account.is_none()
    }

    /// What is linked of somebody has changed: what they wrote before this version of them and what is not recorded may
    /// be nobody's.
    pub fn unsettle(&mut self, sender: usize, version: usize, is_recorded: impl Fn(&str) -> bool) {
        for (wamid, question) in &mut self.questions {
            let before = question.version.is_some_and(|written_as| written_as < version);
            let theirs = question.sender == sender && before;
            question.relinked |= theirs;
            question.uncertain |= theirs && !is_recorded(wamid);
        }
    }

    /// A message is written down, as its sender's from now on.
    pub fn write_down(&mut self, wamid: &str) {
        let Some(question) = self.questions.get_mut(wamid) else { return };
        let sender = &self.senders[question.sender];
        question.version = Some(sender.version);
        question.uncertain |= sender.unlinked;
    }

    /// The inbound queue has accepted a change, in the group in which its person writes from then on.
    pub fn accept_change(&mut self, mark: &str, group: &str) {
        if let Some(change) = self.changes.get(mark) {
            self.told.insert((change.sender, change.version, group.to_owned()));
        }
    }

    /// The inbound queue has accepted a message under this id, or has recognised it.
    pub fn accept(&mut self, wamid: &str, group: &str, message_id: String, at: u64) {
        let Some(question) = self.questions.get_mut(wamid) else { return };
        question.group = Some(group.to_owned());
        if question.accepted.is_none() {
            // Before what says who its sender is now.
            let (sender, version) = (question.sender, question.version.unwrap_or_default());
            let waits = self
                .changes
                .values()
                .any(|change| change.sender == sender && change.version == version && !change.applied);
            question.uncertain |= waits && !self.told.contains(&(sender, version, group.to_owned()));
            question.accepted = Some((self.accepted, at));
            self.accepted += 1;
        }
        question.copies.entry(message_id).or_insert(at);
    }
}

/// When a payload is posted again of Meta's own accord: at the same moment, within minutes, days later.
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

/// Posts the statuses that wait, in a payload of their own.
pub fn post_statuses(world: &Arc<World>) {
    let post = {
        let state = &mut *world.lock();
        let again = again(&mut state.chance, &state.plan);
        let request = OnceLock::from(payloads::request(state, &[], &[]));
        Post { after: 0, wamids: Vec::new(), events: Vec::new(), again, request }
    };
    start(world, vec![post]);
}

/// Meta: posts everything when its time has come.
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

/// Posts a payload once, when its time has come.
pub fn post_later(world: &Arc<World>, state: &mut State, post: Post) {
    state.busy += 1;
    let world = world.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(post.after)).await;
        deliver(&world, &post, 0).await;
        world.done();
    });
}

/// Posts a payload until it is answered with 200: at once, and then less and less often, for 7 days.
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
            state.note("Meta", format_args!("{} answered {status:?}", request.what));
            if status == Some(200) {
                state.people.deliver(&post.wamids);
                state.events.accept(&post.events);
                let told = request.statuses.iter().cloned().map(|told| (told, true));
                state.statuses.told.extend(told);
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
