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

/// All messages on all queues, by wamid.
#[derive(Debug, Default)]
pub(crate) struct Places(HashMap<String, (Place, Option<Dead>)>);

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
            let Some(wamid) = message_on(message) else { continue };
            let (state, visible_at) =
                if is_dead { (PlaceState::Dead, None) } else { place_state(message.state) };
            let group = group.map(|group| group.chars().take(GROUP).chain(['…']).collect());
            let place = Place { name, group, position, receives: message.receive_count, visible_at, state };
            let dead = is_dead.then(|| Dead { queue: name.to_owned(), cause: cause(name, message) });
            self.0.insert(wamid, (place, dead));
        }
    }

    pub(crate) fn of(&self, wamid: &str) -> (Option<Place>, Option<Dead>) {
        self.0.get(wamid).map_or((None, None), |(place, dead)| (Some(place.clone()), dead.clone()))
    }

    /// The wamids on the queues, and whether each is a dead letter.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0.iter().map(|(wamid, (_, dead))| (wamid.as_str(), dead.is_some()))
    }
}

impl Place {
    /// The place after the message has left the queue.
    pub(crate) fn gone(&self) -> Self {
        Self { state: PlaceState::Gone, position: None, visible_at: None, ..self.clone() }
    }
}

/// The wamid of a user's message or record task.
pub(crate) fn message_on(message: &MessageView) -> Option<String> {
    match Work::read(message.body.as_str()).ok()? {
        Work::Answer(message) => message.key.wamid().map(|wamid| wamid.as_str().to_owned()),
        Work::MessageEvent(event) if event.update == UpdateKind::Message => event.wamid.map(Into::into),
        Work::Record(task) => Some(task.exchange.key.into()),
        Work::Echo(_) | Work::Status(_) | Work::Event(_) | Work::MessageEvent(_) => None,
    }
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
