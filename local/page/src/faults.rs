//! Makes what can go wrong happen. All of it happens to the services, none of it in the functions.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use chrono::Utc;
use local_graph::Fault;
use local_lambda::Function;
use local_process::Signal;
use local_sqs::{Action, Fault as QueueFault, Skip, SqsServer, State, Timestamp};
use reply::delivery::Source;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::compose;
use crate::live::{Changed, Hub};
use crate::meta::Meta;
use crate::problem::Problem;
use crate::queues::message_on;
use crate::trouble::{Kind, Trouble};
use local_stack::queues::{INBOUND, INBOUND_DEAD_LETTERS, RECORDS};
use local_stack::services::Services;
use ops::dead_letters::queue::DeadLetters;
use ops::dead_letters::redrive::Redriven;

/// How long a call of the Graph API takes when it is slow.
const SLOW: Duration = Duration::from_secs(4);
/// How long a message may take to become a dead letter: the person waits.
const DEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long the end of a killed process may take to be noticed, and how often that is looked at.
const GONE_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Makes trouble.
pub(crate) struct Troubles {
    services: Weak<Services>,
    reply: Function,
    hub: Arc<Hub>,
    meta: Meta,
    /// When `reply` was killed last, on the queues' clock: what it had in hand then has nobody now.
    killed_at: Mutex<Option<Timestamp>>,
}

impl Troubles {
    pub(crate) fn new(services: Weak<Services>, reply: Function, hub: Arc<Hub>, meta: Meta) -> Self {
        Self { services, reply, hub, meta, killed_at: Mutex::default() }
    }

    fn services(&self) -> Result<Arc<Services>, Problem> {
        self.services.upgrade().ok_or_else(Problem::stopping)
    }

    /// Turns a switch. What waited because of it is tried at once when it is turned off.
    pub(crate) async fn switch(&self, id: &str, on: bool) -> Result<Trouble, Problem> {
        let services = self.services()?;
        let trouble = self.find(id, Kind::Switch)?;
        match trouble.id {
            "database-down" => {
                let ours = services.supabase.own().map_err(|error| Problem::conflict(error.to_string()))?;
                let database = ours.database();
                let done = if on { database.stop().await } else { database.start().await };
                done.map_err(|error| Problem::conflict(format!("{error:#}")))?;
            }
            "graph-token-expired" => services.graph.expire_access_token(on.then(Utc::now)),
            "sqs-refusing" => {
                let fault = on.then_some(QueueFault::Unavailable);
                own_queues(&services)?.fail_always(Action::SendMessageBatch, fault);
            }
            "duplicate-delivery" => self.meta.set_twice(on),
            _ => {}
        }
        let trouble = self.hub.change(|model| {
            let one = model.trouble.iter_mut().find(|one| one.id == trouble.id);
            if let Some(one) = one {
                one.on = on;
            }
            // All of the Graph API's at once: several may be on.
            services.graph.fail_always(graph_fault(&model.trouble));
            model.tell(Changed::Trouble(trouble.id));
            Trouble { on, ..trouble }
        });
        if !on && let Ok(server) = own_queues(&services) {
            self.skip_waits(server, 0);
        }
        self.hub.survey_soon();
        Ok(trouble)
    }

    /// Does something, and says what has happened.
    pub(crate) async fn act(&self, id: &str) -> Result<String, Problem> {
        let services = self.services()?;
        match self.find(id, Kind::Action)?.id {
            "kill-reply" => self.kill_reply(&services).await,
            "dead-letter" => self.make_dead_letter(&services).await,
            id => {
                let hours_pass = id == "hours-pass";
                // As SQS counts: the next receive is the last try.
                let receives = |source: Source| if hours_pass { source.max_receives() - 1 } else { 0 };
                let server = own_queues(&services)?;
                let messages = self.skip(server, INBOUND, receives(Source::Inbound))
                    + self.skip(server, RECORDS, receives(Source::Records));
                Ok(match (messages, hours_pass) {
                    (0, _) => "Nothing waits for its next try.".to_owned(),
                    (1, false) => "1 message is tried now.".to_owned(),
                    (_, false) => format!("{messages} messages are tried now."),
                    (1, true) => "1 message is tried for the last time now.".to_owned(),
                    (_, true) => format!("{messages} messages are tried for the last time now."),
                })
            }
        }
    }

    /// Sends all dead letters back to where they came from.
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

    fn find(&self, id: &str, kind: Kind) -> Result<Trouble, Problem> {
        let is_it = |one: &&Trouble| one.id == id && one.kind == kind;
        let found = self.hub.look(|model| model.trouble.iter().find(is_it).cloned());
        found.ok_or_else(|| Problem::unknown(if kind == Kind::Switch { "switch" } else { "action" }))
    }

    async fn kill_reply(&self, services: &Services) -> Result<String, Problem> {
        let killed = self.reply.instance_pids();
        for pid in &killed {
            local_process::signal(*pid, Signal::SIGKILL)
                .map_err(|error| Problem::from(anyhow::Error::from(error)))?;
        }
        // Until their end is noticed, they may still be given a message.
        let gone = async {
            while self.reply.instance_pids().iter().any(|pid| killed.contains(pid)) {
                sleep(LOOK_EVERY).await;
            }
        };
        // After that time it does not matter: what they hold comes back by itself.
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

    /// User A writes, and every try fails.
    async fn make_dead_letter(&self, services: &Services) -> Result<String, Problem> {
        let server = own_queues(services)?;
        let phone = self.hub.look(|model| model.phones.get("a").cloned());
        let phone = phone.ok_or_else(|| Problem::unknown("phone"))?;
        let message = compose::text(&phone, "Can anybody read this?");
        let wamid = message.wamids.first().cloned().unwrap_or_default();
        // The first try, and the one that is the last.
        let address = compose::address(&phone);
        services.graph.fail_recipient(&address, Some(2), Fault::error(401, 190));
        let status = self.meta.deliver(message.body).await?;
        if status != 200 {
            return Err(Problem::conflict(format!("webhook answered {status}: there is other trouble")));
        }
        let dies = async {
            let mut changes = server.changes();
            let mut is_aged = false;
            while find(server, INBOUND_DEAD_LETTERS, &wamid).is_none() {
                if !is_aged && let Some((message_id, true)) = find(server, INBOUND, &wamid) {
                    let receives = Source::Inbound.max_receives() - 1;
                    let skip = Skip { message_id: Some(message_id), receives, lost_before: None };
                    is_aged =
                        server.with_broker(|broker, now| broker.skip_waits(now, INBOUND, &skip)).is_ok();
                }
                let _ = changes.changed().await;
            }
        };
        timeout(DEAD_WITHIN, dies).await.map_err(|_| {
            Problem::conflict("it is no dead letter yet: an earlier message of user A may stand before it")
        })?;
        Ok("A message of user A is a dead letter. The token is valid again: redrive it, and it is answered."
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

/// Another endpoint's queues cannot be told to fail, nor be looked at.
fn own_queues(services: &Services) -> Result<&SqsServer, Problem> {
    let server = services.queues.server.as_ref();
    server
        .ok_or_else(|| Problem::conflict("this needs local's own queue: start local without --sqs-endpoint"))
}

/// What sends meet, with these switches.
fn graph_fault(trouble: &[Trouble]) -> Option<Fault> {
    let is_on = |id: &str| trouble.iter().any(|one| one.id == id && one.on);
    let errors = [("graph-429", 429, 130_429), ("graph-500", 500, 131_000), ("graph-131056", 400, 131_056)];
    let error =
        errors.into_iter().find(|(id, ..)| is_on(id)).map(|(_, status, code)| Fault::error(status, code));
    match (error, is_on("graph-slow")) {
        (None, false) => None,
        (error, slow) => {
            let fault = error.unwrap_or(Fault::slow(Duration::ZERO));
            Some(if slow { fault.after(SLOW) } else { fault })
        }
    }
}

/// A message on a queue, and whether it waits there for its next try.
fn find(server: &SqsServer, queue: &str, wamid: &str) -> Option<(Uuid, bool)> {
    let is_it = |message: &local_sqs::MessageView| message_on(message).as_deref() == Some(wamid);
    let message = server.view(queue)?.messages.into_iter().find(is_it)?;
    Some((message.message_id, matches!(message.state, State::InFlight { changed: true, .. })))
}

#[cfg(test)]
mod tests {
    use local_graph::Outcome;

    use super::*;

    fn with(on: &[&str]) -> Vec<Trouble> {
        let switch = |trouble: Trouble| Trouble { on: on.contains(&trouble.id), ..trouble };
        crate::trouble::all().into_iter().map(switch).collect()
    }

    #[test]
    fn errors_of_the_graph_api_can_be_slow_too() {
        assert_eq!(graph_fault(&with(&[])), None);
        assert_eq!(graph_fault(&with(&["graph-500"])), Some(Fault::error(500, 131_000)));
        assert_eq!(graph_fault(&with(&["graph-slow"])), Some(Fault::slow(SLOW)));
        let both = graph_fault(&with(&["graph-slow", "graph-429"])).expect("a fault");
        assert_eq!((both.delay, both.outcome), (SLOW, Outcome::Error { status: 429, code: 130_429 }));
    }
}
