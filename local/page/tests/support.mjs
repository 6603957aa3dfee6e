// Starts `local` and a browser, and locates elements by role and text.
// PAGE_URL names a running page to test; CHROMIUM names another browser than Debian's.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

// Timeouts in milliseconds: without, and with a retry by a queue.
export const SOON = 20_000;
export const PATIENT = 120_000;
const START = 300_000;

// Child processes end with this process.
const running = new Set();
process.on("exit", () => running.forEach((end) => end()));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

// A `local` of its own, on a port that `port` names or a free one, with the window `replyWindow` in milliseconds.
export async function startLocal({ port, replyWindow = 0, responder = "echo" } = {}) {
  if (process.env.PAGE_URL) return { url: new URL(process.env.PAGE_URL).origin, stop: async () => {}, warnings: () => "" };
  const directory = await mkdtemp(join(tmpdir(), "page-"));
  const options = ["--env-file", join(directory, "local.env"), "--reply-window", String(replyWindow)];
  options.push("--responder", responder);
  if (port) options.push("--port", port);
  const local = spawn("cargo", ["run", "--quiet", "-p", "local", "--", ...options], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    // A process group: a signal reaches cargo and its children.
    detached: true,
  });
  // The event `close` also waits for its children.
  const ended = once(local, "close");
  let log = "";
  local.stderr.on("data", (text) => (log = (log + text).slice(-200_000)));
  const end = () => {
    if (local.exitCode === null && local.signalCode === null) process.kill(-local.pid, "SIGTERM");
  };
  running.add(end);
  const stop = async () => {
    end();
    await ended;
    running.delete(end);
    await rm(directory, { recursive: true, force: true });
  };
  const address = (async () => {
    for await (const line of createInterface({ input: local.stdout })) {
      const webhook = /(http:\/\/127\.0\.0\.1:\d+)\/webhook/.exec(line);
      if (webhook) return webhook[1];
    }
    throw new Error(`local has ended:\n${log}`);
  })();
  try {
    const url = await before(START, address, () => `local does not start:\n${log}`);
    local.stdout.resume();
    const warnings = () => log.split("\n").filter((line) => / (WARN|ERROR) /.test(line)).join("\n");
    return { url, port: new URL(url).port, stop, warnings };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function before(milliseconds, promise, say) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(say())), milliseconds)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export const startBrowser = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });

// `local` and a browser for the tests of one file.
export async function setUp(options) {
  const local = await startLocal(options);
  const browser = await startBrowser().catch(async (error) => {
    await local.stop();
    throw error;
  });
  const tearDown = async () => {
    await browser.close();
    await local.stop();
  };
  return { local, browser, tearDown };
}

// Opens the page for one test. At its end: no error is in the console, and no other host was requested.
// `refused`: paths with an HTTP error that is part of the test; the browser logs it to the console.
export async function open(test, { local, browser }, { refused = [], ...options } = {}) {
  // Without animations: on a busy machine an element may not hold still for long enough to be pressed, and axe would see
  // colours in transition.
  const steady = { viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" };
  const context = await browser.newContext({ ...steady, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(SOON);
  const errors = [];
  const hosts = new Set();
  page.on("pageerror", (error) => errors.push(error.stack));
  page.on("console", (message) => {
    const { pathname } = new URL(message.location().url || local.url);
    const expected = message.text().startsWith("Failed to load resource") && refused.includes(pathname);
    if (["error", "warning"].includes(message.type()) && !expected) errors.push(`${message.text()} ${pathname}`);
  });
  page.on("request", (request) => hosts.add(new URL(request.url()).origin));
  test.after(async () => {
    await context.close();
    assert.equal(errors.join("\n"), "", `errors in the console; local says:\n${local.warnings()}`);
    assert.deepEqual([...hosts], [local.url], "requested hosts");
  });
  await page.goto(local.url);
  await page.getByRole("tab", { name: "User A" }).first().waitFor();
  return page;
}

// Waits until `check` no longer throws.
export async function eventually(check, milliseconds = SOON) {
  const deadline = Date.now() + milliseconds;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export const phone = (page, name) => page.getByRole("tablist", { name: "Phones" }).getByRole("tab", { name });
export const composer = (page) => page.getByRole("textbox", { name: /^Message of/ });

export async function write(page, text) {
  await composer(page).fill(text);
  await composer(page).press("Enter");
}

export async function sendSample(page, name) {
  await page.getByRole("button", { name: "Message types" }).click();
  await page.getByRole("menuitem", { name }).click();
}

// The bubbles with exactly `text`: sent, and received.
const bubbles = (page, from, text) =>
  page.locator(`.bubble[data-from=${from}]`).filter({ has: page.locator(".text").getByText(text, { exact: true }) });
export const sent = (page, text) => bubbles(page, "user", text);
export const received = (page, text) => bubbles(page, "business", text);
export const ticks = (bubble, which) => bubble.locator(`.ticks[data-ticks=${which}]`);

export const row = (page, text) => page.locator(".row").filter({ hasText: text });
export const stage = (row, name) => row.locator(`[data-stage=${name}]`);

export const history = (page) => page.getByRole("region", { name: "History" });
export const seen = (page, text) => history(page).getByRole("listitem").filter({ hasText: text });
export const viewAs = (page, viewer) => history(page).getByRole("tab", { name: viewer }).click();
export const fault = (page, id) => page.locator(`[data-fault=${id}]`).getByRole("switch");

export async function turn(page, id, on) {
  const wanted = String(on);
  const it = fault(page, id);
  if ((await it.getAttribute("aria-checked")) !== wanted) await it.click();
  await eventually(async () => assert.equal(await it.getAttribute("aria-checked"), wanted));
}

export async function counters(page) {
  const all = await page.locator("[data-counter]").all();
  const entries = all.map(async (one) => [
    await one.getAttribute("data-counter"),
    Number.parseInt(await one.locator("dd").innerText(), 10),
  ]);
  return Object.fromEntries(await Promise.all(entries));
}

// Waits until the counters reconcile.
export const reconciled = (page, milliseconds = SOON) =>
  page.locator("[data-counter=difference][data-verdict=reconciled]").waitFor({ timeout: milliseconds });

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

// All violations that axe reports.
export async function violations(page) {
  await page.evaluate(`${await readFile(AXE, "utf8")};0`);
  const { violations } = await page.evaluate("axe.run()");
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`));
}
