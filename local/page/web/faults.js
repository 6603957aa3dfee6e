// Switches and actions for fault injection.

import { html, useState } from "./vendor/preact-htm.js";
import { runAction, setFault } from "./requests.js";

export function Faults({ state }) {
  const on = state.faults.filter((fault) => fault.on).length;
  const disabled = state.connection !== "live";
  return html`
    <section class="section faults" id="faults" aria-labelledby="faults-heading">
      <header>
        <h2 id="faults-heading">Faults</h2>
        ${on > 0 && html`<span class="badge bad">${on} on</span>`}
      </header>
      ${!state.loaded
        ? html`<p class="empty">Waiting for the server…</p>`
        : html`
            <ul class="scroll" tabindex="0" role="list" aria-label="Fault injection">
              ${state.faults.map(
                (fault) => html`<${Item} key=${fault.id} fault=${fault} disabled=${disabled} />`,
              )}
            </ul>
          `}
    </section>
  `;
}

function Item({ fault, disabled }) {
  const [busy, setBusy] = useState(false);
  const [result, setResult] = useState(null);
  const isSwitch = fault.kind === "switch";
  const act = async () => {
    if (busy || disabled) return;
    setBusy(true);
    setResult(null);
    try {
      const answer = isSwitch ? await setFault(fault.id, !fault.on) : await runAction(fault.id);
      if (!isSwitch) setResult({ text: answer?.done ?? "Done." });
    } catch (error) {
      setResult({ text: error.message, bad: true });
    } finally {
      setBusy(false);
    }
  };
  const explanation = `fault-${fault.id}`;
  return html`
    <li data-fault=${fault.id} data-on=${fault.on}>
      ${isSwitch
        ? html`
            <button
              type="button"
              role="switch"
              class="switch"
              aria-checked=${fault.on ? "true" : "false"}
              aria-describedby=${explanation}
              aria-disabled=${busy || disabled ? "true" : null}
              onClick=${act}
            >
              <span>${fault.label}</span><span class="knob" aria-hidden="true"></span>
            </button>
          `
        : html`
            <button
              type="button"
              class="action"
              aria-describedby=${explanation}
              aria-disabled=${busy || disabled ? "true" : null}
              onClick=${act}
            >
              ${fault.label}
            </button>
          `}
      <p id=${explanation} class="explanation">${fault.explanation}</p>
      <p class=${result?.bad ? "result bad" : "result"} role="status">${result?.text}</p>
    </li>
  `;
}
