//! The faults that the page can inject.

use serde::Serialize;

/// A switch or an action.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fault {
    pub(crate) id: &'static str,
    pub(crate) label: &'static str,
    /// The effect, and the guarantee that holds anyway.
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

/// All faults, switched off; those of the language model only for the fake one.
pub(crate) fn all(has_fake_model: bool) -> Vec<Fault> {
    let new = |kind| move |(id, label, explanation)| Fault { id, label, explanation, kind, on: false };
    let switches = [
        (
            "database-down",
            "Database down",
            "PostgreSQL is stopped. Replies are sent anyway; their rows wait on the record queue until it is back.",
        ),
        (
            "graph-429",
            "Graph API: too many requests",
            "Sends fail with 429, code 130429. The message is postponed and retried; later messages of the sender wait behind it.",
        ),
        (
            "graph-500",
            "Graph API: error",
            "Sends fail with 500, code 131000. The message is postponed and retried, in order.",
        ),
        (
            "graph-131056",
            "Graph API: pair rate limit",
            "Sends fail with 400, code 131056: too many messages to one recipient. The backoff grows fourfold, as Meta advises.",
        ),
        (
            "graph-slow",
            "Graph API: slow",
            "Every send takes 4 seconds. Other senders get their replies meanwhile.",
        ),
        (
            "graph-lost",
            "Graph API: response lost",
            "Sends are accepted and the connection is reset without a response. The message is retried after 20 seconds; a status has come by then, and no second reply is sent.",
        ),
        (
            "graph-token-expired",
            "Graph API: token expired",
            "Every call fails with 401, code 190. Messages are retried every 15 minutes until the token is replaced.",
        ),
        (
            "sqs-unavailable",
            "SQS unavailable",
            "The inbound queue rejects sends: webhook returns 500 and Meta retries later. No accepted message is lost.",
        ),
        (
            "duplicate-delivery",
            "Duplicate delivery",
            "Meta posts every webhook twice at the same time. Each message gets one reply and is recorded once.",
        ),
    ];
    let of_model = [
        (
            "model-429",
            "Model: too many requests",
            "Calls fail with 429 and Retry-After: 5. The messages are retried after that; no person waits longer than two minutes for the fallback text.",
        ),
        (
            "model-500",
            "Model: error",
            "Calls fail with 500. The messages are retried after 4 and 16 seconds; after the third try the fallback text is sent, once.",
        ),
        (
            "model-401",
            "Model: invalid key",
            "Calls fail with 401, which raises an operator's alarm. The messages are retried, and answered with the fallback text after two minutes.",
        ),
        (
            "model-slow",
            "Model: slow",
            "Every answer takes 30 seconds. The phone shows typing meanwhile, and other senders get their replies.",
        ),
        (
            "model-lost",
            "Model: answer lost",
            "The connection is reset when the answer is ready, and paid for. The messages are retried.",
        ),
        (
            "model-garbage",
            "Model: unreadable answer",
            "The answer is a page of HTML. The fallback text is sent at once.",
        ),
        (
            "model-refusal",
            "Model: refusal",
            "The model refuses to answer. The fallback text is sent at once.",
        ),
        (
            "model-content-filter",
            "Model: content filter",
            "A filter cuts the answer off. The fallback text is sent at once, and not the half answer.",
        ),
        (
            "model-context",
            "Model: context too long",
            "The model accepts six messages. A longer conversation is asked again with half of its history.",
        ),
    ];
    let actions = [
        (
            "kill-reply",
            "Kill reply",
            "SIGKILL to every process of reply. Messages in flight are redelivered after their visibility timeout; at most one reply is sent twice.",
        ),
        (
            "dead-letter",
            "Create a dead letter",
            "A message of user A fails fifty times because the token has expired. reply dead-letters it with its cause; a redrive sends it again.",
        ),
        (
            "skip-backoff",
            "Skip the backoff",
            "Postponed messages are retried now, and messages of a killed reply are redelivered now.",
        ),
        (
            "last-attempt",
            "Skip to the last attempt",
            "Postponed messages are retried now, for the last time. A message that fails again is dead-lettered.",
        ),
    ];
    let of_model = of_model.map(new(Kind::Switch)).into_iter().filter(|_| has_fake_model);
    let switches = switches.map(new(Kind::Switch)).into_iter().chain(of_model);
    switches.chain(actions.map(new(Kind::Action))).collect()
}
