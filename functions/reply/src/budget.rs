//! The division of an invocation's time.

use std::time::Duration;

use crate::graph::{MARK_READ_TIMEOUT, SEND_TIMEOUT};
use crate::users::{self, LINK_TIMEOUT};
use crate::{history, queues, stored_answers};

/// The maximum time of the responder, unless its reply depends on nothing but the question.
pub const RESPONDER: Duration = Duration::from_secs(45);

/// The maximum time for one message by step, if its reply is one part.
pub const STEPS: [(&str, Duration); 9] = [
    ("lookups", users::TIMEOUT),
    ("marking as read", MARK_READ_TIMEOUT),
    ("responder", RESPONDER),
    ("storing the reply", stored_answers::TIMEOUT),
    ("send", SEND_TIMEOUT),
    ("insert", history::TIMEOUT),
    ("record queue", queues::TIMEOUTS.call),
    ("visibility timeout", queues::TIMEOUTS.call),
    ("completing the link", LINK_TIMEOUT),
];

/// The maximum time for one message: the sum of [`STEPS`]. After the first message of a group, none is started with less
/// time.
pub const MESSAGE_BUDGET: Duration = {
    let (mut sum, mut step) = (Duration::ZERO, 0);
    while step < STEPS.len() {
        sum = sum.saturating_add(STEPS[step].1);
        step += 1;
    }
    sum
};

/// The same, with a responder that takes no time and whose reply is not stored.
pub const PURE_BUDGET: Duration =
    MESSAGE_BUDGET.saturating_sub(RESPONDER).saturating_sub(stored_answers::TIMEOUT);

/// The time reserved in an invocation for its response.
pub const RESPONSE: Duration = Duration::from_millis(250);

/// The time reserved in an invocation for recording a sent reply, or for handing it over to the record queue.
pub const HANDOVER: Duration = Duration::from_secs(2);
