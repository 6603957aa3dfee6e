//! Where the queues have each message.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat};
use local_sqs::{AttributeContent, MessageView, QueueView, SqsServer, State};
use reply::delivery::Work;
use reply::queues::CAUSE;
use serde::Serialize;
use shared::lambda::names::UpdateKind;

use local_stack::queues::{INBOUND, INBOUND_DEAD_LETTERS, RECORD_DEAD_LETTERS, RECORDS};
use ops::dead_letters::cause::Finding;

/// Characters of a message group that are shown.
const GROUP: usize = 8;

/// A message on a queue.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Place {
    name: &'static str,
    /// The beginning of the message group, which is a digest.
    group: Option<String>,
    /// 1 is the first of its group.
    position: Option<usize>,
    receives: u32,
    /// When it comes again.
    visible_at: Option<String>,
    state: Stands,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Stands {
    Waiting,
    #[serde(rename = "in flight")]
    InFlight,
    Gone,
    Dead,
}

/// Why it is a dead letter, and where.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Dead {
    pub(crate) queue: String,
    pub(crate) cause: String,
}

/// All messages on all queues, by wamid.
#[derive(Debug, Default)]
pub(crate) struct Places(HashMap<String, (Place, Option<Dead>)>);

impl Places {
    /// Looks at the queues at one moment.
    pub(crate) fn look(server: &SqsServer) -> Self {
        let names = [INBOUND, RECORDS, INBOUND_DEAD_LETTERS, RECORD_DEAD_LETTERS];
        let mut places = Self::default();
        // What is on a later one of these counts: a message is sent there before it is deleted here.
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
            let (state, visible_at) = if is_dead { (Stands::Dead, None) } else { stands(message.state) };
            let group = group.map(|group| group.chars().take(GROUP).chain(['…']).collect());
            let place = Place { name, group, position, receives: message.receive_count, visible_at, state };
            let dead = is_dead.then(|| Dead { queue: name.to_owned(), cause: cause(name, message) });
            self.0.insert(wamid, (place, dead));
        }
    }

    pub(crate) fn of(&self, wamid: &str) -> (Option<Place>, Option<Dead>) {
        self.0.get(wamid).map_or((None, None), |(place, dead)| (Some(place.clone()), dead.clone()))
    }

    /// The messages on the queues, and whether each is a dead letter.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0.iter().map(|(wamid, (_, dead))| (wamid.as_str(), dead.is_some()))
    }
}

impl Place {
    /// The same when it is on the queue no more.
    pub(crate) fn gone(&self) -> Self {
        Self { state: Stands::Gone, position: None, visible_at: None, ..self.clone() }
    }
}

/// The wamid of a person's message, or of its rows.
pub(crate) fn message_on(message: &MessageView) -> Option<String> {
    match Work::read(message.body.as_str()).ok()? {
        Work::Answer(message) => message.key.wamid().map(|wamid| wamid.as_str().to_owned()),
        Work::MessageEvent(event) if event.update == UpdateKind::Message => event.wamid.map(Into::into),
        Work::Record(task) => Some(task.exchange.key.into()),
        Work::Echo(_) | Work::Status(_) | Work::Event(_) | Work::MessageEvent(_) => None,
    }
}

fn stands(state: State) -> (Stands, Option<String>) {
    let time = |millis: u64| {
        let time = DateTime::from_timestamp_millis(i64::try_from(millis).ok()?)?;
        Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
    };
    match state {
        State::Visible => (Stands::Waiting, None),
        State::Delayed { until } => (Stands::Waiting, time(until.as_millis())),
        State::InFlight { until, changed: true, .. } => (Stands::Waiting, time(until.as_millis())),
        State::InFlight { until, .. } => (Stands::InFlight, time(until.as_millis())),
    }
}

/// As `reply` has noted it, or else as far as the body says.
fn cause(name: &str, message: &MessageView) -> String {
    match message.attributes.get(CAUSE).map(|cause| &cause.content) {
        Some(AttributeContent::Text(cause)) => cause.clone(),
        _ => Finding::of(message.body.as_str(), name == INBOUND_DEAD_LETTERS).cause,
    }
}
