//! Payloads posted by Meta.

use std::sync::OnceLock;

use crate::model::faults::{Chance, Plan};
use crate::model::statuses::StatusUpdate;

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

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

/// A request from Meta.
#[derive(Debug)]
pub struct Request {
    /// The API Gateway event, as JSON.
    pub event: String,
    /// The statuses in it.
    pub statuses: Vec<StatusUpdate>,
    /// Description for the trace.
    pub what: String,
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
