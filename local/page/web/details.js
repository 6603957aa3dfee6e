// The details of one message: each stage of the pipeline, and the logs.

import { html, useEffect, useRef } from "./vendor/preact-htm.js";
import { Countdown } from "./countdown.js";
import { clockWithSeconds, counted, milliseconds, ok } from "./format.js";
import { isHeld, words } from "./stages.js";

export function Details({ state, wamid, message, close }) {
  const heading = useRef(null);
  useEffect(() => {
    heading.current?.focus();
  }, []);
  const onKeyDown = (event) => {
    if (event.key === "Escape") close();
  };
  return html`
    <article class="details" aria-labelledby="details-heading" onKeyDown=${onKeyDown}>
      <header>
        <h3 id="details-heading" tabindex="-1" ref=${heading}>${message?.label ?? "Message"}</h3>
        <button type="button" class="quiet" onClick=${close}>Close</button>
      </header>
      <div class="scroll" tabindex="0" role="group" aria-label="Details">
        <p class="wamid"><code>${wamid}</code></p>
        ${message
          ? html`<${Stages} message=${message} />`
          : html`<p class="empty">No details: the message is too old.</p>`}
        <${Logs} state=${state} wamid=${wamid} />
      </div>
    </article>
  `;
}

function Stages({ message }) {
  const { state, webhook, queue, reply, graph, database, statuses, dead } = message;
  return html`
    ${dead &&
    html`
      <${Part} name="Dead letter" is="bad">
        <${Facts} facts=${{ queue: dead.queue, cause: dead.cause }} />
      <//>
    `}
    <${Part} name="Webhook" is=${!webhook ? "nothing" : ok(webhook.status) ? "good" : "bad"}>
      ${webhook
        ? html`
            <${Facts}
              facts=${{
                status: webhook.status,
                duration: milliseconds(webhook.ms),
                signature: webhook.signature,
                posts: webhook.posts,
              }}
            />
          `
        : html`<p class="empty">Unknown.</p>`}
    <//>
    <${Part} name="Queue" is=${!queue ? "nothing" : { gone: "good", dead: "bad", "in flight": "busy" }[queue.state] ?? "waits"}>
      ${queue
        ? html`
            <${Facts}
              facts=${{
                queue: queue.name,
                state: queue.state,
                group: queue.group,
                position: queue.position,
                receives: queue.receives,
                visible: queue.visible_at && html`<${Countdown} until=${queue.visible_at} held=${isHeld(reply)} />`,
              }}
            />
          `
        : html`<p class="empty">Not queued yet.</p>`}
    <//>
    <${Part} name="Reply" is=${!reply ? "nothing" : reply.error ? "bad" : isHeld(reply) ? "waits" : reply.outcome ? "good" : "busy"}>
      ${reply
        ? html`
            <${Facts}
              facts=${{
                attempts: reply.attempts,
                outcome: reply.outcome && words(reply.outcome),
                held: reply.held_ms ? milliseconds(reply.held_ms) : null,
                "answered with": reply.joined && counted(reply.joined - 1, "other message"),
                ...answer(reply.model),
                error: reply.error,
              }}
            />
          `
        : html`<p class="empty">Not received yet.</p>`}
    <//>
    <${Part} name="Graph API" is=${graph.length === 0 ? "nothing" : ok(graph.at(-1).status) ? "good" : "bad"}>
      ${graph.length === 0
        ? html`<p class="empty">Not called.</p>`
        : graph.map((call, at) => html`<${Call} key=${at} call=${call} open=${at === graph.length - 1} />`)}
    <//>
    <${Part} name="Database" is=${!database && state !== "done" ? "nothing" : database?.deferred && database.rows.length === 0 ? "waits" : "good"}>
      <${Database} database=${database} done=${state === "done"} />
    <//>
    <${Part} name="Statuses" is=${statuses.length === 0 ? "nothing" : "good"}>
      ${statuses.length === 0
        ? html`<p class="empty">None yet.</p>`
        : html`
            <ul class="statuses">
              ${statuses.map(
                (status, at) => html`
                  <li key=${at}>
                    <strong>${status.status}</strong>
                    <span>${words(status.outcome ?? "in progress")}</span>
                    <time datetime=${status.at}>${clockWithSeconds(status.at)}</time>
                  </li>
                `,
              )}
            </ul>
          `}
    <//>
  `;
}

// The facts of a language model's answer.
const answer = (model) =>
  model && {
    model: model.model,
    "input tokens": model.input_tokens,
    "output tokens": model.output_tokens,
    "model's time": milliseconds(model.ms),
    "finish reason": model.finish_reason,
  };

function Part({ name, is, children }) {
  return html`
    <section class="part" data-is=${is} data-part=${name}>
      <h4>${name}</h4>
      <div>${children}</div>
    </section>
  `;
}

const Facts = ({ facts }) => html`
  <dl class="facts">
    ${Object.entries(facts)
      .filter(([, fact]) => fact !== null && fact !== undefined && fact !== "")
      .map(
        ([name, fact]) => html`
          <div key=${name}>
            <dt>${name}</dt>
            <dd>${fact}</dd>
          </div>
        `,
      )}
  </dl>
`;

const Call = ({ call, open }) => html`
  <details class="call" open=${open}>
    <summary>
      <span class=${ok(call.status) ? "code good" : "code bad"}>${call.status ?? "no response"}</span>
      <span>${[clockWithSeconds(call.at), milliseconds(call.ms)].filter(Boolean).join(" · ")}</span>
    </summary>
    <div class="json">
      <div>
        <h5>request</h5>
        <pre tabindex="0">${JSON.stringify(call.request, null, 2)}</pre>
      </div>
      <div>
        <h5>response</h5>
        <pre tabindex="0">${JSON.stringify(call.answer, null, 2)}</pre>
      </div>
    </div>
  </details>
`;

function Database({ database, done }) {
  if (!database) return html`<p class="empty">${done ? "No rows needed." : "No rows yet."}</p>`;
  const { rows, deferred } = database;
  if (rows.length === 0) {
    return html`
      <p class="empty">
        ${deferred ? "Deferred: the rows wait on the record queue until the database is back." : "No rows needed."}
      </p>
    `;
  }
  return html`
    ${deferred && html`<p class="aside">Deferred: the rows waited on the record queue.</p>`}
    <ul class="written">
      ${rows.map(
        (row, at) => html`
          <li key=${at}>
            <span class="role">${row.role}</span>
            <span class="content">${row.content}</span>
            <span class="when">${row.status}</span>
          </li>
        `,
      )}
    </ul>
  `;
}

function Logs({ state, wamid }) {
  const ids = [wamid, ...state.chats.filter(({ pipeline_wamid }) => pipeline_wamid === wamid).map(({ id }) => id)];
  const named = new Set(ids.flatMap((id) => [id, shortened(id)]));
  const logs = state.logs.filter((log) => named.has(log.wamid));
  return html`
    <${Part} name="Logs" is=${logs.length === 0 ? "nothing" : "good"}>
      ${logs.length === 0
        ? html`<p class="empty">No lines.</p>`
        : html`
            <p class="for-screen-readers">${counted(logs.length, "line")}</p>
            <ol class="log">
              ${logs.map(
                (log) => html`
                  <li key=${log.id} data-level=${log.level}>
                    <p class="line">
                      <time datetime=${log.at}>${clockWithSeconds(log.at)}</time>
                      <strong>${log.function}</strong>
                      <span class="level">${log.level}</span>
                      <span>${log.message}</span>
                    </p>
                    <p class="fields">${fields(log.fields, wamid)}</p>
                  </li>
                `,
              )}
            </ol>
          `}
    <//>
  `;
}

// The short wamid of the logs, without the beginning, which contains a phone number: ShortWamid in
// shared/src/lambda/logging.rs.
const shortened = (wamid) => wamid.slice(-16);

// The fields of a log line, without the message's own wamid.
const fields = (all, wamid) =>
  Object.entries(all ?? {})
    .filter(([, value]) => value !== shortened(wamid))
    .map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join("  ");
