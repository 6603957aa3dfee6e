// The input for a text, a sample or a burst.

import { html, useState } from "./vendor/preact-htm.js";
import { counted } from "./format.js";
import { send } from "./requests.js";
import { SampleMenu } from "./sample-menu.js";

const BURST = 20;

export function Composer({ state, phone, disabled }) {
  const [text, setText] = useState("");
  const [note, setNote] = useState(null);

  const post = async (message) => {
    setNote(null);
    try {
      const answer = await send(phone.id, message);
      if (answer.status !== 200) {
        setNote({ text: `The webhook returned ${answer.status}: Meta will retry ${counted(answer.wamids.length, "message")}.` });
      }
      return true;
    } catch (error) {
      setNote({ text: error.message, bad: true });
      return false;
    }
  };
  const submit = async (event) => {
    event?.preventDefault();
    const entered = text.trim();
    if (entered === "" || disabled) return;
    setText("");
    // Restores a text that could not be sent, unless another was entered meanwhile.
    if (!(await post({ text: entered }))) setText((now) => (now === "" ? entered : now));
  };
  const onKeyDown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  };
  return html`
    <form class="composer" onSubmit=${submit}>
      <p class=${note?.bad ? "note bad" : "note"} role="status">${note?.text}</p>
      <div class="line">
        <${SampleMenu} state=${state} phone=${phone} disabled=${disabled} choose=${post} />
        <label class="for-screen-readers" for="message">Message of ${phone.name}</label>
        <textarea
          id="message"
          rows="1"
          placeholder=${disabled ? "Disconnected" : "Message"}
          disabled=${disabled}
          value=${text}
          onInput=${(event) => setText(event.currentTarget.value)}
          onKeyDown=${onKeyDown}
        ></textarea>
        <button type="button" class="burst" disabled=${disabled} onClick=${() => post({ burst: BURST })}>
          Burst<span class="for-screen-readers"> of</span> ${BURST}
        </button>
        <button type="submit" class="send" disabled=${disabled || text.trim() === ""} aria-label="Send">
          <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true"><path d="M3 20.500v-6.500l9-2-9-2V3.500l19 8.500z" /></svg>
        </button>
      </div>
    </form>
  `;
}
