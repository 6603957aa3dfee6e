//! The page's state, and the stream of its changes.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::Sse;
use axum::response::sse::{Event as Sent, KeepAlive};
use futures::stream::{self, Stream, StreamExt as _};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, broadcast, watch};

use crate::chat::Chats;
use crate::compose::SAMPLES;
use crate::counters::{Counters, Ledger};
use crate::faults::Fault;
use crate::line::Line;
use crate::phones::Phones;
use crate::pipeline::Pipeline;
use crate::responder::Selected;

/// The maximum number of unread events of a connection; beyond it the connection ends.
const BACKLOG: usize = 8192;
/// The newest items in the first event.
const MESSAGES: usize = 200;
const LOGS: usize = 1000;
const CHATS: usize = 500;
/// The keep-alive interval of an idle connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A server-sent event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    name: &'static str,
    data: Arc<str>,
}

/// The state of the page.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) phones: Phones,
    pub(crate) chats: Chats,
    pub(crate) pipeline: Pipeline,
    pub(crate) ledger: Ledger,
    pub(crate) counters: Counters,
    pub(crate) faults: Vec<Fault>,
    pub(crate) responder: Selected,
    /// The viewers of the history, with their tokens.
    history: Value,
    logs: VecDeque<Line>,
    /// The wamids of each turn whose rows wait on the record queue, by the short wamid of the last one.
    pub(crate) turns: HashMap<String, Vec<String>>,
    /// Messages whose rows may have changed.
    pub(crate) stale: BTreeSet<String>,
    last_order: u64,
    changed: BTreeSet<Changed>,
}

/// A change that is not yet published.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Changed {
    Phone(String),
    Chat(String),
    Log(u64),
    Message(String),
    Fault(&'static str),
    Responder,
    Counters,
}

/// The model, and the subscribers of its changes.
#[derive(Debug)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
    survey: Notify,
    closed: watch::Sender<bool>,
}

#[derive(Debug)]
struct Inner {
    model: Model,
    /// `None` after the end of the streams.
    pages: Option<broadcast::Sender<Event>>,
}

impl Hub {
    pub(crate) fn new(faults: Vec<Fault>, history: Value, responder: Selected) -> Self {
        let model = Model {
            phones: Phones::new(),
            chats: Chats::default(),
            pipeline: Pipeline::default(),
            ledger: Ledger::default(),
            counters: Counters::default(),
            faults,
            responder,
            history,
            logs: VecDeque::new(),
            turns: HashMap::new(),
            stale: BTreeSet::new(),
            last_order: 0,
            changed: BTreeSet::new(),
        };
        let pages = Some(broadcast::Sender::new(BACKLOG));
        Self {
            inner: Mutex::new(Inner { model, pages }),
            survey: Notify::new(),
            closed: watch::Sender::new(false),
        }
    }

    /// Changes the model and publishes the changes.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        let mut inner = self.lock();
        let result = change(&mut inner.model);
        let changed = std::mem::take(&mut inner.model.changed);
        // Under the lock, so that events keep the order of the changes, and none is lost between a page's first state
        // and its first event.
        if let Some(pages) = inner.pages.as_ref().filter(|pages| pages.receiver_count() > 0) {
            for event in changed.iter().filter_map(|changed| inner.model.event(changed)) {
                let _ = pages.send(event);
            }
        }
        result
    }

    /// Reads the model.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.lock().model)
    }

    /// Requests an update of counters and rows.
    pub(crate) fn survey_soon(&self) {
        self.survey.notify_one();
    }

    pub(crate) async fn survey_is_due(&self) {
        self.survey.notified().await;
    }

    /// Ends the streams of events.
    pub(crate) fn close(&self) {
        self.lock().pages = None;
        self.closed.send_replace(true);
    }

    /// Waits for [`Hub::close`].
    pub(crate) async fn is_closed(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    fn subscribe(&self) -> Option<(Event, broadcast::Receiver<Event>)> {
        let inner = self.lock();
        let receiver = inner.pages.as_ref()?.subscribe();
        Some((inner.model.state(), receiver))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream of events: the whole state, then each change.
pub(crate) fn events(hub: &Hub) -> Sse<impl Stream<Item = Result<Sent, Infallible>> + use<>> {
    let (first, rest) = hub.subscribe().unzip();
    let rest = stream::unfold(rest, |rest| async move {
        let mut receiver = rest?;
        // A connection that lags too far ends; the browser reconnects and gets the whole state.
        let event = receiver.recv().await.ok()?;
        Some((event, Some(receiver)))
    });
    let events = stream::iter(first).chain(rest);
    let events = events.map(|event| Ok(Sent::default().event(event.name).data(&*event.data)));
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

impl Event {
    fn new(name: &'static str, data: &impl Serialize) -> Option<Self> {
        Some(Self { name, data: serde_json::to_string(data).ok()?.into() })
    }
}

impl Model {
    /// Records a change for publication.
    pub(crate) fn mark(&mut self, changed: Changed) {
        self.changed.insert(changed);
    }

    /// The next number of the display order.
    pub(crate) fn next_order(&mut self) -> u64 {
        self.last_order += 1;
        self.last_order
    }

    /// Adds a log line.
    pub(crate) fn log(&mut self, line: impl FnOnce(u64) -> Line) {
        let id = self.next_order();
        self.logs.push_back(line(id));
        if self.logs.len() > LOGS {
            self.logs.pop_front();
        }
        self.mark(Changed::Log(id));
    }

    fn event(&self, changed: &Changed) -> Option<Event> {
        match changed {
            Changed::Phone(id) => Event::new("phone", self.phones.get(id)?),
            Changed::Chat(id) => Event::new("chat", self.chats.get(id)?),
            Changed::Message(wamid) => Event::new("message", self.pipeline.get(wamid)?),
            Changed::Log(id) => {
                let position = self.logs.binary_search_by_key(id, |log| log.id).ok()?;
                Event::new("log", &self.logs[position])
            }
            Changed::Fault(id) => Event::new("fault", self.faults.iter().find(|one| one.id == *id)?),
            Changed::Responder => Event::new("responder", &self.responder),
            Changed::Counters => Event::new("counters", &self.counters),
        }
    }

    fn state(&self) -> Event {
        let logs: Vec<&Line> = self.logs.iter().collect();
        let state = json!({
            "phones": self.phones.all(),
            "samples": SAMPLES,
            "faults": self.faults,
            "responder": self.responder,
            "counters": self.counters,
            "chats": self.chats.newest(CHATS).collect::<Vec<_>>(),
            "messages": self.pipeline.newest(MESSAGES).collect::<Vec<_>>(),
            "logs": logs,
            "history": self.history,
        });
        Event { name: "state", data: state.to_string().into() }
    }
}
