//! How an invocation's time is shared out.

use std::time::Duration;

use crate::graph::{SEEN_TIMEOUT, SEND_TIMEOUT};
use crate::users::{self, LEARN_TIMEOUT};
use crate::{history, queues};

/// What one message may take at most, by step, if its answer is one part. The responder's time is not in it: a responder
/// that takes long adds its own.
pub const STEPS: [(&str, Duration); 7] = [
    ("look-ups", users::TIMEOUT),
    ("marking as read", SEEN_TIMEOUT),
    ("send", SEND_TIMEOUT),
    ("insert", history::TIMEOUT),
    ("record queue", queues::TIMEOUTS.call),
    ("visibility timeout", queues::TIMEOUTS.call),
    ("linking", LEARN_TIMEOUT),
];

/// What one message may take at most: the sum of [`STEPS`]. No message after the first of a group is begun with less time.
pub const MESSAGE_BUDGET: Duration = {
    let (mut sum, mut step) = (Duration::ZERO, 0);
    while step < STEPS.len() {
        sum = sum.saturating_add(STEPS[step].1);
        step += 1;
    }
    sum
};

/// What is kept of an invocation's time for its response.
pub const RESPONSE: Duration = Duration::from_millis(250);

/// What is kept of an invocation's time for recording what was sent, or for handing it over to the record queue.
pub const HANDOVER: Duration = Duration::from_secs(2);
