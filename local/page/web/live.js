// The connection to the server: one stream of events, with reconnects.

import { EVENTS, connection } from "./store.js";

// The backoff, in milliseconds.
const BACKOFF = { first: 500, longest: 5000 };

let source = null;
let wait = BACKOFF.first;
let timer = null;

export function connect() {
  clearTimeout(timer);
  source?.close();
  source = new EventSource("/page/live");
  for (const [name, apply] of Object.entries(EVENTS)) {
    source.addEventListener(name, (event) => {
      wait = BACKOFF.first;
      apply(JSON.parse(event.data));
    });
  }
  source.addEventListener("error", () => {
    // The browser's own reconnect is slower, and is not done after every error.
    source.close();
    connection("lost");
    timer = setTimeout(connect, wait);
    wait = Math.min(wait * 2, BACKOFF.longest);
  });
}
