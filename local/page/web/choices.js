// The reply buttons of a message.

import { html, useState } from "./vendor/preact-htm.js";
import { send } from "./requests.js";

export function Choices({ message }) {
  const [error, setError] = useState(null);
  const tap = async (button) => {
    setError(null);
    try {
      await send(message.phone, { button: button.id, refers_to: message.id });
    } catch (error) {
      setError(error.message);
    }
  };
  return html`
    <div class="choices" role="group" aria-label="Reply buttons">
      ${message.buttons.map(
        (button) => html`<button type="button" key=${button.id} onClick=${() => tap(button)}>${button.title}</button>`,
      )}
    </div>
    ${error && html`<p class="failure" role="alert">${error}</p>`}
  `;
}
