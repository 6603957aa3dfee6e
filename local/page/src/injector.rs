//! Injects faults into the services, never into the functions.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use chrono::Utc;
use local_graph::Fault as GraphFault;
use local_lambda::Function;
use local_model::{Fault as ModelFault, Outcome};
use local_process::Signal;
use local_sqs::{Action, Fault as QueueFault, Skip, SqsServer, State, Timestamp};
use reply::delivery::Source;
use reply::turns::HOLDS;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::compose;
use crate::faults::{Fault, Kind};
use crate::live::{Changed, Hub};
use crate::meta::Meta;
use crate::problem::Problem;
use crate::queues::messages_on;
use local_stack::queues::{INBOUND, INBOUND_DEAD_LETTERS, RECORDS};
use local_stack::services::Services;
use ops::dead_letters::queue::DeadLetters;
use ops::dead_letters::redrive::Redriven;

/// The receives after which `reply` dead-letters a message, with any window.
const MAX_INBOUND_ATTEMPTS: u32 = Source::Inbound.max_receives() + HOLDS;
/// The duration of a slow call of the Graph API.
const SLOW: Duration = Duration::from_secs(4);
/// The duration of a slow answer of the language model: longer than a phone shows the typing indicator, 25 seconds.
const SLOW_MODEL: Duration = Duration::from_secs(30);
/// The context of the language model if it is short, in messages.
const SHORT_CONTEXT: usize = 6;
/// The limit for a message to become a dead letter.
const DEAD_WITHIN: Duration = Duration::from_secs(30);
/// The limit until the end of a killed process is noticed, and the polling interval.
const GONE_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Injects faults.
pub(crate) struct Injector {
    services: Weak<Services>,
    reply: Function,
    hub: Arc<Hub>,
    meta: Meta,
    /// The time of the last kill of `reply`, on the queues' clock: its messages in flight have no consumer since.
    killed_at: Mutex<Option<Timestamp>>,
}

impl Injector {
    pub(crate) fn new(services: Weak<Services>, reply: Function, hub: Arc<Hub>, meta: Meta) -> Self {
        Self { services, reply, hub, meta, killed_at: Mutex::default() }
    }

    fn services(&self) -> Result<Arc<Services>, Problem> {
        self.services.upgrade().ok_or_else(Problem::stopping)
    }

    /// Turns a switch. Turning it off also retries the messages that it delayed.
    pub(crate) async fn switch(&self, id: &str, on: bool) -> Result<Fault, Problem> {
        let services = self.services()?;
        let fault = self.find(id, Kind::Switch)?;
        match fault.id {
            "database-down" => {
                let ours = services.supabase.own().map_err(|error| Problem::conflict(error.to_string()))?;
                let database = ours.database();
                let done = if on { database.stop().await } else { database.start().await };
                done.map_err(|error| Problem::conflict(format!("{error:#}")))?;
            }
            "graph-token-expired" => services.graph.expire_access_token(on.then(Utc::now)),
            "sqs-unavailable" => {
                let refusal = on.then_some(QueueFault::Unavailable);
                own_queues(&services)?.fail_always(Action::SendMessageBatch, refusal);
            }
            "duplicate-delivery" => self.meta.set_twice(on),
            _ => {}
        }
        let fault = self.hub.change(|model| {
            let one = model.faults.iter_mut().find(|one| one.id == fault.id);
            if let Some(one) = one {
                one.on = on;
            }
            // All faults of a service together: several may be on.
            services.graph.fail_always(graph_fault(&model.faults));
            if let Some(fake) = &services.fake_model {
                fake.fail_always(model_fault(&model.faults));
            }
            model.mark(Changed::Fault(fault.id));
            Fault { on, ..fault }
        });
        if !on && let Ok(server) = own_queues(&services) {
            self.skip_waits(server, 0);
        }
        self.hub.survey_soon();
        Ok(fault)
    }

    /// Runs an action and describes its result.
    pub(crate) async fn act(&self, id: &str) -> Result<String, Problem> {
        let services = self.services()?;
        match self.find(id, Kind::Action)?.id {
            "kill-reply" => self.kill_reply(&services).await,
            "dead-letter" => self.make_dead_letter(&services).await,
            id => {
                let is_last = id == "last-attempt";
                // As SQS counts: the next receive is the last attempt.
                let receives = |maximum: u32| if is_last { maximum - 1 } else { 0 };
                let server = own_queues(&services)?;
                let messages = self.skip(server, INBOUND, receives(MAX_INBOUND_ATTEMPTS))
                    + self.skip(server, RECORDS, receives(Source::Records.max_receives()));
                Ok(match (messages, is_last) {
                    (0, _) => "No message is postponed.".to_owned(),
                    (1, false) => "1 message is retried now.".to_owned(),
                    (_, false) => format!("{messages} messages are retried now."),
                    (1, true) => "1 message is retried now, for the last time.".to_owned(),
                    (_, true) => format!("{messages} messages are retried now, for the last time."),
                })
            }
        }
    }

    /// Redrives all dead letters to their source queues.
    pub(crate) async fn redrive(&self) -> Result<Redriven, Problem> {
        let services = self.services()?;
        let queues = &services.queues;
        let mut all = Redriven::default();
        for url in queues.dead_letter_urls() {
            let letters = DeadLetters::open(queues.client.clone(), &url).await?;
            let redriven = letters.redrive(false).await?;
            all.moved += redriven.moved;
            all.left = all.left.or(redriven.left);
        }
        self.hub.survey_soon();
        Ok(all)
    }

    fn find(&self, id: &str, kind: Kind) -> Result<Fault, Problem> {
        let is_it = |one: &&Fault| one.id == id && one.kind == kind;
        let found = self.hub.look(|model| model.faults.iter().find(is_it).cloned());
        found.ok_or_else(|| Problem::unknown(if kind == Kind::Switch { "switch" } else { "action" }))
    }

    async fn kill_reply(&self, services: &Services) -> Result<String, Problem> {
        let killed = self.reply.instance_pids();
        for pid in &killed {
            local_process::signal(*pid, Signal::SIGKILL)
                .map_err(|error| Problem::from(anyhow::Error::from(error)))?;
        }
        // Until their end is noticed, they may still receive a message.
        let gone = async {
            while self.reply.instance_pids().iter().any(|pid| killed.contains(pid)) {
                sleep(LOOK_EVERY).await;
            }
        };
        // After this limit it does not matter: their messages are redelivered after the visibility timeout.
        let _ = timeout(GONE_WITHIN, gone).await;
        if let Ok(server) = own_queues(services) {
            let now = server.with_broker(|_, now| now);
            *self.killed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        Ok(match killed.len() {
            1 => "1 process of reply was killed.".to_owned(),
            count => format!("{count} processes of reply were killed."),
        })
    }

    /// Sends a message of user A that fails at every attempt.
    async fn make_dead_letter(&self, services: &Services) -> Result<String, Problem> {
        let server = own_queues(services)?;
        let phone = self.hub.look(|model| model.phones.get("a").cloned());
        let phone = phone.ok_or_else(|| Problem::unknown("phone"))?;
        let message = compose::text(&phone, "Is this message lost?");
        let wamid = message.wamids.first().cloned().unwrap_or_default();
        // The first attempt, and the last. With a window the message is held at first, and aged then.
        let attempts = if services.reply_window == 0 { 2 } else { 1 };
        let address = compose::address(&phone);
        services.graph.fail_recipient(&address, Some(attempts), GraphFault::error(401, 190));
        let status = self.meta.deliver(message.body).await?;
        if status != 200 {
            return Err(Problem::conflict(format!("webhook returned {status}: another fault is on")));
        }
        let dies = async {
            let mut changes = server.changes();
            let mut is_aged = false;
            while find(server, INBOUND_DEAD_LETTERS, &wamid).is_none() {
                if !is_aged && let Some((message_id, true)) = find(server, INBOUND, &wamid) {
                    let receives = MAX_INBOUND_ATTEMPTS - 1;
                    let skip = Skip { message_id: Some(message_id), receives, lost_before: None };
                    is_aged =
                        server.with_broker(|broker, now| broker.skip_waits(now, INBOUND, &skip)).is_ok();
                }
                let _ = changes.changed().await;
            }
        };
        timeout(DEAD_WITHIN, dies).await.map_err(|_| {
            Problem::conflict("it is not a dead letter yet: it may wait behind an earlier message of user A")
        })?;
        Ok("A message of user A was dead-lettered. The token is valid again: redrive the message to get a reply."
            .to_owned())
    }

    fn skip_waits(&self, server: &SqsServer, receives: u32) {
        for name in [INBOUND, RECORDS] {
            self.skip(server, name, receives);
        }
    }

    fn skip(&self, server: &SqsServer, name: &str, receives: u32) -> usize {
        let lost_before = *self.killed_at.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = Skip { message_id: None, lost_before, receives };
        server.with_broker(|broker, now| broker.skip_waits(now, name, &skip)).unwrap_or_default()
    }
}

/// The emulator's queues. Those of another endpoint can be neither inspected nor made to fail.
fn own_queues(services: &Services) -> Result<&SqsServer, Problem> {
    let server = services.queues.server.as_ref();
    server.ok_or_else(|| Problem::conflict("this needs the SQS emulator: start local without --sqs-endpoint"))
}

/// The combined fault of sends, with these switches.
fn graph_fault(faults: &[Fault]) -> Option<GraphFault> {
    let is_on = |id: &str| faults.iter().any(|one| one.id == id && one.on);
    let errors = [("graph-429", 429, 130_429), ("graph-500", 500, 131_000), ("graph-131056", 400, 131_056)];
    let error = errors
        .into_iter()
        .find(|(id, ..)| is_on(id))
        .map(|(_, status, code)| GraphFault::error(status, code))
        .or(is_on("graph-lost").then(GraphFault::reset_after_effect));
    match (error, is_on("graph-slow")) {
        (None, false) => None,
        (error, slow) => {
            let fault = error.unwrap_or(GraphFault::slow(Duration::ZERO));
            Some(if slow { fault.after(SLOW) } else { fault })
        }
    }
}

/// The combined fault of the language model, with these switches.
fn model_fault(faults: &[Fault]) -> Option<ModelFault> {
    let is_on = |id: &str| faults.iter().any(|one| one.id == id && one.on);
    let outcomes = [
        ("model-429", Outcome::Throttled { retry_after: Some(5) }),
        ("model-500", Outcome::Error { status: 500 }),
        ("model-401", Outcome::Error { status: 401 }),
        ("model-lost", Outcome::Reset),
        ("model-garbage", Outcome::Garbage),
        ("model-refusal", Outcome::Refusal),
        ("model-content-filter", Outcome::ContentFilter),
        ("model-context", Outcome::ContextTooLong { longest: SHORT_CONTEXT }),
    ];
    let outcome = outcomes.into_iter().find(|(id, _)| is_on(id)).map(|(_, outcome)| outcome);
    let slow = is_on("model-slow").then_some(SLOW_MODEL);
    let fault = || ModelFault::from(outcome.unwrap_or_default()).after(slow.unwrap_or_default());
    (outcome.is_some() || slow.is_some()).then(fault)
}

/// A message on a queue, and whether it is postponed.
fn find(server: &SqsServer, queue: &str, wamid: &str) -> Option<(Uuid, bool)> {
    let is_it = |message: &local_sqs::MessageView| messages_on(message).iter().any(|on_it| on_it == wamid);
    let message = server.view(queue)?.messages.into_iter().find(is_it)?;
    Some((message.message_id, matches!(message.state, State::InFlight { changed: true, .. })))
}

#[cfg(test)]
mod tests {
    use local_graph::Outcome as GraphOutcome;

    use super::*;

    fn with(on: &[&str]) -> Vec<Fault> {
        let switch = |fault: Fault| Fault { on: on.contains(&fault.id), ..fault };
        crate::faults::all(true).into_iter().map(switch).collect()
    }

    #[test]
    fn errors_of_the_graph_api_can_be_slow_too() {
        assert_eq!(graph_fault(&with(&[])), None);
        assert_eq!(graph_fault(&with(&["graph-500"])), Some(GraphFault::error(500, 131_000)));
        assert_eq!(graph_fault(&with(&["graph-slow"])), Some(GraphFault::slow(SLOW)));
        assert_eq!(graph_fault(&with(&["graph-lost"])), Some(GraphFault::reset_after_effect()));
        let both = graph_fault(&with(&["graph-slow", "graph-429"])).expect("a fault");
        assert_eq!((both.delay, both.outcome), (SLOW, GraphOutcome::Error { status: 429, code: 130_429 }));
    }
    #[test]
    fn every_fault_of_the_model_has_an_effect_and_can_be_slow_too() {
        assert_eq!(model_fault(&with(&["graph-500"])), None);
        assert_eq!(model_fault(&with(&["model-slow"])), Some(ModelFault::slow(SLOW_MODEL)));
        for fault in crate::faults::all(true).iter().filter(|fault| fault.id.starts_with("model-")) {
            let alone = model_fault(&with(&[fault.id])).expect("a fault");
            assert_ne!(alone, Outcome::Answer.into(), "{}", fault.id);
            let slow = model_fault(&with(&[fault.id, "model-slow"]));
            assert_eq!(slow, Some(alone.after(SLOW_MODEL)), "{}", fault.id);
        }
        assert!(crate::faults::all(false).iter().all(|fault| !fault.id.starts_with("model-")));
    }
}
