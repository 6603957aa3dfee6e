//! Messages that the business sends itself, in its app: Meta sends them to the webhook, and they belong in
//! the user's history.

use shared::supabase::rows::Role;

use crate::checks::findings::Findings;

use crate::model::world::{Row, State};

/// Checks that each is in its user's history once, in no other history, and without an answer.
pub fn check(state: &State, findings: &mut Findings) {
    for (wamid, written) in &state.people.written {
        let rows: Vec<_> = state.rows.values().filter(|row| row.wamid == *wamid).collect();
        let owner = state.people.senders[written.to].account;
        let is_right = |row: &&&Row| {
            let payload = row.row.payload.as_ref().map(|payload| payload.get()).unwrap_or_default();
            row.row.role == Role::Assistant
                && Some(row.row.user_id) == owner
                && payload.contains(r#""field":"smb_message_echoes""#)
        };
        let right = rows.iter().filter(is_right).count();
        // A user may be unlinked when the message is handled, after a change of identity or link.
        if right < usize::from(written.ok && owner.is_some() && !state.plan.identities) {
            findings.counts.lost += 1;
            findings.violations.push(format!("{wamid}: the business's message is in no history"));
        }
        if rows.len() > 1 || right < rows.len() {
            findings.counts.duplicate_rows += 1;
            findings.violations.push(format!("{wamid}: {} rows, {right} of them correct", rows.len()));
        }
        if state.sends.iter().any(|send| send.wamid == *wamid) {
            findings.counts.wrong_texts += 1;
            findings.violations.push(format!("{wamid}: the business's message was answered"));
        }
    }
}
