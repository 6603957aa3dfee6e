// What the row of a journey says at each stage: a few words, and how they are coloured.
// `is`: good, busy, waits, bad, or nothing yet.

import { counted, milliseconds, ok } from "./format.js";

export const STAGES = [
  ["webhook", "Webhook"],
  ["queue", "Queue"],
  ["reply", "Reply"],
  ["graph", "Graph"],
  ["database", "Database"],
];

const NOTHING = { is: "nothing", said: "" };
const NEEDS_NONE = { is: "good", said: "needs none" };
const GOOD_OUTCOMES = new Set(["answered", "recorded", "answered_before", "registration_sent", "ignored"]);

export const stages = (journey) => STAGES.map(([id, label]) => ({ id, label, ...SAYS[id](journey) }));

const SAYS = {
  webhook({ webhook }) {
    if (!webhook) return NOTHING;
    const posts = webhook.posts > 1 ? ` ×${webhook.posts}` : "";
    const said = [`${webhook.status}${posts}`, milliseconds(webhook.ms)].filter(Boolean).join(" · ");
    return { is: ok(webhook.status) ? "good" : "bad", said };
  },
  queue({ queue, dead }) {
    if (dead) return { is: "bad", said: "dead letter" };
    if (!queue) return NOTHING;
    const receives = queue.receives > 1 ? ` ×${queue.receives}` : "";
    if (queue.state === "gone") return { is: "good", said: `through${receives}` };
    if (queue.state === "dead") return { is: "bad", said: "dead letter" };
    if (queue.state === "in flight") return { is: "busy", said: `in flight${receives}` };
    const records = queue.name?.startsWith("records") ? "rows wait" : "waits";
    return { is: "waits", said: `${queue.visible_at ? `${records}, ` : records}`, until: queue.visible_at };
  },
  reply({ reply }) {
    if (!reply) return NOTHING;
    const attempts = reply.attempts > 1 ? ` ×${reply.attempts}` : "";
    if (reply.error && !GOOD_OUTCOMES.has(reply.outcome)) return { is: "bad", said: `${reply.outcome ?? "failed"}${attempts}` };
    if (!reply.outcome) return { is: "busy", said: `at work${attempts}` };
    return { is: GOOD_OUTCOMES.has(reply.outcome) ? "good" : "waits", said: `${words(reply.outcome)}${attempts}` };
  },
  graph({ graph }) {
    const call = graph.at(-1);
    if (!call) return NOTHING;
    const calls = graph.length > 1 ? ` ×${graph.length}` : "";
    if (call.status === null) return { is: "busy", said: `asked${calls}` };
    const said = [`${call.status}${calls}`, milliseconds(call.ms)].filter(Boolean).join(" · ");
    return { is: ok(call.status) ? "good" : "bad", said };
  },
  database({ state, database, statuses }) {
    if (!database) return state === "done" ? NEEDS_NONE : NOTHING;
    const last = statuses.at(-1)?.status;
    if (database.rows.length > 0) {
      const rows = counted(database.rows.length, "row");
      return { is: "good", said: last ? `${rows} · ${last}` : rows };
    }
    return database.deferred ? { is: "waits", said: "deferred" } : NEEDS_NONE;
  },
};

// `registration_sent` as words.
export const words = (name) => name.replaceAll("_", " ");
