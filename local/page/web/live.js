// The connection to the server: one stream of events, and again when it is lost.

import { EVENTS, connection } from "./store.js";

// Milliseconds until the next try.
const PATIENCE = { first: 500, longest: 5000 };

let source = null;
let wait = PATIENCE.first;
let timer = null;

export function connect() {
  clearTimeout(timer);
  source?.close();
  source = new EventSource("/page/live");
  for (const [name, apply] of Object.entries(EVENTS)) {
    source.addEventListener(name, (event) => {
      wait = PATIENCE.first;
      apply(JSON.parse(event.data));
    });
  }
  source.addEventListener("error", () => {
    // The browser would try again by itself, but not after every kind of error, nor as soon.
    source.close();
    connection("lost");
    timer = setTimeout(connect, wait);
    wait = Math.min(wait * 2, PATIENCE.longest);
  });
}
