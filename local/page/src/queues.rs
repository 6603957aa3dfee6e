//! The position of each message on the queues.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat};
use local_sqs::{AttributeContent, MessageView, QueueView, SqsServer, State};
use reply::delivery::Work;
use reply::queues::CAUSE;
use serde::Serialize;
use shared::lambda::names::UpdateKind;

use local_stack::queues::{INBOUND, INBOUND_DEAD_LETTERS, RECORD_DEAD_LETTERS, RECORDS};
use ops::dead_letters::cause::Finding;

/// The displayed length of a message group, in characters.
const GROUP: usize = 8;

/// A message on a queue.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Place {
    name: &'static str,
    /// The beginning of the message group, a digest.
    group: Option<String>,
    /// 1 is the first of its group.
    position: Option<usize>,
    receives: u32,
    /// The time of the next delivery.
    visible_at: Option<String>,
    state: PlaceState,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum PlaceState {
    Waiting,
    #[serde(rename = "in flight")]
    InFlight,
    Gone,
    Dead,
}

/// The cause of a dead letter, and its queue.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Dead {
    pub(crate) queue: String,
    pub(crate) cause: String,
}

/// All messages on all queues.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// By wamid.
    all: HashMap<String, (Place, Option<Dead>)>,
    /// The wamids of each turn whose rows wait on the record queue. The task has the last one's.
    pub(crate) turns: Vec<Vec<String>>,
}

impl Places {
    /// Takes a snapshot of the queues.
    pub(crate) fn look(server: &SqsServer) -> Self {
        let names = [INBOUND, RECORDS, INBOUND_DEAD_LETTERS, RECORD_DEAD_LETTERS];
        let mut places = Self::default();
        // The later queue wins: a message is sent there before it is deleted from the earlier one.
        for (name, view) in names.into_iter().zip(server.views(names)) {
            if let Some(view) = view {
                places.add(name, &view);
            }
        }
        places
    }

    fn add(&mut self, name: &'static str, view: &QueueView) {
        let is_dead = [INBOUND_DEAD_LETTERS, RECORD_DEAD_LETTERS].contains(&name);
        let mut positions: HashMap<&str, usize> = HashMap::new();
        for message in &view.messages {
            let group = message.group_id.as_deref();
            let position = group.map(|group| {
                let position = positions.entry(group).or_default();
                *position += 1;
                *position
            });
            let wamids = messages_on(message);
            if wamids.is_empty() {
                continue;
            }
            let (state, visible_at) =
                if is_dead { (PlaceState::Dead, None) } else { place_state(message.state) };
            let group = group.map(|group| group.chars().take(GROUP).chain(['…']).collect());
            let place = Place { name, group, position, receives: message.receive_count, visible_at, state };
            let dead = is_dead.then(|| Dead { queue: name.to_owned(), cause: cause(name, message) });
            let on_it = |wamid| (wamid, (place.clone(), dead.clone()));
            self.all.extend(wamids.iter().cloned().map(on_it));
            if wamids.len() > 1 {
                self.turns.push(wamids);
            }
        }
    }

    pub(crate) fn of(&self, wamid: &str) -> (Option<Place>, Option<Dead>) {
        self.all.get(wamid).map_or((None, None), |(place, dead)| (Some(place.clone()), dead.clone()))
    }

    /// The wamids on the queues, and whether each is a dead letter.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, bool)> {
        self.all.iter().map(|(wamid, (_, dead))| (wamid.as_str(), dead.is_some()))
    }
}

impl Place {
    /// Whether its rows wait on the record queue.
    pub(crate) fn is_record(&self) -> bool {
        self.name == RECORDS && self.state != PlaceState::Gone
    }

    /// The place after the message has left the queue.
    pub(crate) fn gone(&self) -> Self {
        Self { state: PlaceState::Gone, position: None, visible_at: None, ..self.clone() }
    }
}

/// The wamid of a user's message, or of each message that a record task is about.
pub(crate) fn messages_on(message: &MessageView) -> Vec<String> {
    let wamid = match Work::read(message.body.as_str()) {
        Ok(Work::Answer(message)) => message.key.wamid().map(|wamid| wamid.as_str().to_owned()),
        Ok(Work::MessageEvent(event)) if event.update == UpdateKind::Message => event.wamid.map(Into::into),
        Ok(Work::Record(task)) => {
            let earlier = task.exchange.earlier.into_iter().map(|asked| asked.key);
            return earlier.chain([task.exchange.key]).map(Into::into).collect();
        }
        Ok(Work::Echo(_) | Work::Status(_) | Work::Event(_) | Work::MessageEvent(_)) | Err(_) => None,
    };
    wamid.into_iter().collect()
}

fn place_state(state: State) -> (PlaceState, Option<String>) {
    let time = |millis: u64| {
        let time = DateTime::from_timestamp_millis(i64::try_from(millis).ok()?)?;
        Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
    };
    match state {
        State::Visible => (PlaceState::Waiting, None),
        State::Delayed { until } => (PlaceState::Waiting, time(until.as_millis())),
        State::InFlight { until, changed: true, .. } => (PlaceState::Waiting, time(until.as_millis())),
        State::InFlight { until, .. } => (PlaceState::InFlight, time(until.as_millis())),
    }
}

/// The cause from the attribute that `reply` sets, otherwise from the body.
fn cause(name: &str, message: &MessageView) -> String {
    match message.attributes.get(CAUSE).map(|cause| &cause.content) {
        Some(AttributeContent::Text(cause)) => cause.clone(),
        _ => Finding::of(message.body.as_str(), name == INBOUND_DEAD_LETTERS).cause,
    }
}
