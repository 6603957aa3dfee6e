// A countdown to a time.

import { html, useEffect, useState } from "./vendor/preact-htm.js";

// Seconds until the message is visible on the queue: `held`, or after a failure.
export function Countdown({ until, held }) {
  const seconds = () => Math.max(0, Math.ceil((Date.parse(until) - Date.now()) / 1000));
  const [left, setLeft] = useState(seconds());
  useEffect(() => {
    setLeft(seconds());
    const timer = setInterval(() => setLeft(seconds()), 250);
    return () => clearInterval(timer);
  }, [until]);
  return left > 0 && html`<span class="countdown">${held ? "held for" : "retry in"} ${left} s</span>`;
}
