//! Guarantee 6 for statuses, and their effects on rows.

use shared::supabase::rows::Role;

use crate::checks::findings::Findings;
use crate::model::attempts::Attempt;
use crate::model::statuses::{StatusRow, StatusUpdate, combined_status};
use crate::model::world::{Row, Send, State};

/// The content of the row of a reply that was sent, and whose words are not known.
const UNKNOWN_TEXT: &str = "[reply not recorded]";

/// Guarantee 6: no status is lost or duplicated, and each has its effect on the answer's row.
pub fn check(state: &State, findings: &mut Findings) {
    let statuses = &state.statuses;
    for (update, ok) in &statuses.updates {
        let at = i64::try_from(update.at).unwrap_or_default();
        let same = |row: &&StatusRow| {
            row.wamid.as_str() == update.wamid && row.name == update.name && row.at.timestamp() == at
        };
        let stored = statuses.rows.values().filter(same).count();
        let StatusUpdate { wamid, name, .. } = update;
        if stored == 0 && *ok {
            findings.counts.lost_statuses += 1;
            findings.violations.push(format!("{wamid} ({name}): the status is missing"));
        }
        if stored > 1 {
            findings.counts.duplicate_statuses += 1;
            findings.violations.push(format!("{wamid} ({name}): the status is stored {stored} times"));
        }
    }
    let known: Vec<_> = statuses.rows.values().map(|row| (row.wamid.as_str(), row.name.as_str())).collect();
    for (id, row) in state.rows.iter().filter(|(_, row)| row.row.role == Role::Assistant) {
        let shown = row.status.as_deref();
        let expected = combined_status(row.wamids(), &known);
        let mut of_row = statuses.rows.values().filter(|status| row.wamids().contains(&status.wamid));
        if shown != expected || of_row.any(|status| status.message_id != Some(*id)) {
            findings.counts.wrong_statuses += 1;
            let wamid = &row.wamid;
            findings.violations.push(format!("{wamid}: its answer is {shown:?} and should be {expected:?}"));
        }
        // Messages of the business itself were not sent by the functions.
        if row.row.payload.as_ref().is_none_or(|payload| payload.get().starts_with(r#"{"llm":"#)) {
            check_wamids(state, row, findings);
        }
    }
}

/// Checks the wamids in a row, if each message was sent once: without them no status finds the row.
fn check_wamids(state: &State, row: &Row, findings: &mut Findings) {
    let (wamid, wamids) = (row.wamid.as_str(), row.wamids());
    // A late duplicate may get the registration text if the sender is unlinked by then.
    let is_of_row = |send: &&Send| send.wamid == wamid && send.is_reply;
    let sends: Vec<&Send> = state.sends.iter().filter(is_of_row).collect();
    let mut parts: Vec<u32> = sends.iter().map(|send| send.callback.part).collect();
    parts.sort_unstable();
    let is_doubtful = |attempt: &Attempt| attempt.lost || attempt.rejected_permanently;
    let once = parts.windows(2).all(|pair| pair[0] != pair[1])
        && !state.attempts.of(wamid).any(|(_, attempt, _)| is_doubtful(attempt));
    let known = sends.iter().filter(|send| wamids.iter().any(|wamid| wamid.as_str() == send.id)).count();
    // It may have been answered as an unlinked sender's before.
    let uncertain = state.people.questions.get(wamid).is_some_and(|question| question.uncertain);
    // Only what has a status is known of a reply whose words are not.
    let uncertain = uncertain || row.row.content == UNKNOWN_TEXT;
    if (once && known < sends.len() && !uncertain) || known < wamids.len() {
        findings.counts.wrong_statuses += 1;
        findings.violations.push(format!("{wamid}: its row has {known} of its {} wamids", sends.len()));
    }
}
