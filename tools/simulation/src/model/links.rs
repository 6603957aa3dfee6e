//! The table `user_preferences`, with its triggers and its function `keep_identity_event`
//! (`supabase/migrations/20261128000700_identity.sql`, which `local/supabase/tests/it/identity.rs` tests), and `link` of
//! `*_linking.sql`.

use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound, Utc};
use reply::events::ChangeOutcome;
use reply::incoming::Change;
use reply::users::{Author, Link, Linked, Missing, choose};
use shared::meta::sender::{PhoneNumber, Sender, UserId};
use uuid::Uuid;

use crate::Defect;
use crate::model::strangers::Step;

/// The table, by account.
#[derive(Debug, Default)]
pub struct Links(pub BTreeMap<Uuid, Link>);

/// A row with this number (digits only) and user id, as inserted at this time.
#[must_use]
pub fn inserted(account: Uuid, number: Option<&str>, user_id: Option<&str>, at: DateTime<Utc>) -> Link {
    Link {
        user_id: Some(account),
        whatsapp_phone: number.map(e164),
        whatsapp_user_id: user_id.map(str::to_owned),
        whatsapp_identity_at: Some(at),
        ..Link::default()
    }
}

/// A number in the format of the table.
#[must_use]
pub fn e164(digits: &str) -> String {
    format!("+{digits}")
}

/// The number and the user id of a sender, in the format of the table.
fn parts(sender: &Sender) -> (Option<String>, Option<String>) {
    let user_id = sender.user_id().map(|id| UserId::as_str(id).to_owned());
    (sender.number().map(PhoneNumber::e164), user_id)
}

impl Links {
    /// Whether the account is linked by user id.
    #[must_use]
    pub fn knows_user_id(&self, account: Uuid) -> bool {
        self.0.get(&account).is_some_and(|link| link.whatsapp_user_id.is_some())
    }

    /// Whether the account is linked.
    #[must_use]
    pub fn is_linked(&self, account: Uuid) -> bool {
        let linked = |link: &Link| link.whatsapp_phone.is_some() || link.whatsapp_user_id.is_some();
        self.0.get(&account).is_some_and(linked)
    }

    /// The lookup of `reply`: the rows with the number or the user id, and the production choice among them.
    #[must_use]
    pub fn find(&self, author: &Author, defect: Option<Defect>) -> Option<Linked> {
        let (number, user_id) = parts(&author.sender);
        let named = |link: &&Link| {
            (number.is_some() && link.whatsapp_phone == number)
                || (user_id.is_some() && link.whatsapp_user_id == user_id)
        };
        let mut rows: Vec<Link> = self.0.values().filter(named).cloned().collect();
        let mut author = author.clone();
        match defect {
            Some(Defect::TrustNumbers) => {
                rows.iter_mut().filter(|row| row.whatsapp_user_id != user_id).for_each(|row| {
                    row.whatsapp_user_id = None;
                });
            }
            Some(Defect::IgnoreWrittenAt) => author.written_at = None,
            _ => {}
        }
        choose(&rows, &author)
    }

    /// Completes a link, under the conditions of `reply`'s request.
    pub fn complete(
        &mut self,
        account: Uuid,
        missing: Missing,
        author: &Author,
        at: DateTime<Utc>,
        defect: Option<Defect>,
    ) -> bool {
        let (number, user_id) = parts(&author.sender);
        let Some(link) = self.0.get_mut(&account) else { return false };
        let guarded = defect != Some(Defect::CompleteLinksUnguarded);
        let may_complete = matches!(link.whatsapp_link_state.as_deref(), None | Some("changed")) || !guarded;
        let same_number = number.is_some() && (link.whatsapp_phone == number || !guarded);
        let same_user_id = user_id.is_some() && link.whatsapp_user_id == user_id;
        let state = match missing {
            Missing::UserId if same_number && link.whatsapp_user_id.is_none() && may_complete => {
                link.whatsapp_user_id = user_id;
                "added_user_id"
            }
            Missing::Number if same_user_id && link.whatsapp_phone.is_none() && may_complete => {
                link.whatsapp_phone = number;
                "added_number"
            }
            Missing::Account if same_user_id && link.whatsapp_waba_id.is_none() => {
                link.whatsapp_waba_id.clone_from(&author.waba_id);
                return true;
            }
            _ => return false,
        };
        link.whatsapp_waba_id.clone_from(&author.waba_id);
        link.whatsapp_identity_at = Some(at);
        if state == "added_number" {
            link.whatsapp_number_at = link.whatsapp_identity_at;
        }
        link.whatsapp_link_state = Some(state.to_owned());
        true
    }

    /// An update of number and user id by other writers, with the effect of the trigger.
    pub fn write(
        &mut self,
        account: Uuid,
        new: (Option<String>, Option<String>),
        now: DateTime<Utc>,
        defect: Option<Defect>,
    ) {
        let Some(link) = self.0.get_mut(&account) else { return };
        let old = link.clone();
        (link.whatsapp_phone, link.whatsapp_user_id) = new;
        let was_added_number = old.whatsapp_link_state.as_deref() == Some("added_number");
        let same_number = link.whatsapp_phone == old.whatsapp_phone;
        let same_user_id = link.whatsapp_user_id == old.whatsapp_user_id;
        if same_number && same_user_id {
            return;
        }
        link.whatsapp_identity_at = Some(now);
        if !same_number {
            link.whatsapp_number_at = Some(now).filter(|_| link.whatsapp_phone.is_some());
        }
        let mut state = "changed";
        if old.whatsapp_phone.is_some() && !same_number {
            if same_user_id && !was_added_number {
                if defect != Some(Defect::KeepCompletedIdentity) {
                    link.whatsapp_user_id = None;
                }
            } else if link.whatsapp_phone.is_none() && link.whatsapp_user_id.is_some() {
                state = "removed";
            }
        } else if old.whatsapp_user_id.is_some() && !same_user_id {
            if was_added_number {
                if defect != Some(Defect::KeepCompletedIdentity) {
                    link.whatsapp_phone = None;
                }
            } else if link.whatsapp_user_id.is_none() && link.whatsapp_phone.is_some() {
                state = "removed";
            }
        }
        link.whatsapp_link_state = Some(state.to_owned());
        if !same_user_id || link.whatsapp_user_id.is_none() {
            link.whatsapp_waba_id = None;
        }
    }

    /// Gives an account exactly the identity of a step, takes it from other accounts, and returns these. `None` if one of
    /// them has it since a later time.
    pub fn link(
        &mut self,
        account: Uuid,
        step: &Step,
        now: DateTime<Utc>,
        defect: Option<Defect>,
    ) -> Option<Vec<Uuid>> {
        let (number, user_id) = &step.identity;
        let is_same = |own: &Option<String>, theirs: &Option<String>| own.is_some() && own == theirs;
        let has_it =
            |link: &Link| is_same(number, &link.whatsapp_phone) || is_same(user_id, &link.whatsapp_user_id);
        let losers = self.0.iter().filter(|(other, link)| **other != account && has_it(link));
        let losers: Vec<_> = losers.map(|(loser, link)| (*loser, link.whatsapp_identity_at)).collect();
        if losers.iter().any(|(_, since)| since.is_some_and(|since| since > step.sent_at)) {
            return None;
        }
        for (loser, _) in &losers {
            self.write(*loser, (None, None), now, defect);
        }
        let at = Some(step.sent_at);
        let link = Link {
            user_id: Some(account),
            whatsapp_phone: number.clone(),
            whatsapp_user_id: user_id.clone(),
            whatsapp_waba_id: step.waba_id.clone().filter(|_| user_id.is_some()),
            whatsapp_identity_at: at,
            whatsapp_number_at: at.filter(|_| number.is_some()),
            whatsapp_link_state: Some("changed".to_owned()),
        };
        self.0.insert(account, link);
        Some(losers.into_iter().map(|(loser, _)| loser).collect())
    }

    /// Applies an identity change. Returns the outcome and the account.
    pub fn apply(
        &mut self,
        change: &Change,
        waba_id: Option<&str>,
        defect: Option<Defect>,
    ) -> (ChangeOutcome, Option<Uuid>) {
        let (was_number, was_user_id) = parts(&change.previous);
        let (number, user_id) = parts(&change.current);
        let named = |link: &Link| {
            let other_account = link.whatsapp_waba_id.is_some()
                && waba_id.is_some()
                && link.whatsapp_waba_id.as_deref() != waba_id;
            (was_user_id.is_some() && link.whatsapp_user_id == was_user_id)
                || (was_number.is_some()
                    && link.whatsapp_phone == was_number
                    && (link.whatsapp_user_id.is_none() || other_account))
        };
        let owners: Vec<Uuid> =
            self.0.iter().filter(|(_, link)| named(link)).map(|(account, _)| *account).collect();
        let [owner] = owners[..] else {
            return (
                if owners.is_empty() { ChangeOutcome::Unlinked } else { ChangeOutcome::Ambiguous },
                None,
            );
        };
        let clashes = |(account, link): (&Uuid, &Link)| {
            *account != owner
                && ((number.is_some() && link.whatsapp_phone == number)
                    || (user_id.is_some() && link.whatsapp_user_id == user_id))
        };
        let clash = self.0.iter().any(clashes);
        let Some(link) = self.0.get_mut(&owner) else { return (ChangeOutcome::Unlinked, None) };
        let known = link.whatsapp_identity_at.map(|at| at.trunc_subsecs(0));
        if known.is_some_and(|known| known > change.at) && defect != Some(Defect::ApplyStale) {
            return (ChangeOutcome::Stale, Some(owner));
        }
        if clash {
            return (ChangeOutcome::Clash, Some(owner));
        }
        let removed = link.whatsapp_link_state.as_deref() == Some("removed");
        if number.is_some() && !(removed && link.whatsapp_phone.is_none()) && link.whatsapp_phone != number {
            link.whatsapp_phone = number;
            link.whatsapp_number_at = Some(change.at);
        }
        if !removed || (link.whatsapp_user_id.is_some() && user_id.is_some()) {
            link.whatsapp_waba_id = waba_id.filter(|_| user_id.is_some()).map(str::to_owned);
        }
        if !removed {
            if user_id.is_none() {
                link.whatsapp_link_state = Some("changed".to_owned());
            }
            link.whatsapp_user_id = user_id;
        } else if link.whatsapp_user_id.is_some() && user_id.is_some() {
            link.whatsapp_user_id = user_id;
        }
        link.whatsapp_identity_at = Some(change.at);
        (ChangeOutcome::Applied, Some(owner))
    }
}
