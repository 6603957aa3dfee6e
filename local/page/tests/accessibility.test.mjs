// What axe finds, in every look of the page.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as on from "./support.mjs";

let world;
before(async () => (world = await on.setUp()));
after(() => world?.tearDown());

const NARROW = { width: 390, height: 844 };

// Something of every kind to look at.
async function fill(page) {
  await on.write(page, "Something to look at");
  await on.received(page, "Something to look at").waitFor();
  await on.sendSample(page, /reaction/i);
  await page.locator(".bubble .reaction").first().waitFor();
}

for (const colorScheme of ["light", "dark"]) {
  // Without motion: axe would meet colours on their way.
  const looks = { colorScheme, reducedMotion: "reduce" };

  test(`the whole page, ${colorScheme}`, async (t) => {
    const page = await on.open(t, world, { ...looks, refused: ["/messages"] });
    await fill(page);
    await on.turn(page, "Graph 429", true);
    await on.write(page, "Something that waits");
    await on.row(page, "Something that waits").locator(".countdown").first().waitFor();
    await on.askAs(page, "No token");
    await on.history(page).locator(".problem").waitFor();
    assert.deepEqual(await on.violations(page), []);
    await on.turn(page, "Graph 429", false);
    await on.received(page, "Something that waits").first().waitFor({ timeout: on.PATIENT });
  });

  test(`details, menu and dialog, ${colorScheme}`, async (t) => {
    const page = await on.open(t, world, looks);
    await fill(page);
    await on.row(page, "Something to look at").first().getByRole("button").click();
    await page.getByRole("article").locator("pre").first().waitFor();
    assert.deepEqual(await on.violations(page), []);
    await page.getByRole("button", { name: "Other kinds of message" }).click();
    assert.deepEqual(await on.violations(page), []);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Add a phone" }).click();
    assert.deepEqual(await on.violations(page), []);
  });

  test(`as wide as a phone, ${colorScheme}`, async (t) => {
    const page = await on.open(t, world, { ...looks, viewport: NARROW });
    await fill(page);
    for (const name of ["Phones", "History", "Trouble", "The way through"]) {
      await page.getByRole("navigation", { name: "Sections" }).getByRole("button", { name }).click();
      await page.getByRole("region", { name }).waitFor();
      assert.deepEqual(await on.violations(page), [], name);
    }
    await on.row(page, "Something to look at").first().getByRole("button").click();
    assert.deepEqual(await on.violations(page), [], "details");
  });

  test(`disconnected before anything has come, ${colorScheme}`, async (t) => {
    const page = await on.open(t, world, { ...looks, refused: ["/page/live"] });
    await page.route("**/page/live", (route) => route.abort());
    await page.reload();
    await page.getByText("Disconnected.").waitFor();
    assert.deepEqual(await on.violations(page), []);
  });
}
