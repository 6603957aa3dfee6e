// The phones: a tab each, with the number of unread messages, and the chat of the selected one.

import { html, useState } from "./vendor/preact-htm.js";
import { AddPhone } from "./add-phone.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { counted } from "./format.js";
import { LinkPhone } from "./link-phone.js";
import { Tabs } from "./tabs.js";

// The number of unread messages on a phone.
const unread = (state, phone) =>
  state.chats.filter(
    ({ phone: id, from, ticks }) => id === phone.id && from === "business" && (ticks === "sent" || ticks === "delivered"),
  ).length;

export function Phones({ state, phone, select, open, view }) {
  const [adding, setAdding] = useState(false);
  const disabled = state.connection !== "live";
  const tabs = state.phones.map((other) => {
    const count = other.id === phone?.id ? 0 : unread(state, other);
    const more =
      count > 0 && html`<span class="unread">${count}<span class="for-screen-readers"> unread</span></span>`;
    return { id: other.id, label: other.name, panel: "chat-panel", more };
  });
  return html`
    <section class="section phones" id="phones" tabindex="-1" aria-labelledby="phones-heading">
      <header>
        <h2 id="phones-heading">Phones</h2>
        <button type="button" class="quiet" disabled=${disabled} onClick=${() => setAdding(true)}>Add a phone</button>
      </header>
      ${!phone
        ? html`<p class="empty">${state.loaded ? "No phones yet. Add one." : "Waiting for the server…"}</p>`
        : html`
            <${Tabs} label="Phones" tabs=${tabs} selected=${phone.id} select=${select} prefix="phone" />
            <div class="phone" role="tabpanel" id="chat-panel" aria-labelledby=${`phone-tab-${phone.id}`}>
              <div class="owner">
                <span class="portrait" aria-hidden="true" data-hue=${hue(phone.id)}>${initials(phone.name)}</span>
                <div class="who">
                  <h3>${phone.name}</h3>
                  <p>${phone.address}</p>
                  <p>${about(phone)}</p>
                </div>
                <${LinkPhone} key=${phone.id} phone=${phone} disabled=${disabled} />
              </div>
              <${Chat} state=${state} phone=${phone} open=${open} view=${view} />
              <${Composer} key=${phone.id} state=${state} phone=${phone} disabled=${disabled} />
            </div>
          `}
      ${adding &&
      html`
        <${AddPhone}
          close=${(added) => {
            setAdding(false);
            if (added) select(added.id);
          }}
        />
      `}
      <p class="for-screen-readers">${counted(state.phones.length, "phone")}</p>
    </section>
  `;
}

const about = ({ user, note }) => [user ? `linked to user ${user}` : "unlinked", note].filter(Boolean).join("; ");

const initials = (name) =>
  name
    .split(/\s+/)
    .slice(0, 2)
    .map((word) => [...word][0]?.toUpperCase() ?? "")
    .join("");

// One of six hues, stable for each phone.
const hue = (id) => [...id].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 6, 0);
