// The menu of samples, one of each kind of message. A sample's target is the last message that fits.

import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { moved } from "./tabs.js";

const NEEDED = { own: "requires a sent message", business: "requires a reply" };

const FITS = {
  own: (message) => message.from === "user" && message.ticks !== "clock",
  business: (message) => message.from === "business" && message.ticks !== "failed",
};

// The wamid of a sample's target, or undefined.
const target = (sample, messages) =>
  messages.findLast((message) => !message.revoked && FITS[sample.refers_to]?.(message))?.id;

export function SampleMenu({ state, phone, disabled, choose }) {
  const [opened, setOpened] = useState(false);
  const button = useRef(null);
  const menu = useRef(null);
  const messages = state.chats.filter((message) => message.phone === phone.id);

  const close = () => {
    setOpened(false);
    button.current?.focus();
  };
  useEffect(() => {
    if (!opened) return;
    menu.current?.querySelector("[role=menuitem]")?.focus();
    const outside = (event) => {
      if (!menu.current?.contains(event.target) && !button.current?.contains(event.target)) setOpened(false);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [opened]);

  const onKeyDown = (event) => {
    const items = [...menu.current.querySelectorAll("[role=menuitem]")];
    const to = moved(event.key, items.indexOf(document.activeElement), items.length);
    if (to !== null) {
      event.preventDefault();
      items[to].focus();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (event.key === "Tab") {
      setOpened(false);
    }
  };
  return html`
    <div class="samples">
      <button
        type="button"
        class="plus"
        ref=${button}
        disabled=${disabled}
        aria-haspopup="menu"
        aria-expanded=${opened ? "true" : "false"}
        aria-label="Message types"
        onClick=${() => setOpened(!opened)}
      >
        <span aria-hidden="true">+</span>
      </button>
      ${opened &&
      html`
        <div class="menu" role="menu" aria-label="Message types" ref=${menu} onKeyDown=${onKeyDown}>
          ${state.samples.map((sample) => {
            const refers_to = sample.refers_to === null ? undefined : target(sample, messages);
            const missing = sample.refers_to !== null && refers_to === undefined;
            const pick = () => {
              if (missing) return;
              close();
              choose({ sample: sample.id, refers_to });
            };
            return html`
              <button type="button" role="menuitem" tabindex="-1" key=${sample.id} aria-disabled=${missing ? "true" : null} onClick=${pick}>
                ${sample.label}${missing && html`<small>${NEEDED[sample.refers_to]}</small>`}
              </button>
            `;
          })}
        </div>
      `}
    </div>
  `;
}
