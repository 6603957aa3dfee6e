//! People who link their number or user id with an account, and those who attack or disturb it: drawing, and what they
//! did.

use std::collections::{BTreeMap, BTreeSet};

use reply::links::Claimed;
use uuid::Uuid;

use crate::model::clock::EPOCH_SECONDS;
use crate::model::faults::Chance;
use crate::model::links::{Links, inserted};
use crate::model::person::{Person, account_of};

const MINUTE: u64 = 60_000;

/// A person who links.
#[derive(Clone, Debug)]
pub struct Linker {
    /// Index of the person.
    pub person: usize,
    /// The account of the session that creates the code.
    pub account: Uuid,
    /// Time of the first step.
    pub at: u64,
    /// The business number.
    pub number: String,
    /// The former owner of the person's number.
    pub takes_from: Option<usize>,
    /// Number of guessed codes, sent before the right one.
    pub guesses: u64,
    /// How the code is sent.
    pub sending: Sending,
    /// How the question is answered.
    pub tapping: Tapping,
    /// Whether the account's session removes the link in the end.
    pub unlinks: bool,
}

/// How a code is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sending {
    /// In time.
    Once,
    /// In time, and later in another message.
    Again,
    /// After its time.
    Late,
    /// After the session has created another one.
    Superseded,
    /// By another person, who was made to send it.
    Victim(usize),
    /// By another person and in time.
    Both(usize),
}

/// How a question is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tapping {
    /// By *Link*.
    Once,
    /// By *Link*, twice.
    Twice,
    /// By *Link*, after its time.
    Late,
    /// By *Not me*.
    Declined,
    /// Not at all.
    Never,
    /// By both buttons: whether *Link* is the first.
    Both(bool),
    /// By *Link*, after another person has sent the same button's id.
    Forged(usize),
}

/// Steps of linking in a run, as people and sessions know them.
#[derive(Debug, Default)]
pub struct Linking {
    /// The people.
    pub linkers: Vec<Linker>,
    /// The created codes.
    pub codes: BTreeMap<String, Session>,
    /// The code in each message with one, by wamid.
    pub sent: BTreeMap<String, String>,
    /// The questions seen by each person.
    pub asked: BTreeSet<(usize, Uuid)>,
    /// The taps, by wamid.
    pub taps: BTreeMap<String, Button>,
    /// The outcomes of codes, and of taps without effect, by wamid.
    pub claims: BTreeMap<String, Vec<Claimed>>,
    /// Changes of links by these steps, in order.
    pub journal: Vec<LinkChange>,
    /// Time of the first permission to send the registration text in answer to each message, by wamid.
    pub permitted: BTreeMap<String, u64>,
}

/// The session that created a code.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Its account.
    pub account: Uuid,
    /// Index of the person.
    pub person: usize,
    /// Id of the code.
    pub link_id: Uuid,
    /// Time of creation.
    pub at: u64,
}

/// A button of a question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Button {
    /// Id of the code.
    pub link_id: Uuid,
    /// Whether it is *Link*.
    pub accept: bool,
}

/// A change of a link.
#[derive(Debug)]
pub enum LinkChange {
    /// A step linked an account.
    Linked {
        /// The account.
        account: Uuid,
        /// Id of the code.
        link_id: Uuid,
        /// The message of the step.
        wamid: String,
        /// Number and user id, in the format of the table.
        identity: (Option<String>, Option<String>),
        /// The accounts that have lost the number or the user id.
        losers: Vec<Uuid>,
    },
    /// A session removed the link of its account.
    Removed(Uuid),
}

impl Sending {
    /// Its name, if it is an attack or a mistake.
    #[must_use]
    pub fn fault(self) -> Option<&'static str> {
        match self {
            Self::Once => None,
            Self::Again => Some("code sent again"),
            Self::Late => Some("code sent late"),
            Self::Superseded => Some("code superseded"),
            Self::Victim(_) | Self::Both(_) => Some("code sent by another person"),
        }
    }
}

impl Tapping {
    /// Its name, if it is an attack or a mistake.
    #[must_use]
    pub fn fault(self) -> Option<&'static str> {
        match self {
            Self::Once => None,
            Self::Twice => Some("question answered twice"),
            Self::Late => Some("question answered late"),
            Self::Declined => Some("question declined"),
            Self::Never => Some("question not answered"),
            Self::Both(_) => Some("question answered by both buttons"),
            Self::Forged(_) => Some("question answered by another person"),
        }
    }
}

impl Button {
    /// The button with this id, if it belongs to a question.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let (link_id, choice) = id.strip_prefix("whatsapp_link:")?.split_once(':')?;
        Some(Self { link_id: link_id.parse().ok()?, accept: choice == "link" })
    }
}

impl Linking {
    /// Number of links made.
    #[must_use]
    pub fn links(&self) -> u64 {
        self.journal.iter().filter(|change| matches!(change, LinkChange::Linked { .. })).count() as u64
    }

    /// The code with this id.
    #[must_use]
    pub fn code(&self, link_id: Uuid) -> Option<(&str, &Session)> {
        let mut codes = self.codes.iter();
        codes.find(|(_, session)| session.link_id == link_id).map(|(code, session)| (code.as_str(), session))
    }

    /// Whether a message got the answer to a wrong code instead of one of the conversation.
    #[must_use]
    pub fn is_refused(&self, wamid: &str) -> bool {
        let refused = |claimed: &Claimed| matches!(claimed, Claimed::Expired { .. });
        self.claims.get(wamid).is_some_and(|all| all.iter().any(refused))
    }

    /// Whether a message is a step of linking: a tap, or a message with a code that a session created, unless the code was
    /// not looked up because of too many wrong ones.
    #[must_use]
    pub fn is_step(&self, wamid: &str) -> bool {
        let limited = |claimed: &Claimed| *claimed == Claimed::Unknown { answer: false };
        self.taps.contains_key(wamid)
            || (self.sent.contains_key(wamid)
                && !self.claims.get(wamid).is_some_and(|all| all.iter().any(limited)))
    }
}

/// Draws the people who link: some are linked with another account, some take the number of another person.
pub fn draw(
    chance: &mut Chance,
    senders: &mut Vec<Person>,
    links: &mut Links,
    (numbers, span): (u64, u64),
) -> Vec<Linker> {
    let mut linkers = Vec::new();
    for _ in 0..chance.between(1, 3) {
        let mut takes_from = None;
        let mut add = |chance: &mut Chance, links: Option<&mut Links>, with_number: bool| {
            let index = senders.len() as u64;
            let (mut person, mut link) = Person::draw(chance, index);
            person.account = Some(account_of(index));
            person.sessions = vec![account_of(index)];
            if with_number && person.number.is_none() {
                person.number = Some(format!("1650557{index:04}"));
                let start = chrono::DateTime::from_timestamp(EPOCH_SECONDS.cast_signed(), 0);
                link = inserted(account_of(index), person.number.as_deref(), None, start.unwrap_or_default());
            }
            if let Some(links) = links {
                link.user_id = person.account;
                links.0.insert(account_of(index), link);
            }
            senders.push(person);
            senders.len() - 1
        };
        let person = match chance.between(0, 9) {
            0..=5 => add(chance, None, false),
            6 | 7 => {
                let person = add(chance, Some(links), false);
                senders[person].sessions.push(account_of(1_000 + person as u64));
                person
            }
            _ => {
                takes_from = Some(add(chance, Some(links), true));
                let person = add(chance, None, false);
                senders[person].number = None;
                senders[person].waits_for_number = true;
                // Linked by user id alone, its number would still lead to the former owner too.
                senders[person].hides_number = false;
                person
            }
        };
        senders[person].unlinked = !links.0.contains_key(&account_of(person as u64));
        let others: Vec<usize> = (0..senders.len())
            .filter(|other| *other != person && !senders[*other].waits_for_number)
            .collect();
        let other = others[usize::try_from(chance.between(0, others.len() as u64 - 1)).unwrap_or_default()];
        let link_first = chance.in_1000(500);
        linkers.push(Linker {
            person,
            account: *senders[person].sessions.last().unwrap_or(&Uuid::nil()),
            at: chance.between(0, span.max(10 * MINUTE)),
            number: format!("10654035224292{}", chance.between(1, numbers)),
            takes_from,
            guesses: if takes_from.is_some() { 0 } else { chance.pick(0, &[0, 0, 0, 0, 1, 3, 7]) },
            sending: match chance.between(0, 19) {
                0..=11 => Sending::Once,
                12 | 13 => Sending::Again,
                14 => Sending::Late,
                15 => Sending::Superseded,
                16 | 17 => Sending::Victim(other),
                _ => Sending::Both(other),
            },
            tapping: match chance.between(0, 19) {
                0..=9 => Tapping::Once,
                10 | 11 => Tapping::Twice,
                12 => Tapping::Late,
                13 => Tapping::Declined,
                14 => Tapping::Never,
                15 | 16 => Tapping::Both(link_first),
                _ => Tapping::Forged(other),
            },
            unlinks: chance.in_1000(200),
        });
    }
    linkers
}
