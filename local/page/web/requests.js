// Requests to the server. A failure is an `Error` with a message for display.

async function request(method, path, body = {}) {
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
  if (!response.ok) throw new Error(answer?.detail ?? answer?.title ?? `The server returned ${response.status}.`);
  return answer;
}

export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const phone = (id, resource) => `/page/phones/${encodeURIComponent(id)}/${resource}`;

export const addPhone = (phone) => request("POST", "/page/phones", phone);
export const send = (id, message) => request("POST", phone(id, "messages"), message);
export const createLink = (id, user) => request("POST", phone(id, "link"), { user });
export const deleteLink = (id) => request("DELETE", phone(id, "link"));
export const read = (id) => request("POST", phone(id, "read"));
export const setFault = (id, on) => request("PUT", `/page/faults/${encodeURIComponent(id)}`, { on });
export const runAction = (id) => request("POST", `/page/faults/${encodeURIComponent(id)}`);
export const setResponder = (responder) => request("PUT", "/page/responder", { responder });
export const redrive = () => request("POST", "/page/dead-letters/redrive");
