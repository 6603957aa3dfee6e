//! The table `link_codes`, with its functions (`supabase/migrations/*_link_codes.sql` and `*_linking.sql`).

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use reply::code::Code;
use reply::links::{Claimed, Confirmed};
use uuid::Uuid;

use crate::Defect;
use crate::model::links::Links;
use crate::model::strangers::{Message, Step, Strangers};

/// Validity of a code after its creation, and of its question after the message with it.
pub const VALIDITY: TimeDelta = TimeDelta::minutes(10);

/// Maximum number of codes of a user, and of answered wrong codes of a sender, within an hour.
const MOST_PER_HOUR: usize = 5;

/// Time for which a code is stored.
const STORED: TimeDelta = TimeDelta::days(1);

/// The table, and what its functions read beside it.
#[derive(Debug, Default)]
pub struct Codes {
    rows: BTreeMap<Uuid, CodeRow>,
    /// Senders without an account.
    pub strangers: Strangers,
    created: u64,
}

#[derive(Debug)]
struct CodeRow {
    account: Uuid,
    hash: String,
    state: CodeState,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    claimed: Option<Message>,
    decided: Option<Message>,
    moved: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum CodeState {
    Open,
    Claimed,
    Linked,
    Discarded,
    Superseded,
}

/// Reason for creating no code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoCode {
    /// No business number is known yet.
    NoNumber,
    /// The user has created too many within an hour.
    TooMany,
}

/// A new code.
#[derive(Clone, Debug)]
pub struct NewCode {
    /// The code, in two groups.
    pub code: String,
    /// Its id.
    pub link_id: Uuid,
}

/// A link that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The account.
    pub account: Uuid,
    /// The code.
    pub link_id: Uuid,
    /// The accounts that have lost the number or the user id.
    pub losers: Vec<Uuid>,
}

/// The account as a question names it.
#[must_use]
pub fn masked(account: Uuid) -> String {
    format!("a•••@{}.example", account.as_u128() & 0xffff)
}

impl Codes {
    /// `create_whatsapp_link` of an account's session.
    ///
    /// # Errors
    /// See [`NoCode`].
    pub fn create(&mut self, account: Uuid, now: DateTime<Utc>) -> Result<NewCode, NoCode> {
        if !self.strangers.knows_number {
            return Err(NoCode::NoNumber);
        }
        let recent = self.rows.values().filter(|row| row.created_at > now - TimeDelta::hours(1));
        if recent.filter(|row| row.account == account).count() >= MOST_PER_HOUR {
            return Err(NoCode::TooMany);
        }
        self.supersede(account);
        self.created += 1;
        let code = written(self.created);
        let link_id = Uuid::from_u128(0x2222_2222_2222_4222_8222_0000_0000_0000 + u128::from(self.created));
        let row = CodeRow {
            account,
            hash: Code::find(&code).map(|code| code.hash()).unwrap_or_default(),
            state: CodeState::Open,
            created_at: now,
            expires_at: now + VALIDITY,
            claimed: None,
            decided: None,
            moved: false,
        };
        self.rows.insert(link_id, row);
        self.expire(now);
        Ok(NewCode { code, link_id })
    }

    /// Supersedes the account's codes that can still link.
    pub fn supersede(&mut self, account: Uuid) {
        for row in self.rows.values_mut().filter(|row| row.account == account) {
            if matches!(row.state, CodeState::Open | CodeState::Claimed) {
                row.state = CodeState::Superseded;
            }
        }
    }

    /// `claim_whatsapp_link`.
    pub fn claim(&mut self, code: &Code, step: &Step, now: DateTime<Utc>, defect: Option<Defect>) -> Claimed {
        let message = &step.message;
        if let Some((outcome, _)) = self.strangers.same_wrong_code(message) {
            return outcome;
        }
        let hash = code.hash();
        let found = self.rows.iter_mut().find(|(_, row)| {
            row.hash == hash && !(defect == Some(Defect::ForgetUsedCodes) && row.is_decided())
        });
        let is_again = found.as_ref().is_some_and(|(_, row)| row.claimed.as_ref() == Some(message));
        let is_answered = self.strangers.wrong_codes(&message.sender, now) < MOST_PER_HOUR;
        let is_known = found.is_some();
        if let Some((link_id, row)) = found {
            let is_theirs = row.claimed.as_ref().is_some_and(|claimed| claimed.sender == message.sender);
            let may_repeat = is_again || arrival(step, now, defect) < row.expires_at;
            let is_repeated =
                is_theirs && may_repeat && (row.is_decided() || row.state == CodeState::Claimed);
            if is_repeated && defect != Some(Defect::UseCodesTwice) {
                return match is_again && row.state == CodeState::Claimed {
                    true => Claimed::Ask { link_id: *link_id, account: masked(row.account) },
                    false => Claimed::Decided,
                };
            }
            let may_claim = row.state == CodeState::Open
                || (row.state == CodeState::Claimed && is_theirs)
                || (row.state == CodeState::Linked && defect == Some(Defect::UseCodesTwice));
            if is_answered && arrival(step, now, defect) < row.expires_at && may_claim {
                if row.state != CodeState::Claimed {
                    row.state = CodeState::Claimed;
                    row.claimed = Some(message.clone());
                    row.expires_at = row.expires_at.max(step.sent_at + VALIDITY);
                }
                return Claimed::Ask { link_id: *link_id, account: masked(row.account) };
            }
        }
        // A code sent a day ago may be deleted.
        let is_old = step.sent_at < now - TimeDelta::hours(23) && defect != Some(Defect::ForgetUsedCodes);
        let outcome = if is_old || (is_answered && is_known) {
            Claimed::Expired { answer: is_answered }
        } else {
            Claimed::Unknown { answer: is_answered }
        };
        self.strangers.add_wrong_code(message.clone(), outcome.clone(), is_answered, now);
        self.expire(now);
        outcome
    }

    /// `confirm_whatsapp_link`. Returns the outcome and, if the tap made one, the link.
    pub fn confirm(
        &mut self,
        link_id: Uuid,
        accept: bool,
        step: &Step,
        links: &mut Links,
        now: DateTime<Utc>,
        defect: Option<Defect>,
    ) -> (Confirmed, Option<Made>) {
        if let Some((_, answer)) = self.strangers.same_wrong_code(&step.message) {
            return (Confirmed::Expired { answer }, None);
        }
        let decided = self.decide(link_id, accept, step, links, now, defect);
        decided.unwrap_or_else(|| {
            let answer = self.strangers.wrong_codes(&step.message.sender, now) < MOST_PER_HOUR;
            let outcome = Claimed::Expired { answer };
            self.strangers.add_wrong_code(step.message.clone(), outcome, answer, now);
            self.expire(now);
            (Confirmed::Expired { answer }, None)
        })
    }

    /// Links, discards, or repeats the outcome of the same tap.
    fn decide(
        &mut self,
        link_id: Uuid,
        accept: bool,
        step: &Step,
        links: &mut Links,
        now: DateTime<Utc>,
        defect: Option<Defect>,
    ) -> Option<(Confirmed, Option<Made>)> {
        let row = self.rows.get_mut(&link_id)?;
        let claimed = row.claimed.as_ref()?;
        if claimed.sender != step.message.sender && defect != Some(Defect::LinkAnyTap) {
            return None;
        }
        let mut made = None;
        if row.state == CodeState::Claimed && arrival(step, now, defect) < row.expires_at {
            row.decided = Some(step.message.clone());
            row.state = CodeState::Discarded;
            if accept {
                let Some(losers) = links.link(row.account, step, now, defect) else {
                    row.state = CodeState::Superseded;
                    return None;
                };
                row.state = CodeState::Linked;
                row.moved = !losers.is_empty();
                made = Some(Made { account: row.account, link_id, losers });
            }
        } else if !row.is_decided() || row.decided.as_ref() != Some(&step.message) {
            return None;
        }
        let user_id = row.account;
        let confirmed = match row.state {
            CodeState::Linked => Confirmed::Linked { user_id, moved: row.moved },
            _ => Confirmed::Discarded { user_id },
        };
        Some((confirmed, made))
    }

    fn expire(&mut self, now: DateTime<Utc>) {
        self.rows.retain(|_, row| row.created_at >= now - STORED);
        self.strangers.expire(now);
    }
}

impl CodeRow {
    fn is_decided(&self) -> bool {
        matches!(self.state, CodeState::Linked | CodeState::Discarded)
    }
}

/// The time at which a step must be valid: Meta's, so that it may wait for the database.
fn arrival(step: &Step, now: DateTime<Utc>, defect: Option<Defect>) -> DateTime<Utc> {
    if defect == Some(Defect::ExpireOnArrival) { now } else { step.sent_at }
}

/// The code `n`. All differ.
fn written(n: u64) -> String {
    let letters: Vec<char> = ('A'..='Z').filter(|letter| !matches!(letter, 'I' | 'O')).collect();
    let letter = |n: u64| letters[usize::try_from(n % 24).unwrap_or_default()];
    format!("{}{}{}AB-CD{}EF", letter(n), letter(n / 24), 2 + n / 576 % 8, 2 + n / 4_608 % 8)
}
