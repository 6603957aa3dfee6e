// `GET /messages` as each viewer, requested by the page: the rows that row-level security allows.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/preact-htm.js";
import { clockWithSeconds, ok } from "./format.js";
import { parsed } from "./requests.js";
import { Tabs } from "./tabs.js";

const FIRST = "/messages?limit=5";
// Milliseconds in which changes of the database are combined into one request.
const TOGETHER = 300;

async function fetchPage(path, token) {
  let response;
  try {
    response = await fetch(path, { headers: token === null ? {} : { authorization: `Bearer ${token}` } });
  } catch {
    return { path, failure: "The server cannot be reached." };
  }
  const body = parsed(await response.text());
  const next = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get("link") ?? "")?.[1] ?? null;
  return { path, status: response.status, body, next };
}

// Changes with every row in the database, and with its status.
const written = (messages) =>
  messages.map(({ database }) => database && database.rows.map(({ status }) => status).join()).join(";");

export function History({ state }) {
  const [viewerId, setViewerId] = useState("A");
  const [path, setPath] = useState(FIRST);
  const [page, setPage] = useState(null);
  const [refreshes, setRefreshes] = useState(0);
  const latest = useRef(0);
  const viewer = state.history.find((viewer) => viewer.id === viewerId) ?? state.history[0];
  const change = useMemo(() => written(state.messages), [state.messages]);

  useEffect(() => {
    if (!viewer || state.connection !== "live") return;
    const timer = setTimeout(async () => {
      const mine = ++latest.current;
      const answer = await fetchPage(path, viewer.token);
      if (mine === latest.current) setPage({ ...answer, viewer: viewer.id });
    }, page?.viewer === viewer.id && page.path === path ? TOGETHER : 0);
    return () => clearTimeout(timer);
  }, [viewer?.id, viewer?.token, path, change, refreshes, state.connection, state.counters?.known]);

  const choose = (id) => {
    setViewerId(id);
    setPath(FIRST);
  };
  const current = page?.viewer === viewer?.id && page?.path === path ? page : null;
  return html`
    <section class="section history" id="history" aria-labelledby="history-heading">
      <header>
        <h2 id="history-heading">History</h2>
        <button type="button" class="quiet" onClick=${() => setRefreshes(refreshes + 1)} disabled=${state.connection !== "live"}>
          Refresh
        </button>
      </header>
      ${!state.loaded
        ? html`<p class="empty">Waiting for the server…</p>`
        : html`
            <${Tabs}
              label="Viewer"
              tabs=${state.history.map(({ id, label }) => ({ id, label, panel: "history-panel" }))}
              selected=${viewer?.id}
              select=${choose}
              prefix="history"
            />
            <div role="tabpanel" id="history-panel" aria-labelledby=${`history-tab-${viewer?.id}`} class="scroll" tabindex="0">
              <p class="request">
                <code>GET ${path === FIRST ? FIRST : "/messages?limit=5&before=…"}</code>
                ${current?.status &&
                html`<span class=${ok(current.status) ? "code good" : "code bad"}>${current.status}</span>`}
              </p>
              <${Answer} page=${current} />
              <p class="paging">
                ${path !== FIRST && html`<button type="button" onClick=${() => setPath(FIRST)}>Newest</button>`}
                ${current?.next && html`<button type="button" onClick=${() => setPath(current.next)}>Older</button>`}
              </p>
            </div>
          `}
    </section>
  `;
}

function Answer({ page }) {
  if (page === null) return html`<p class="empty">Loading…</p>`;
  if (page.failure) return html`<p class="problem">${page.failure}</p>`;
  if (!Array.isArray(page.body)) {
    return html`
      <div class="problem">
        <strong>${page.body?.title ?? `Status ${page.status}`}</strong>
        <span>${page.body?.detail}</span>
      </div>
    `;
  }
  if (page.body.length === 0) return html`<p class="empty">No rows are visible to this user.</p>`;
  return html`
    <ol class="rows">
      ${page.body.map(
        (row) => html`
          <li key=${row.id} data-role=${row.role}>
            <span class="role">${row.role}</span>
            <span class="content">${row.content}</span>
            <span class="when">${row.status ? `${row.status} · ` : ""}${clockWithSeconds(row.created_at)}</span>
          </li>
        `,
      )}
    </ol>
  `;
}
