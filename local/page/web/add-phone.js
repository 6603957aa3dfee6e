// The dialog that adds a phone.

import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { addPhone } from "./requests.js";

export function AddPhone({ close }) {
  const dialog = useRef(null);
  const added = useRef(undefined);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => dialog.current.showModal(), []);

  const submit = async (event) => {
    event.preventDefault();
    const entered = [...new FormData(event.currentTarget)].map(([name, value]) => [name, value.trim()]);
    setBusy(true);
    setError(null);
    try {
      added.current = await addPhone(Object.fromEntries(entered.filter(([, value]) => value !== "")));
      // Restores the focus, then fires `close`.
      dialog.current.close();
    } catch (error) {
      setError(error.message);
      setBusy(false);
    }
  };
  return html`
    <dialog class="dialog" ref=${dialog} aria-labelledby="add-heading" onClose=${() => close(added.current)}>
      <form onSubmit=${submit}>
        <h2 id="add-heading">Add a phone</h2>
        <p>With a number or a username. The sender is unlinked: the reply explains how to link it.</p>
        <label>Name <input name="name" required maxlength="40" autocomplete="off" /></label>
        <label>
          Number, with country code
          <input name="number" inputmode="tel" autocomplete="off" placeholder="+1 650 555 0199" />
        </label>
        <label>Username <input name="username" autocomplete="off" placeholder="ada.lovelace" /></label>
        <p class="problem" role="alert">${error}</p>
        <div class="buttons">
          <button type="button" onClick=${() => dialog.current.close()}>Cancel</button>
          <button type="submit" class="primary" disabled=${busy}>Add</button>
        </div>
      </form>
    </dialog>
  `;
}
