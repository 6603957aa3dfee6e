// The state from the server, as one immutable object with subscriptions.

const EMPTY = {
  loaded: false,
  // connecting, live, lost
  connection: "connecting",
  phones: [],
  samples: [],
  faults: [],
  responder: null,
  counters: null,
  chats: [],
  messages: [],
  logs: [],
  history: [],
};

// Bounds for a page that stays open: as many as the first event contains.
const KEPT = { chats: 500, messages: 200, logs: 1000 };

let state = EMPTY;
const listeners = new Set();
// Milliseconds between two renders: the hundreds of events of a burst are rendered together.
const PAUSE = 80;

let scheduled = false;
let rendered = -PAUSE;

export const getState = () => state;

export function subscribe(listener) {
  listeners.add(listener);
  listener(state);
  return () => listeners.delete(listener);
}

function change(next) {
  state = { ...state, ...next };
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    rendered = performance.now();
    for (const listener of listeners) listener(state);
  }, rendered + PAUSE - performance.now());
}

export const connection = (connection) => state.connection !== connection && change({ connection });

// A reconnect begins with the whole state, which replaces the old one.
export function replace(fresh) {
  change({ ...EMPTY, ...fresh, chats: ordered(fresh.chats), messages: ordered(fresh.messages), loaded: true, connection: "live" });
}

const byOrder = (a, b) => a.order - b.order;
const ordered = (things) => [...things].sort(byOrder);

// Replaces the item with the same id, or appends.
function put(things, thing, id) {
  const at = things.findLastIndex((other) => other[id] === thing[id]);
  return at < 0 ? [...things, thing] : things.with(at, thing);
}

function putOrdered(name, thing, id) {
  const before = state[name];
  const after = put(before, thing, id);
  if (after.length === before.length) return { [name]: after };
  const last = before.at(-1);
  const sorted = last && byOrder(last, thing) > 0 ? ordered(after) : after;
  return { [name]: sorted.slice(-KEPT[name]) };
}

// The change of the state by each event.
export const EVENTS = {
  state: replace,
  phone: (phone) => change({ phones: put(state.phones, phone, "id") }),
  chat: (message) => change(putOrdered("chats", message, "id")),
  message: (message) => change(putOrdered("messages", message, "wamid")),
  log: (log) => change({ logs: [...state.logs, log].slice(-KEPT.logs) }),
  fault: (fault) => change({ faults: put(state.faults, fault, "id") }),
  responder: (responder) => change({ responder }),
  counters: (counters) => change({ counters }),
};
