// A lost connection, and a restart of the server.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as on from "./support.mjs";

let local;
let browser;
before(async () => {
  local = await on.startLocal();
  browser = await on.startBrowser();
});
after(async () => {
  await browser?.close();
  await local?.stop();
});

const banner = (page) => page.getByRole("status").filter({ hasText: "Disconnected" });

test("a lost connection is shown and ends with a retry", async (t) => {
  const page = await on.open(t, { local, browser }, { refused: ["/page/live", "/messages"] });
  let away = true;
  await page.route("**/page/live", (route) => (away ? route.abort() : route.continue()));
  await page.reload();
  await banner(page).waitFor();
  away = false;
  await page.getByRole("button", { name: "Retry now" }).click();
  await banner(page).waitFor({ state: "detached" });
  await on.write(page, "Can you hear me?");
  await on.received(page, "Can you hear me?").waitFor();
});

test("after a restart the page shows the new state", async (t) => {
  if (process.env.PAGE_URL) return t.skip("needs a local of its own");
  // The reply may not be reported as read yet when the server stops.
  const refused = ["/page/live", "/messages", "/page/phones/a/read"];
  const page = await on.open(t, { local, browser }, { refused });
  await on.write(page, "Before the end");
  await on.received(page, "Before the end").waitFor();

  const { port } = local;
  await local.stop();
  await banner(page).waitFor();
  assert.ok(await on.composer(page).isDisabled());
  assert.ok(await on.received(page, "Before the end").isVisible(), "the last known state stays");

  local = await on.startLocal({ port });
  await banner(page).waitFor({ state: "detached" });
  await on.eventually(async () => assert.equal(await on.received(page, "Before the end").count(), 0));
  await on.write(page, "After the start");
  await on.received(page, "After the start").waitFor();
});
