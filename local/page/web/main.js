// The page: the header, the four sections, and the one that a narrow screen shows.

import { html, render, useEffect, useState } from "./vendor/preact-htm.js";
import { connect } from "./live.js";
import { getState, subscribe } from "./store.js";
import { Announcer } from "./announcer.js";
import { Connection } from "./connection.js";
import { Counters } from "./counters.js";
import { History } from "./history.js";
import { Pipeline } from "./pipeline.js";
import { Phones } from "./phones.js";
import { Faults } from "./faults.js";

const VIEWS = [
  ["phones", "Phones"],
  ["pipeline", "Pipeline"],
  ["history", "History"],
  ["faults", "Faults"],
];

function Page() {
  const [state, setState] = useState(getState());
  const [view, setView] = useState("phones");
  const [selected, select] = useState(null);
  const [opened, setOpened] = useState(null);
  useEffect(() => subscribe(setState), []);

  const phone = state.phones.find((phone) => phone.id === selected) ?? state.phones[0];
  const open = (wamid) => {
    setOpened(wamid);
    if (wamid !== null) setView("pipeline");
  };
  return html`
    <a class="skip" href="#phones">Skip to the phones</a>
    <header class="top">
      <div class="brand">
        <img src="/page/assets/icon.svg" alt="" width="32" height="32" />
        <div>
          <h1>WhatsApp on Lambda</h1>
          <p>the whole pipeline, on this machine</p>
        </div>
      </div>
      <${Counters} counters=${state.counters} />
    </header>
    <${Connection} connection=${state.connection} loaded=${state.loaded} />
    <nav class="views" aria-label="Sections">
      ${VIEWS.map(
        ([id, label]) => html`
          <button type="button" key=${id} aria-current=${view === id ? "true" : null} onClick=${() => setView(id)}>
            ${label}
          </button>
        `,
      )}
    </nav>
    <main class="sections" data-view=${view}>
      <${Phones} state=${state} phone=${phone} select=${select} open=${open} view=${view} />
      <${Pipeline} state=${state} opened=${opened} open=${open} />
      <${History} state=${state} />
      <${Faults} state=${state} />
    </main>
    <${Announcer} state=${state} phone=${phone} />
  `;
}

const root = document.getElementById("page");
root.textContent = "";
render(html`<${Page} />`, root);
connect();
