// Announces new messages of the selected phone to screen readers: one sentence, also for a burst.

import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { counted, shortened } from "./format.js";

// Milliseconds in which messages are announced together.
const TOGETHER = 700;

export function Announcer({ state, phone }) {
  const [text, setText] = useState("");
  const announced = useRef(null);
  const fresh = useRef([]);
  const timer = useRef(null);

  useEffect(() => {
    if (!state.loaded) return;
    const received = state.chats.filter((message) => message.from === "business");
    const known = announced.current;
    announced.current = new Set(received.map((message) => message.id));
    if (known === null || !phone) return;
    fresh.current.push(...received.filter((message) => message.phone === phone.id && !known.has(message.id)));
    if (fresh.current.length === 0 || timer.current !== null) return;
    timer.current = setTimeout(() => {
      const messages = fresh.current.splice(0);
      timer.current = null;
      setText(
        messages.length === 1
          ? `${phone.name} receives: ${shortened(messages[0].text ?? "", 120)}`
          : `${phone.name} receives ${counted(messages.length, "message")}`,
      );
    }, TOGETHER);
  }, [state.chats, phone?.id]);

  return html`<p class="for-screen-readers" role="status">${text}</p>`;
}
