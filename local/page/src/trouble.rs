//! What can go wrong in life, at the press of a button.

use serde::Serialize;

/// A switch or an action.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trouble {
    pub(crate) id: &'static str,
    pub(crate) label: &'static str,
    /// What happens, and what holds all the same.
    pub(crate) explanation: &'static str,
    pub(crate) kind: Kind,
    pub(crate) on: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Switch,
    Action,
}

/// What can go wrong.
pub(crate) fn all() -> Vec<Trouble> {
    let new = |kind| move |(id, label, explanation)| Trouble { id, label, explanation, kind, on: false };
    let switches = [
        (
            "database-down",
            "Database down",
            "PostgreSQL is stopped. Answers are sent all the same; their rows wait on the record queue until it is back.",
        ),
        (
            "graph-429",
            "Graph API: too many requests",
            "Sends are answered 429, code 130429. The message waits and is tried again; the sender's later messages wait behind it.",
        ),
        (
            "graph-500",
            "Graph API: error",
            "Sends are answered 500, code 131000. The message waits and is tried again, in order.",
        ),
        (
            "graph-131056",
            "Graph API: pair rate limit",
            "Sends are answered 400, code 131056: too many messages to one person. Waits grow fourfold, as Meta advises.",
        ),
        (
            "graph-slow",
            "Graph API: slow",
            "Every send takes 4 seconds. Other senders are answered meanwhile.",
        ),
        (
            "graph-token-expired",
            "Graph API: token expired",
            "Every call is answered 401, code 190. Messages wait a quarter of an hour at a time, until somebody repairs the token.",
        ),
        (
            "sqs-refusing",
            "SQS refuses",
            "The inbound queue takes nothing: webhook answers 500 and Meta posts again later. Nothing that was accepted is lost.",
        ),
        (
            "duplicate-delivery",
            "Meta delivers twice",
            "Every webhook is posted twice at the same time. Each message is answered and recorded once.",
        ),
    ];
    let actions = [
        (
            "kill-reply",
            "Kill reply now",
            "SIGKILL to every process of reply. What it had in hand comes back after its visibility timeout; one echo at most is sent twice.",
        ),
        (
            "dead-letter",
            "A dead letter",
            "User A writes, and it is received fifty times and fails each time because the token has expired. reply gives the message up with its cause; redriven, it is answered.",
        ),
        (
            "skip-waits",
            "Skip the waits",
            "What waits for its next try is tried now, and what a killed reply had in hand comes back now.",
        ),
        (
            "hours-pass",
            "Hours pass",
            "What waits for its next try has only its last try left, now. If it fails again it is a dead letter.",
        ),
    ];
    switches.map(new(Kind::Switch)).into_iter().chain(actions.map(new(Kind::Action))).collect()
}
