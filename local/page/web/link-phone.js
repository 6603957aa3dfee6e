// Links and unlinks a phone. The page plays both sides: the app that shows the code, and the phone that sends it.

import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { clock } from "./format.js";
import { createLink, deleteLink, send } from "./requests.js";

export function LinkPhone({ phone, disabled }) {
  const [linking, setLinking] = useState(false);
  const [error, setError] = useState(null);
  const unlink = async () => {
    setError(null);
    try {
      await deleteLink(phone.id);
    } catch (error) {
      setError(error.message);
    }
  };
  return html`
    <button type="button" class="quiet" disabled=${disabled} onClick=${phone.user ? unlink : () => setLinking(true)}>
      ${phone.user ? "Unlink this phone" : "Link this phone"}
    </button>
    <p class="problem" role="alert">${error}</p>
    ${linking && html`<${LinkDialog} phone=${phone} close=${() => setLinking(false)} />`}
  `;
}

// The text of the message that the link opens.
const textOf = (url) => new URL(url).searchParams.get("text");

function LinkDialog({ phone, close }) {
  const dialog = useRef(null);
  const sendButton = useRef(null);
  const [link, setLink] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => dialog.current.showModal(), []);
  useEffect(() => sendButton.current?.focus(), [link]);

  const submit = async (event) => {
    event.preventDefault();
    const user = new FormData(event.currentTarget).get("user");
    setBusy(true);
    setError(null);
    try {
      if (link === null) {
        setLink({ user, ...(await createLink(phone.id, user)) });
      } else {
        await send(phone.id, { text: textOf(link.url) });
        // Restores the focus, then fires `close`.
        dialog.current.close();
      }
    } catch (error) {
      setError(error.message);
    }
    setBusy(false);
  };
  return html`
    <dialog class="dialog linking" ref=${dialog} aria-labelledby="link-heading" onClose=${close}>
      <form onSubmit=${submit}>
        <h2 id="link-heading">Link this phone</h2>
        ${link === null ? html`<${Choice} />` : html`<${Code} link=${link} />`}
        <p class="problem" role="alert">${error}</p>
        <div class="buttons">
          <button type="button" onClick=${() => dialog.current.close()}>Cancel</button>
          ${link === null
            ? html`<button type="submit" class="primary" key="create" disabled=${busy}>Create a code</button>`
            : html`
                <button type="submit" class="primary" key="send" ref=${sendButton} disabled=${busy} aria-describedby="link-code">
                  Send the message
                </button>
              `}
        </div>
      </form>
    </dialog>
  `;
}

function Choice() {
  return html`
    <p>
      The user's app creates a code. The phone sends it to the business, which asks for a confirmation. The phone replaces
      the one that the user had linked before.
    </p>
    <fieldset>
      <legend>Link with</legend>
      <label><input type="radio" name="user" value="A" defaultChecked=${true} /> User A</label>
      <label><input type="radio" name="user" value="B" /> User B</label>
    </fieldset>
  `;
}

function Code({ link }) {
  return html`
    <p>The app of user ${link.user} shows this code until ${clock(link.expires_at)}:</p>
    <p id="link-code" class="link-code">${link.code}</p>
    <img src=${`/page/qr.svg?text=${encodeURIComponent(link.url)}`} alt="QR code of the link" width="200" height="200" />
    <p><code>${link.url}</code></p>
    <p>The number in the link is that of Meta's samples: send the message here, not from a real phone.</p>
  `;
}
