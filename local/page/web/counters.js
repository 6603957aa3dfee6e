// The sums, and whether they reconcile.

import { html } from "./vendor/preact-htm.js";

const COUNTERS = [
  ["accepted", "The webhook said 200, and the queue has the message"],
  ["answered", "Meta took an answer to the message"],
  ["recorded", "Its rows are in the database, or it needs none"],
  ["waiting", "On a queue, or in reply’s hands"],
  ["dead", "In a dead-letter queue"],
];

export function Counters({ counters }) {
  if (!counters) return html`<p class="counters loading">Not counted yet</p>`;
  const verdict = !counters.known ? "unknown" : counters.difference === 0 ? "reconciled" : "differs";
  return html`
    <section class="counters" aria-label="Counters">
      <dl>
        ${COUNTERS.map(
          ([name, meaning]) => html`
            <div key=${name} title=${meaning} data-counter=${name} data-zero=${counters[name] === 0}>
              <dt>${name}</dt>
              <dd>${counters.known || name !== "recorded" ? counters[name] : "?"}</dd>
            </div>
          `,
        )}
        <div
          class="difference"
          data-counter="difference"
          data-verdict=${verdict}
          title="accepted − recorded − waiting − dead, each counted at its own source"
        >
          <dt>difference</dt>
          <dd>
            ${verdict === "unknown" ? "?" : counters.difference}
            <span class="verdict">
              ${{
                reconciled: "✓ reconciled",
                differs: "≠ not yet",
                unknown: "database cannot be asked",
              }[verdict]}
            </span>
          </dd>
        </div>
      </dl>
    </section>
  `;
}
