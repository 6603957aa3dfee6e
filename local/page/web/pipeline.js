// The pipeline: each message, newest first, stage by stage.

import { Component, html, useRef, useState } from "./vendor/preact-htm.js";
import { Countdown } from "./countdown.js";
import { clockWithSeconds, counted } from "./format.js";
import { Details } from "./details.js";
import { redrive } from "./requests.js";
import { Responder } from "./responder.js";
import { STAGES, stages } from "./stages.js";

const STATES = {
  processing: "processing",
  done: "done",
  waiting: "waiting",
  dead: "dead letter",
  refused: "refused",
};

export function Pipeline({ state, opened, open }) {
  const messages = [...state.messages].reverse();
  const message = opened === null ? null : state.messages.find(({ wamid }) => wamid === opened);
  const names = new Map(state.phones.map(({ id, name }) => [id, name]));
  const list = useRef(null);
  const close = () => {
    open(null);
    list.current?.querySelector(`[data-wamid="${CSS.escape(opened)}"] button`)?.focus();
  };
  return html`
    <section class="section pipeline" id="pipeline" aria-labelledby="pipeline-heading" data-opened=${opened !== null}>
      <header>
        <h2 id="pipeline-heading">Pipeline</h2>
        <${Responder} responder=${state.responder} disabled=${state.connection !== "live"} />
        <${Redrive} state=${state} />
      </header>
      <div class="legend" aria-hidden="true">
        ${STAGES.map(([id, label]) => html`<span key=${id}>${label}</span>`)}
      </div>
      ${messages.length === 0
        ? html`<p class="empty">${state.loaded ? "No messages yet. Send one from a phone." : "Waiting for the server…"}</p>`
        : html`
            <ol class="scroll list" tabindex="0" role="list" aria-label="Messages, newest first" ref=${list}>
              ${messages.map(
                (message) => html`
                  <${Row}
                    key=${message.wamid}
                    message=${message}
                    sender=${names.get(message.phone)}
                    opened=${message.wamid === opened}
                    open=${open}
                  />
                `,
              )}
            </ol>
          `}
      ${opened !== null && html`<${Details} key=${opened} state=${state} wamid=${opened} message=${message} close=${close} />`}
    </section>
  `;
}

function Redrive({ state }) {
  const dead = state.counters?.dead ?? 0;
  const [result, setResult] = useState(null);
  const [busy, setBusy] = useState(false);
  const act = async () => {
    setBusy(true);
    try {
      const { moved, left } = await redrive();
      setResult(`${counted(moved, "dead letter")} redriven${left ? `, ${left} left` : ""}.`);
    } catch (error) {
      setResult(error.message);
    } finally {
      setBusy(false);
    }
  };
  return html`
    <span class="result" role="status">${result}</span>
    ${dead > 0 &&
    html`
      <button type="button" class="danger" disabled=${busy || state.connection !== "live"} onClick=${act}>
        Redrive ${counted(dead, "dead letter")}
      </button>
    `}
  `;
}

class Row extends Component {
  componentDidUpdate(before) {
    if (this.props.opened && !before.opened) this.base.scrollIntoView({ block: "nearest" });
  }

  // A message is replaced as a whole when it changes.
  shouldComponentUpdate(next) {
    return next.message !== this.props.message || next.opened !== this.props.opened || next.sender !== this.props.sender;
  }

  render({ message, sender, opened, open }) {
    const { wamid, state } = message;
    return html`
      <li class="row" data-wamid=${wamid} data-state=${state}>
        <button type="button" aria-expanded=${opened ? "true" : "false"} onClick=${() => open(opened ? null : wamid)}>
          <span class="summary">
            <span class="label">${message.label}</span>
            <span class="sender">${sender}</span>
            <time datetime=${message.at}>${clockWithSeconds(message.at)}</time>
            <span class="state">${STATES[state] ?? state}</span>
          </span>
          <span class="track">
            ${stages(message).map(
              (stage) => html`
                <span class="stage" key=${stage.id} data-stage=${stage.id} data-is=${stage.is}>
                  <span class="dot" aria-hidden="true"></span>
                  <span class="for-screen-readers">${stage.label}: </span>
                  <span class="text">
                    ${stage.text}${stage.until && html`<${Countdown} until=${stage.until} held=${stage.held} />`}
                  </span>
                </span>
              `,
            )}
          </span>
        </button>
      </li>
    `;
  }
}
