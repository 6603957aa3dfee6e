// The rules of axe, in every colour scheme and layout.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as on from "./support.mjs";

let world;
before(async () => (world = await on.setUp()));
after(() => world?.tearDown());

const NARROW = { width: 390, height: 844 };

// Fills every section. Returns a text that is unique for each call.
let filled = 0;
async function fill(page) {
  filled += 1;
  const text = `Sample text ${filled}`;
  await on.write(page, text);
  await on.received(page, text).waitFor();
  await on.sendSample(page, /^Reaction$/);
  await on.received(page, text).locator(".reaction").waitFor();
  return text;
}

for (const colorScheme of ["light", "dark"]) {
  test(`the whole page, ${colorScheme}`, async (t) => {
    const page = await on.open(t, world, { colorScheme, refused: ["/messages"] });
    const waiting = `Waits for ${await fill(page)}`;
    await on.turn(page, "graph-429", true);
    await on.write(page, waiting);
    await on.row(page, waiting).locator(".countdown").first().waitFor();
    await on.viewAs(page, "No token");
    await on.history(page).locator(".problem").waitFor();
    assert.deepEqual(await on.violations(page), []);
    await on.turn(page, "graph-429", false);
    await on.received(page, waiting).waitFor({ timeout: on.PATIENT });
  });

  test(`details, menu and dialog, ${colorScheme}`, async (t) => {
    const page = await on.open(t, world, { colorScheme });
    const text = await fill(page);
    await on.row(page, text).first().getByRole("button").click();
    await page.getByRole("article").locator("pre").first().waitFor();
    assert.deepEqual(await on.violations(page), []);
    await page.getByRole("button", { name: "Message types" }).click();
    assert.deepEqual(await on.violations(page), []);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Add a phone" }).click();
    assert.deepEqual(await on.violations(page), []);
  });

  test(`a narrow screen, ${colorScheme}`, async (t) => {
    const page = await on.open(t, world, { colorScheme, viewport: NARROW });
    const text = await fill(page);
    for (const name of ["Phones", "History", "Faults", "Pipeline"]) {
      await page.getByRole("navigation", { name: "Sections" }).getByRole("button", { name }).click();
      await page.getByRole("region", { name }).waitFor();
      assert.deepEqual(await on.violations(page), [], name);
    }
    await on.row(page, text).first().getByRole("button").click();
    assert.deepEqual(await on.violations(page), [], "details");
  });

  test(`disconnected before the first event, ${colorScheme}`, async (t) => {
    const page = await on.open(t, world, { colorScheme, refused: ["/page/live"] });
    await page.route("**/page/live", (route) => route.abort());
    await page.reload();
    await page.getByText("Disconnected.").waitFor();
    assert.deepEqual(await on.violations(page), []);
  });
}
