// The state of a message at each stage: a short text and a colour.
// `is`: good, busy, waits, bad or nothing.

import { counted, milliseconds, ok } from "./format.js";

export const STAGES = [
  ["webhook", "Webhook"],
  ["queue", "Queue"],
  ["reply", "Reply"],
  ["graph", "Graph"],
  ["database", "Database"],
];

const NOTHING = { is: "nothing", text: "" };
const NEEDS_NONE = { is: "good", text: "no rows" };
const GOOD_OUTCOMES = new Set([
  "answered",
  "recorded",
  "answered_before",
  "registration_sent",
  "ignored",
  "event_stored",
  "link_asked",
  "linked",
  "link_discarded",
  "link_refused",
]);

export const stages = (message) => STAGES.map(([id, label]) => ({ id, label, ...TEXTS[id](message) }));

// Whether a message waits for further ones of its sender.
export const isHeld = (reply) => reply?.outcome === "held";

const TEXTS = {
  webhook({ webhook }) {
    if (!webhook) return NOTHING;
    const posts = webhook.posts > 1 ? ` ×${webhook.posts}` : "";
    const text = [`${webhook.status}${posts}`, milliseconds(webhook.ms)].filter(Boolean).join(" · ");
    return { is: ok(webhook.status) ? "good" : "bad", text };
  },
  queue({ queue, reply, dead }) {
    if (dead) return { is: "bad", text: "dead letter" };
    if (!queue) return NOTHING;
    const receives = queue.receives > 1 ? ` ×${queue.receives}` : "";
    if (queue.state === "gone") return { is: "good", text: `done${receives}` };
    if (queue.state === "dead") return { is: "bad", text: "dead letter" };
    if (queue.state === "in flight") return { is: "busy", text: `in flight${receives}` };
    const records = queue.name?.startsWith("records") ? "rows waiting" : "waiting";
    return { is: "waits", text: `${queue.visible_at ? `${records}, ` : records}`, until: queue.visible_at, held: isHeld(reply) };
  },
  reply({ reply }) {
    if (!reply) return NOTHING;
    const attempts = reply.attempts > 1 ? ` ×${reply.attempts}` : "";
    if (reply.error && !GOOD_OUTCOMES.has(reply.outcome)) return { is: "bad", text: `${reply.outcome ?? "failed"}${attempts}` };
    if (!reply.outcome) return { is: "busy", text: `processing${attempts}` };
    const together = reply.joined ? ` with ${counted(reply.joined - 1, "other")}` : "";
    const text = [`${words(reply.outcome)}${together}${attempts}`, ...spent(reply.model)].join(" · ");
    if (reply.outcome === "dropped") return { is: "bad", text };
    return { is: GOOD_OUTCOMES.has(reply.outcome) ? "good" : "waits", text };
  },
  graph({ graph }) {
    const call = graph.at(-1);
    if (!call) return NOTHING;
    const calls = graph.length > 1 ? ` ×${graph.length}` : "";
    if (call.status === null) return { is: "busy", text: `called${calls}` };
    const text = [`${call.status}${calls}`, milliseconds(call.ms)].filter(Boolean).join(" · ");
    return { is: ok(call.status) ? "good" : "bad", text };
  },
  database({ state, database, statuses }) {
    if (!database) return state === "done" ? NEEDS_NONE : NOTHING;
    const last = statuses.at(-1)?.status;
    if (database.rows.length > 0) {
      const rows = counted(database.rows.length, "row");
      return { is: "good", text: last ? `${rows} · ${last}` : rows };
    }
    return database.deferred ? { is: "waits", text: "deferred" } : NEEDS_NONE;
  },
};

// The tokens of a language model's answer and its time.
const spent = (model) =>
  model ? [model.output_tokens && counted(model.output_tokens, "token"), milliseconds(model.ms)].filter(Boolean) : [];

// `registration_sent` as words.
export const words = (name) => name.replaceAll("_", " ");
