//! One run: a world from its seed, all of its events, and the violations at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use local_sqs::{Broker, NewMessage, queue_arn};
use tokio::time::{sleep, timeout};
use tracing::subscriber::NoSubscriber;

use crate::Defect;
use crate::actors::bodies::{About, about};
use crate::actors::queues::{self, PAIRS};
use crate::actors::{follow, identities, lambda, linkers, meta};
use crate::checks::history;
use crate::checks::invariants;
use crate::harness::report::Outcome;
use crate::model::attempts::Attempts;
use crate::model::codes::Codes;
use crate::model::events::Events;
use crate::model::faults::{Answering, Answers, Chance, Plan};
use crate::model::llm::Llm;
use crate::model::people::People;
use crate::model::statuses::Statuses;
use crate::model::trace::Trace;
use crate::model::turns::{Turns, gather};
use crate::model::world::{State, World};
use local_sqs::deployed::{INBOUND, RECORDS};

/// Time limit of a run, in virtual milliseconds: 30 days.
const TIME_LIMIT: u64 = 30 * 24 * 3_600_000;

/// What differs from the world that a seed draws.
#[derive(Clone, Copy, Debug, Default)]
pub struct Variant {
    /// A deliberate defect.
    pub defect: Option<Defect>,
    /// A window instead of the drawn one.
    pub window: Option<Duration>,
}

impl From<Option<Defect>> for Variant {
    fn from(defect: Option<Defect>) -> Self {
        Self { defect, window: None }
    }
}

/// Runs the world of `seed`, optionally with a deliberate defect, or with another window.
///
/// # Errors
/// If the simulation itself cannot be set up.
pub fn run(seed: u64, variant: impl Into<Variant>, stores_lines: bool) -> anyhow::Result<Outcome> {
    let variant = variant.into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    // The logs of the functions are discarded here.
    tracing::subscriber::with_default(NoSubscriber::default(), || {
        runtime.block_on(run_world(seed, variant, stores_lines))
    })
}

async fn run_world(seed: u64, variant: Variant, stores_lines: bool) -> anyhow::Result<Outcome> {
    let Variant { defect, window } = variant;
    let mut chance = Chance::new(seed);
    let (mut answering, mut turns_chance) = Answering::draw(seed);
    if let Some(window) = window {
        answering.window = window;
    }
    if let Some(defect) = defect {
        defect.adapt(&mut answering);
    }
    let mut plan = Plan::draw(&mut chance, answering);
    let llm = Llm::draw(seed, plan.end);
    // Statuses are the only fault of some runs.
    if llm.answers && defect.is_none() && !plan.rejects_statuses {
        plan.answering.answers = Answers::Llm;
    }
    if defect.is_some_and(Defect::needs_identity_changes) {
        // Only such runs show the defect, and sooner without statuses.
        plan.identities = !plan.isolated;
        plan.sends_statuses = false;
    }
    if defect.is_some_and(Defect::needs_linking) {
        plan.links = true;
        plan.sends_statuses = false;
    }
    let mut events = Events::default();
    let (mut people, mut posts) = People::draw(&mut chance, &plan, &mut events);
    gather(&mut turns_chance, &plan, &mut people, &mut posts);
    let concurrency = usize::try_from(chance.between(2, 5))?;
    let world = World::new(State {
        now: 0,
        broker: Broker::new(seed),
        chance,
        plan,
        defect,
        trace: Trace::new(stores_lines),
        injected: BTreeMap::new(),
        rows: BTreeMap::new(),
        statuses: Statuses::default(),
        events,
        sends: Vec::new(),
        attempts: Attempts::default(),
        people,
        codes: Codes::default(),
        busy: 0,
        invocations: 0,
        processes: Vec::new(),
        started: 0,
        cut: 0,
        untried: BTreeSet::new(),
        misread: BTreeSet::new(),
        unsendable: BTreeSet::new(),
        repaired: false,
        turns: Turns::new(turns_chance),
        llm,
    });
    {
        let mut state = world.lock();
        let state = &mut *state;
        let at = state.timestamp();
        queues::create(&mut state.broker, at)?;
        if state.plan.unreadable {
            state.inject("unreadable envelope");
            let message = NewMessage::fifo(r#"{"v2":{"message":{}}}"#, "other", "v2");
            state.broker.send(at, INBOUND, &message)?;
        }
    }
    lambda::map(&world, INBOUND, 10, concurrency);
    lambda::map(&world, RECORDS, 10, 2);
    meta::start(&world, posts);
    identities::start(&world);
    linkers::start(&world);

    let mut settled = settle(&world).await;
    repair(&world).await;
    let mut dead_letters = 0;
    // A dead letter that remains after the repair is permanent.
    for _ in 0..2 {
        let moved = redrive(&world)?;
        if moved == 0 {
            break;
        }
        dead_letters = dead_letters.max(moved);
        settled &= settle(&world).await;
    }
    let history_errors = history::read_all(&world).await;
    let mut state = world.lock();
    let findings = invariants::check(&mut state, settled, history_errors);
    Ok(Outcome {
        seed,
        messages: state.people.questions.len() as u64,
        statuses: state.statuses.updates.len() as u64,
        events: state.events.sent.len() as u64,
        links: state.people.linking.links(),
        injected: std::mem::take(&mut state.injected),
        dead_letters,
        findings,
        digest: state.trace.digest(),
        trace: state.trace.lines().to_vec(),
    })
}

/// Waits until all actors are done and the queues are empty. Returns false at the time limit.
async fn settle(world: &Arc<World>) -> bool {
    loop {
        let changed = world.changed.notified();
        {
            let mut state = world.lock();
            let at = state.timestamp();
            state.broker.advance(at);
            let empty = |name| {
                state.broker.queue(name).is_ok_and(|queue| {
                    let counts = queue.counts();
                    counts.visible + counts.in_flight + counts.delayed == 0
                })
            };
            if state.busy == 0 && empty(INBOUND) && empty(RECORDS) {
                return true;
            }
            if state.now > TIME_LIMIT {
                return false;
            }
        }
        let _ = timeout(Duration::from_secs(24 * 3600), changed).await;
    }
}

/// After the last fault, an operator repairs all causes.
async fn repair(world: &Arc<World>) {
    let left = {
        let state = world.lock();
        state.plan.end.saturating_sub(state.now)
    };
    sleep(Duration::from_millis(left)).await;
    let mut state = world.lock();
    state.repaired = true;
    state.note("operator", format_args!("has repaired everything"));
}

/// Redrives the dead letters and returns their number.
fn redrive(world: &Arc<World>) -> anyhow::Result<u64> {
    let mut moved = 0;
    let mut state = world.lock();
    let state = &mut *state;
    let at = state.timestamp();
    for (source, dead_letters, _) in PAIRS {
        let view = state.broker.queue(dead_letters)?.view();
        for letter in &view.messages {
            moved += 1;
            let what = about(letter.body.as_str());
            if let About::Event(mark) = &what {
                follow::dead_letter(state, mark);
            }
            if let About::Message(wamid) = what
                && let Some(question) = state.people.questions.get_mut(&wamid)
            {
                question.out_of_order = true;
                let tried = state.attempts.of(&wamid).next().is_some();
                // While SQS rejects all calls for hours, `reply` cannot dead-letter the head of a group, and
                // SQS keeps counting receives of the messages behind it.
                if !tried && state.plan.queue.is_empty() {
                    state.untried.insert(wamid);
                }
            }
        }
        state.note("operator", format_args!("redrives {} of {dead_letters}", view.messages.len()));
        if state.has_defect(Defect::LoseDeadLetters) {
            // At most once a minute, which is sufficient.
            let _ = state.broker.purge(at, dead_letters);
        } else if !view.messages.is_empty() {
            state.broker.start_move(at, &queue_arn(dead_letters), Some(&queue_arn(source)), None)?;
        }
    }
    world.changed.notify_waiters();
    Ok(moved)
}
