// A chat: bubbles, times, ticks, quotes, reactions.

import { Component, html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact-htm.js";
import { Choices } from "./choices.js";
import { clock, shortened } from "./format.js";
import { read } from "./requests.js";

// The distance from the end, in pixels, within which the chat scrolls to new messages.
const NEAR = 120;

export function Chat({ state, phone, open, view }) {
  const list = useRef(null);
  const follows = useRef(true);
  const messages = state.chats.filter((message) => message.phone === phone.id);
  useReading(state, phone, messages, list, view);

  useLayoutEffect(() => {
    follows.current = true;
  }, [phone.id, view]);
  useLayoutEffect(() => {
    if (follows.current && list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [state.chats, phone.id, view]);
  const onScroll = ({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
    follows.current = scrollHeight - scrollTop - clientHeight < NEAR;
  };

  if (messages.length === 0) {
    return html`<div class="chat"><p class="empty">No messages yet. Send one below.</p></div>`;
  }
  return html`
    <ol class="chat" ref=${list} tabindex="0" role="list" aria-label=${`Chat of ${phone.name}`} onScroll=${onScroll}>
      ${messages.map((message) => html`<${Bubble} key=${message.id} message=${message} open=${open} />`)}
    </ol>
  `;
}

// A visible chat counts as read: each delivered reply is reported to the server once.
function useReading(state, phone, messages, list, view) {
  const reported = useRef(new Set());
  const visible = useVisible();
  const delivered = messages.filter(
    ({ id, from, ticks }) => from === "business" && ticks === "delivered" && !reported.current.has(id),
  );
  useEffect(() => {
    if (delivered.length === 0 || state.connection !== "live" || !visible) return;
    if (list.current === null || list.current.offsetParent === null) return;
    for (const { id } of delivered) reported.current.add(id);
    // After a failure the ticks stay, and the next update reports again.
    read(phone.id).catch(() => delivered.forEach(({ id }) => reported.current.delete(id)));
  }, [delivered.map(({ id }) => id).join(), phone.id, state.connection, view, visible]);
}

// Whether the page is visible.
function useVisible() {
  const now = () => document.visibilityState === "visible";
  const [visible, setVisible] = useState(now());
  useEffect(() => {
    const onChange = () => setVisible(now());
    document.addEventListener("visibilitychange", onChange);
    return () => document.removeEventListener("visibilitychange", onChange);
  }, []);
  return visible;
}

const TICKS = {
  clock: ["clock", "not sent yet"],
  sent: ["one", "sent"],
  delivered: ["two", "delivered"],
  read: ["two", "read"],
  failed: ["failed", "failed"],
};

const SHAPES = {
  clock: "M8 2.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11zM8 5v3.300l2.200 1.300",
  one: "M4 8.500l3 3 6-7",
  two: "M1 8.500l3 3 6-7M7.500 10.500l1 1 6-7",
  failed: "M8 2.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11zM8 5v3.600M8 10.800v.4",
};

function Ticks({ ticks }) {
  const [shape, text] = TICKS[ticks] ?? TICKS.clock;
  return html`
    <span class="ticks" data-ticks=${ticks}>
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d=${SHAPES[shape]} /></svg>
      <span class="for-screen-readers">${text}</span>
    </span>
  `;
}

class Bubble extends Component {
  // A message is replaced as a whole when it changes.
  shouldComponentUpdate({ message }) {
    return message !== this.props.message;
  }

  render({ message, open }) {
    const { quotes, buttons, reaction, error, pipeline_wamid } = message;
    const direction = message.from === "user" ? "sent" : "received";
    return html`
      <li class="bubble" data-from=${message.from} data-wamid=${message.id} data-type=${message.type}>
        <div class="paper" data-revoked=${message.revoked}>
          <span class="for-screen-readers">${direction}:</span>
          ${quotes && html`<blockquote>${shortened(quotes.text ?? "", 160)}</blockquote>`}
          <p class="text">${message.revoked ? "This message was deleted." : message.text}</p>
          <p class="meta">
            ${message.edited && html`<span>edited</span>`}
            <time datetime=${message.at}>${clock(message.at)}</time>
            <${Ticks} ticks=${message.ticks} />
            ${pipeline_wamid &&
            html`
              <button type="button" class="to-pipeline" onClick=${() => open(pipeline_wamid)} title="Show in the pipeline">
                <span aria-hidden="true">⇢</span>
                <span class="for-screen-readers">Show in the pipeline</span>
              </button>
            `}
          </p>
          ${error && html`<p class="failure">${error}</p>`}
          ${buttons.length > 0 && html`<${Choices} message=${message} />`}
          ${reaction &&
          html`<p class="reaction"><span class="for-screen-readers">reaction: </span>${reaction}</p>`}
        </div>
      </li>
    `;
  }
}
