// An app that reads its user's history with supabase-js, from the REST API and from GET /messages. See .ci/supabase-js.

import assert from "node:assert/strict";

import { createClient } from "@supabase/supabase-js";

const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, SUPABASE_SECRET_KEY, MESSAGES_URL, TOKEN_A, TOKEN_B } = process.env;
const USER_A = "11111111-1111-4111-8111-111111111111";
const USER_B = "22222222-2222-4222-8222-222222222222";

// Node.js before 22 has no WebSocket, which this app does not need.
const realtime = { transport: class {} };
const client = (key, token) =>
    createClient(SUPABASE_URL, key, token ? { realtime, accessToken: async () => token } : { realtime });
const refused = ({ status, error, data }, expected) => {
    assert.deepEqual({ status, code: error?.code, data }, { ...expected, data: null }, error?.message);
};
const newestFirst = (from) => from.order("created_at", { ascending: false }).order("id", { ascending: false });

// Without a session the key is also the bearer token.
refused(await client(SUPABASE_PUBLISHABLE_KEY).from("messages").select(), { status: 401, code: "42501" });
const server = await client(SUPABASE_SECRET_KEY).from("messages").select("user_id");
assert.deepEqual([server.status, new Set(server.data?.map((row) => row.user_id))], [200, new Set([USER_A])]);
refused(await client(SUPABASE_PUBLISHABLE_KEY, "a.b.c").from("messages").select(), { status: 401, code: "PGRST301" });

const a = client(SUPABASE_PUBLISHABLE_KEY, TOKEN_A);
const own = await newestFirst(a.from("messages").select("id, user_id, role, content"));
assert.deepEqual([own.status, own.data?.map((row) => row.role)], [200, ["assistant", "user"]], own.error?.message);
assert.deepEqual(new Set(own.data.map((row) => row.user_id)), new Set([USER_A]));
const number = await a.from("user_preferences").select("whatsapp_phone").single();
assert.deepEqual([number.status, number.data], [200, { whatsapp_phone: "+16505551234" }]);

const others = await a.from("messages").select().eq("user_id", USER_B);
assert.deepEqual([others.status, others.data], [200, []]);
const b = client(SUPABASE_PUBLISHABLE_KEY, TOKEN_B);
const none = await b.from("messages").select();
assert.deepEqual([none.status, none.data], [200, []]);

refused(await a.from("messages").select("nothing"), { status: 400, code: "42703" });
const forged = { user_id: USER_A, channel: "whatsapp", role: "user", content: "forged" };
refused(await a.from("messages").insert(forged), { status: 403, code: "42501" });
refused(await a.from("account_events").select(), { status: 403, code: "42501" });
refused(await a.rpc("adoption_notes"), { status: 403, code: "42501" });

// Linking. No unlinked sender has written, so no business number is known.
refused(await client(SUPABASE_PUBLISHABLE_KEY).rpc("create_whatsapp_link"), { status: 401, code: "42501" });
refused(await client(SUPABASE_SECRET_KEY).rpc("create_whatsapp_link"), { status: 403, code: "42501" });
refused(await b.rpc("create_whatsapp_link"), { status: 503, code: "PT503" });
const removed = await b.rpc("delete_whatsapp_link");
assert.deepEqual([removed.status, removed.error], [204, null]);
const unlinked = await b.from("user_preferences").select("whatsapp_phone, whatsapp_user_id").maybeSingle();
assert.deepEqual(unlinked.data, { whatsapp_phone: null, whatsapp_user_id: null });

// The same history, from the function.
const page = async (token) => {
    const response = await fetch(MESSAGES_URL, { headers: { authorization: `Bearer ${token}` } });
    assert.equal(response.status, 200);
    return response.json();
};
const pick = ({ id, user_id, role, content }) => ({ id, user_id, role, content });
assert.deepEqual((await page(TOKEN_A)).map(pick), own.data);
assert.deepEqual(await page(TOKEN_B), []);
console.log("supabase-js: user A reads their own messages, by REST and by GET /messages; B reads none of them");
