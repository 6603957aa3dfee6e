// Reports a lost connection: the page then shows old state.

import { html } from "./vendor/preact-htm.js";
import { connect } from "./live.js";

export function Connection({ connection, loaded }) {
  return html`
    <div class="connection" role="status" data-connection=${connection}>
      ${connection === "lost" &&
      html`
        <p>
          <strong>Disconnected.</strong>
          ${loaded ? " The page shows the last known state." : " No data was received yet."} The server does not respond: is${" "}
          <code>cargo run -p local</code> still running? Reconnecting…
        </p>
        <button type="button" onClick=${connect}>Retry now</button>
      `}
    </div>
  `;
}
