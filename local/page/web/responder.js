// What answers the messages, and its switch.

import { html, useState } from "./vendor/preact-htm.js";
import { setResponder } from "./requests.js";

export function Responder({ responder, disabled }) {
  const [problem, setProblem] = useState(null);
  if (!responder) return null;
  const select = async (event) => {
    setProblem(null);
    try {
      await setResponder(event.target.value);
    } catch (error) {
      event.target.value = responder.responder;
      setProblem(error.message);
    }
  };
  const options = { echo: "Echo", llm: responder.fake ? "Model (fake)" : responder.model, silent: "Nothing" };
  return html`
    <span class="result bad" role="status">${problem}</span>
    <label class="responder">
      <span>Answered by</span>
      <select disabled=${disabled} onChange=${select}>
        ${Object.entries(options).map(
          ([id, name]) => html`<option key=${id} value=${id} selected=${id === responder.responder}>${name}</option>`,
        )}
      </select>
    </label>
  `;
}
