//! The messages of users, and their distribution over payloads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use uuid::Uuid;

use crate::model::changes::{self, Change, IdentityEvent, Removal};
use crate::model::events::Events;
use crate::model::faults::{Chance, Plan};
use crate::model::linkers::{self, Linking};
use crate::model::links::Links;
use crate::model::person::Person;
use crate::model::posts::{Post, again};
use crate::model::questions::{AUTOMATIC, Kind, Question, Written};

const MINUTE: u64 = 60_000;

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
    /// Links made by their holders.
    pub linking: Linking,
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
        let contacts = people.senders.len() as u64;
        if plan.links {
            let (senders, links) = (&mut people.senders, &mut people.links);
            people.linking.linkers = linkers::draw(chance, senders, links, (numbers, span));
        }
        let mut posts = Vec::new();
        let mut after = 0;
        while people.questions.len() < usize::try_from(count).unwrap_or(usize::MAX) {
            after += chance.between(0, 2 * span / count);
            let many = chance.between(1, 8);
            let mut wamids: Vec<_> =
                (0..chance.pick(1, &[1, 2, many])).map(|_| people.write(chance, plan, numbers)).collect();
            if chance.in_1000(100) {
                wamids.push(people.written_by_business(chance, numbers, contacts));
            }
            let events = if chance.in_1000(100) { vec![events.draw(chance)] } else { Vec::new() };
            posts.push(Post { after, wamids, events, again: again(chance, plan), request: OnceLock::new() });
        }
        (people, posts)
    }

    fn write(&mut self, chance: &mut Chance, plan: &Plan, numbers: u64) -> String {
        let position = self.questions.len();
        let wamid = format!("wamid.{position:03}");
        let writers: Vec<usize> =
            (0..self.senders.len()).filter(|sender| !self.senders[*sender].waits_for_number).collect();
        let sender =
            writers[usize::try_from(chance.between(0, writers.len() as u64 - 1)).unwrap_or_default()];
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
        self.turns += 1;
        self.say(sender, number, Kind::Text, AUTOMATIC)
    }

    /// Adds a message: a text, with the wamid behind it if it is an ordinary one.
    pub fn say(&mut self, sender: usize, number: String, kind: Kind, text: &str) -> String {
        let wamid = format!("wamid.{:03}", self.questions.len());
        let text = if kind == Kind::Text { format!("{text} {wamid}") } else { text.to_owned() };
        self.questions.insert(wamid.clone(), Question::new(sender, number, kind, text, None));
        wamid
    }

    fn written_by_business(&mut self, chance: &mut Chance, numbers: u64, contacts: u64) -> String {
        let wamid = format!("wamid.business.{:03}", self.written.len());
        let to = usize::try_from(chance.between(0, contacts - 1)).unwrap_or_default();
        let number = format!("10654035224292{}", chance.between(1, numbers));
        self.written.insert(wamid.clone(), Written { to, number, ok: false });
        wamid
    }

    /// The accounts of the users.
    #[must_use]
    pub fn accounts(&self) -> BTreeSet<Uuid> {
        let accounts = self.senders.iter().flat_map(|person| person.account.iter().chain(&person.sessions));
        accounts.copied().collect()
    }

    /// Records that Meta got a 200 for these messages.
    pub(crate) fn deliver(&mut self, wamids: &[String]) {
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

    /// Records the sender's identity at the time the message is generated, in seconds since 1970.
    pub fn set_version(&mut self, wamid: &str, seconds: u64) {
        let Some(question) = self.questions.get_mut(wamid) else { return };
        let sender = &self.senders[question.sender];
        question.version = Some(sender.version);
        question.written_at = Some(seconds);
        question.account = sender.account;
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
