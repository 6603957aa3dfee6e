// Narrow screens.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as on from "./support.mjs";

let world;
before(async () => (world = await on.setUp()));
after(() => world?.tearDown());

for (const width of [320, 390, 800, 1200]) {
  test(`every section is usable at ${width} pixels`, async (t) => {
    const page = await on.open(t, world, { viewport: { width, height: 844 } });
    const fits = async () =>
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "scrolls sideways");
    const show = async (name) => {
      const button = page.getByRole("navigation", { name: "Sections" }).getByRole("button", { name });
      if (await button.isVisible()) await button.click();
      await page.getByRole("region", { name }).waitFor();
      await fits();
    };
    const text = `On ${width} pixels`;
    await show("Phones");
    await on.write(page, text);
    await on.ticks(on.received(page, text), "read").waitFor();
    assert.ok(await page.getByRole("button", { name: /^Burst/ }).isVisible());
    await show("History");
    await on.seen(page, text).first().waitFor();
    await show("Faults");
    await on.turn(page, "graph-slow", true);
    await on.turn(page, "graph-slow", false);
    await show("Pipeline");
    await on.row(page, text).getByRole("button").click();
    await page.getByRole("article").getByText("signature").waitFor();
    await fits();
    await page.getByRole("article").getByRole("button", { name: "Close" }).click();
    await on.row(page, text).waitFor();
    assert.ok(await page.locator("[data-counter=accepted]").isVisible());
  });
}
