// The way through: what becomes of each message, newest first, stage by stage.

import { Component, html, useRef, useState } from "./vendor/preact-htm.js";
import { Countdown } from "./countdown.js";
import { clockWithSeconds, counted } from "./format.js";
import { Journey } from "./journey.js";
import { redrive } from "./requests.js";
import { STAGES, stages } from "./stages.js";

const STATES = {
  travelling: "travelling",
  done: "done",
  waiting: "waiting",
  dead: "dead letter",
  refused: "refused",
};

export function Journeys({ state, opened, open }) {
  const journeys = [...state.journeys].reverse();
  const journey = opened === null ? null : state.journeys.find(({ wamid }) => wamid === opened);
  const names = new Map(state.phones.map(({ id, name }) => [id, name]));
  const list = useRef(null);
  const close = () => {
    open(null);
    list.current?.querySelector(`[data-wamid="${CSS.escape(opened)}"] button`)?.focus();
  };
  return html`
    <section class="section journeys" id="journeys" aria-labelledby="journeys-heading" data-opened=${opened !== null}>
      <header>
        <h2 id="journeys-heading">The way through</h2>
        <${Redrive} state=${state} />
      </header>
      <div class="legend" aria-hidden="true">
        ${STAGES.map(([id, label]) => html`<span key=${id}>${label}</span>`)}
      </div>
      ${journeys.length === 0
        ? html`<p class="empty">${state.loaded ? "No message has come yet. Send one from a phone." : "Waiting for the server…"}</p>`
        : html`
            <ol class="scroll list" tabindex="0" role="list" aria-label="Messages, newest first" ref=${list}>
              ${journeys.map(
                (journey) => html`
                  <${Row}
                    key=${journey.wamid}
                    journey=${journey}
                    who=${names.get(journey.phone)}
                    opened=${journey.wamid === opened}
                    open=${open}
                  />
                `,
              )}
            </ol>
          `}
      ${opened !== null && html`<${Journey} key=${opened} state=${state} wamid=${opened} journey=${journey} close=${close} />`}
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
      setResult(`${counted(moved, "dead letter")} sent again${left ? `, ${left} left` : ""}.`);
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

  // A journey is replaced as a whole when it changes.
  shouldComponentUpdate(next) {
    return next.journey !== this.props.journey || next.opened !== this.props.opened || next.who !== this.props.who;
  }

  render({ journey, who, opened, open }) {
    const { wamid, state } = journey;
    return html`
      <li class="row" data-wamid=${wamid} data-state=${state}>
        <button type="button" aria-expanded=${opened ? "true" : "false"} onClick=${() => open(opened ? null : wamid)}>
          <span class="what">
            <span class="label">${journey.label}</span>
            <span class="who">${who}</span>
            <time datetime=${journey.at}>${clockWithSeconds(journey.at)}</time>
            <span class="state">${STATES[state] ?? state}</span>
          </span>
          <span class="track">
            ${stages(journey).map(
              (stage) => html`
                <span class="stage" key=${stage.id} data-stage=${stage.id} data-is=${stage.is}>
                  <span class="stop" aria-hidden="true"></span>
                  <span class="for-screen-readers">${stage.label}: </span>
                  <span class="said">
                    ${stage.said}${stage.until && html`<${Countdown} until=${stage.until} />`}
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
