// Keyboard navigation.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as on from "./support.mjs";

let world;
before(async () => (world = await on.setUp()));
after(() => world?.tearDown());

// Presses Tab until the focus is on `locator`.
async function tabTo(page, locator) {
  for (let presses = 0; presses < 60; presses += 1) {
    if (await locator.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`Tab does not lead to ${locator}`);
}

const focused = (locator) =>
  on.eventually(async () => assert.ok(await locator.evaluate((element) => element === document.activeElement)));

test("select a phone, send, and open the details", async (t) => {
  const page = await on.open(t, world);
  await page.keyboard.press("Tab");
  await focused(page.getByRole("link", { name: "Skip to the phones" }));
  await page.keyboard.press("Enter");

  await tabTo(page, on.phone(page, "User A"));
  await page.keyboard.press("ArrowRight");
  await focused(on.phone(page, "User B"));
  assert.equal(await on.phone(page, "User B").getAttribute("aria-selected"), "true");

  await tabTo(page, on.composer(page));
  await page.keyboard.type("Without a mouse");
  await page.keyboard.press("Enter");
  await on.received(page, "Without a mouse").waitFor();

  const row = on.row(page, "Without a mouse").getByRole("button");
  await tabTo(page, row);
  await page.keyboard.press("Enter");
  const details = page.getByRole("article", { name: /Without a mouse/ });
  await focused(details.getByRole("heading", { name: /Without a mouse/ }));
  await page.keyboard.press("Escape");
  await details.waitFor({ state: "detached" });
  await focused(row);
});

test("the menu of samples opens, moves, closes and sends", async (t) => {
  const page = await on.open(t, world);
  const button = page.getByRole("button", { name: "Message types" });
  const items = page.getByRole("menuitem");
  await tabTo(page, button);
  await page.keyboard.press("Enter");
  await focused(items.nth(0));
  await page.keyboard.press("ArrowDown");
  await focused(items.nth(1));
  await page.keyboard.press("Escape");
  await focused(button);
  await page.keyboard.press("Enter");
  await focused(items.nth(0));
  const before = await page.locator(".bubble[data-from=user]").count();
  await page.keyboard.press("Enter");
  await on.eventually(async () => assert.equal(await page.locator(".bubble[data-from=user]").count(), before + 1));
  await focused(button);
});

test("a switch turns with Space, a dialog restores the focus", async (t) => {
  const page = await on.open(t, world);
  const add = page.getByRole("button", { name: "Add a phone" });
  await tabTo(page, add);
  await page.keyboard.press("Enter");
  await focused(page.getByLabel("Name", { exact: true }));
  await page.keyboard.press("Escape");
  await focused(add);

  const slow = on.fault(page, "graph-slow");
  await tabTo(page, slow);
  for (const wanted of ["true", "false"]) {
    await page.keyboard.press("Space");
    await on.eventually(async () => assert.equal(await slow.getAttribute("aria-checked"), wanted));
    // Until the request has ended, a switch does not turn again.
    await on.eventually(async () => assert.equal(await slow.getAttribute("aria-disabled"), null));
  }
});
