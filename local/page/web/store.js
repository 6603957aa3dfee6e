// What the server has said, as one immutable object; whoever draws it subscribes.

const EMPTY = {
  loaded: false,
  // connecting, live, lost
  connection: "connecting",
  phones: [],
  samples: [],
  trouble: [],
  counters: null,
  chats: [],
  journeys: [],
  logs: [],
  history: [],
};

// The page stays quick when it is open for a day: as many as the server sends at the start.
const KEPT = { chats: 500, journeys: 200, logs: 1000 };

let state = EMPTY;
const listeners = new Set();
// Milliseconds from one drawing to the next: a burst sends hundreds of events, which are drawn together.
const PAUSE = 80;

let scheduled = false;
let drawn = -PAUSE;

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
    drawn = performance.now();
    for (const listener of listeners) listener(state);
  }, drawn + PAUSE - performance.now());
}

export const connection = (connection) => state.connection !== connection && change({ connection });

// A reconnect begins with a new state, which replaces all that was known.
export function replace(fresh) {
  change({ ...EMPTY, ...fresh, chats: ordered(fresh.chats), journeys: ordered(fresh.journeys), loaded: true, connection: "live" });
}

const byOrder = (a, b) => a.order - b.order;
const ordered = (things) => [...things].sort(byOrder);

// Puts `thing` where the one with the same id was, or else at the end.
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

// How each event of the server changes what is known.
export const EVENTS = {
  state: replace,
  phone: (phone) => change({ phones: put(state.phones, phone, "id") }),
  chat: (message) => change(putOrdered("chats", message, "id")),
  journey: (journey) => change(putOrdered("journeys", journey, "wamid")),
  log: (log) => change({ logs: [...state.logs, log].slice(-KEPT.logs) }),
  trouble: (trouble) => change({ trouble: put(state.trouble, trouble, "id") }),
  counters: (counters) => change({ counters }),
};
