// Switches for what goes wrong in life, and things to do at once.

import { html, useState } from "./vendor/preact-htm.js";
import { doTrouble, setTrouble } from "./requests.js";

export function Trouble({ state }) {
  const on = state.trouble.filter((trouble) => trouble.on).length;
  const disabled = state.connection !== "live";
  return html`
    <section class="section trouble" id="trouble" aria-labelledby="trouble-heading">
      <header>
        <h2 id="trouble-heading">Trouble</h2>
        ${on > 0 && html`<span class="badge bad">${on} on</span>`}
      </header>
      ${!state.loaded
        ? html`<p class="empty">Waiting for the server…</p>`
        : html`
            <ul class="scroll" tabindex="0" role="list" aria-label="What can go wrong">
              ${state.trouble.map(
                (trouble) => html`<${Item} key=${trouble.id} trouble=${trouble} disabled=${disabled} />`,
              )}
            </ul>
          `}
    </section>
  `;
}

function Item({ trouble, disabled }) {
  const [busy, setBusy] = useState(false);
  const [result, setResult] = useState(null);
  const isSwitch = trouble.kind === "switch";
  const act = async () => {
    if (busy || disabled) return;
    setBusy(true);
    setResult(null);
    try {
      const answer = isSwitch ? await setTrouble(trouble.id, !trouble.on) : await doTrouble(trouble.id);
      if (!isSwitch) setResult({ text: answer?.done ?? "Done." });
    } catch (error) {
      setResult({ text: error.message, bad: true });
    } finally {
      setBusy(false);
    }
  };
  const explanation = `trouble-${trouble.id}`;
  return html`
    <li data-trouble=${trouble.id} data-on=${trouble.on}>
      ${isSwitch
        ? html`
            <button
              type="button"
              role="switch"
              class="switch"
              aria-checked=${trouble.on ? "true" : "false"}
              aria-describedby=${explanation}
              aria-disabled=${busy || disabled ? "true" : null}
              onClick=${act}
            >
              <span>${trouble.label}</span><span class="knob" aria-hidden="true"></span>
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
              ${trouble.label}
            </button>
          `}
      <p id=${explanation} class="explanation">${trouble.explanation}</p>
      <p class=${result?.bad ? "result bad" : "result"} role="status">${result?.text}</p>
    </li>
  `;
}
