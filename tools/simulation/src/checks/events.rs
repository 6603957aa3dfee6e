//! Guarantee 6 for all other events.

use crate::checks::findings::Findings;
use crate::model::world::State;

/// Guarantee 6: no event is lost, and one with a time is stored once.
pub fn check(state: &State, findings: &mut Findings) {
    for (mark, event) in &state.events.sent {
        let stored = state.events.rows.values().filter(|stored| *stored == mark).count();
        if (stored == 0 && event.ok) || (stored > 1 && event.kind.has_time()) {
            findings.counts.lost_events += 1;
            findings.violations.push(format!("{mark} ({:?}) is stored {stored} times", event.kind));
        }
    }
}
