//! Links have current identities of their users only.

use crate::checks::findings::Findings;
use crate::model::changes::Removal;
use crate::model::world::State;

/// Checks that a link has only identities of its user, and that removed identities stay removed.
pub fn check(state: &State, findings: &mut Findings) {
    let people = &state.people;
    for (index, person) in people.senders.iter().enumerate() {
        let Some(link) = person.account.and_then(|account| people.links.0.get(&account)) else { continue };
        let number = link.whatsapp_phone.as_deref().map(|number| number.trim_start_matches('+'));
        let user_id = link.whatsapp_user_id.as_deref();
        let foreign = [number, user_id].into_iter().flatten().any(|id| !person.is(id));
        // After a change announced by Meta and no operator's edit, the link must have the current identity.
        let is_announced =
            people.changes.values().any(|change| change.sender == index && change.version == person.version);
        let old = is_announced
            && (number.is_some_and(|number| person.number.as_deref() != Some(number))
                || user_id.is_some_and(|user_id| person.user_id.as_deref() != Some(user_id)));
        if foreign || old {
            findings.counts.wrong_links += 1;
            findings.violations.push(format!("user {index} is linked with a foreign or former identity"));
        }
    }
    for Removal { sender, left, written } in &people.removals {
        let account = people.senders[*sender].account;
        let Some(link) = account.and_then(|account| people.links.0.get(&account)) else { continue };
        let is_back =
            (link.whatsapp_phone.is_some() && !left.0) || (link.whatsapp_user_id.is_some() && !left.1);
        let is_empty = link.whatsapp_phone.is_none() && link.whatsapp_user_id.is_none();
        let recorded = state
            .rows
            .values()
            .filter(|row| people.questions.contains_key(&row.wamid))
            .find(|row| is_empty && Some(row.row.user_id) == account && !written.contains(&row.wamid));
        if is_back || recorded.is_some() {
            findings.counts.relinked += 1;
            findings.violations.push(format!("user {sender} was unlinked and is linked again"));
        }
    }
}
