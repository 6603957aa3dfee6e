// Says when the stream of events is lost: what is on the page then is from before.

import { html } from "./vendor/preact-htm.js";
import { connect } from "./live.js";

export function Connection({ connection, loaded }) {
  return html`
    <div class="connection" role="status" data-connection=${connection}>
      ${connection === "lost" &&
      html`
        <p>
          <strong>Disconnected.</strong>
          ${loaded ? " What you see is from before." : " Nothing has come yet."} The server does not answer: is${" "}
          <code>cargo run -p local</code> still running? Trying again…
        </p>
        <button type="button" onClick=${connect}>Try now</button>
      `}
    </div>
  `;
}
