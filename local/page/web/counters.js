// The counters, and whether they reconcile.

import { html } from "./vendor/preact-htm.js";

const COUNTERS = [
  ["accepted", "accepted", "The webhook returned 200 and queued the message"],
  ["answered", "answered", "Meta accepted a reply to the message, or to a turn that it ends"],
  ["recorded", "recorded", "Its rows are in the database, or none are needed"],
  ["waiting", "waiting", "On a queue, or in flight"],
  ["dead", "dead letters", "In a dead-letter queue"],
];

export function Counters({ counters }) {
  if (!counters) return html`<p class="counters loading">Not counted yet</p>`;
  const verdict = !counters.known ? "unknown" : counters.difference === 0 ? "reconciled" : "differs";
  return html`
    <section class="counters" aria-label="Counters">
      <dl>
        ${COUNTERS.map(
          ([name, label, meaning]) => html`
            <div key=${name} title=${meaning} data-counter=${name} data-zero=${counters[name] === 0}>
              <dt>${label}</dt>
              <dd>${counters.known || name !== "recorded" ? counters[name] : "?"}</dd>
            </div>
          `,
        )}
        <div
          class="difference"
          data-counter="difference"
          data-verdict=${verdict}
          title="accepted − recorded − waiting − dead letters, each counted at its own source"
        >
          <dt>difference</dt>
          <dd>
            ${verdict === "unknown" ? "?" : counters.difference}
            <span class="verdict">
              ${{
                reconciled: "✓ reconciled",
                differs: "≠ not reconciled",
                unknown: "database unavailable",
              }[verdict]}
            </span>
          </dd>
        </div>
      </dl>
    </section>
  `;
}
