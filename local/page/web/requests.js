// What the page asks the server to do. An error is an `Error` whose message a person can read.

async function ask(method, path, body = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error("The server cannot be reached.");
  }
  const text = await response.text();
  const answer = parsed(text);
  if (!response.ok) throw new Error(answer?.detail ?? answer?.title ?? `The server answered ${response.status}.`);
  return answer;
}

export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const phone = (id, what) => `/page/phones/${encodeURIComponent(id)}/${what}`;

export const addPhone = (phone) => ask("POST", "/page/phones", phone);
export const send = (id, message) => ask("POST", phone(id, "messages"), message);
export const read = (id) => ask("POST", phone(id, "read"));
export const setTrouble = (id, on) => ask("PUT", `/page/trouble/${encodeURIComponent(id)}`, { on });
export const doTrouble = (id) => ask("POST", `/page/trouble/${encodeURIComponent(id)}`);
export const redrive = () => ask("POST", "/page/dead-letters/redrive");
