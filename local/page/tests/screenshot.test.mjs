// The screenshot of the README: docs/page.png with UPDATE_SCREENSHOT=1, otherwise a temporary file.

import assert from "node:assert/strict";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import * as on from "./support.mjs";

const LARGEST = 400_000;

let world;
let directory;
before(async () => {
  world = await on.setUp();
  directory = await mkdtemp(join(tmpdir(), "screenshot-"));
});
after(async () => {
  await world?.tearDown();
  await rm(directory, { recursive: true, force: true });
});

test("the screenshot", async (t) => {
  const page = await on.open(t, world, { refused: ["/messages"] });
  const say = async (text) => {
    await on.write(page, text);
    await on.ticks(on.received(page, text), "read").waitFor();
  };
  await on.phone(page, "User B").click();
  await say("Good morning!");
  await on.phone(page, "Alex").click();
  await on.write(page, "Is this shop open?");
  await page.locator(".bubble[data-from=business]").first().waitFor();
  await page.getByRole("button", { name: "Create a dead letter" }).click();
  await page.locator(".row[data-state=dead]").waitFor({ timeout: on.PATIENT });
  await on.phone(page, "User A").click();
  await say("And do you deliver to Lisbon?");
  await on.sendSample(page, /^Reaction$/);
  await page.locator(".bubble .reaction").first().waitFor();
  // A fault of the database, then one of the Graph API.
  await on.turn(page, "database-down", true);
  await say("The database is down. Do you still reply?");
  const late = on.row(page, "Do you still reply?");
  await on.stage(late, "database").getByText("deferred").waitFor();
  await on.turn(page, "database-down", false);
  await late.and(page.locator("[data-state=done]")).waitFor({ timeout: on.PATIENT });
  await on.turn(page, "graph-429", true);
  await on.write(page, "And with too many requests?");
  await on.row(page, "too many requests?").locator(".countdown").first().waitFor();
  await on.seen(page, "Do you still reply?").first().waitFor();
  await on.reconciled(page);

  const path = process.env.UPDATE_SCREENSHOT === "1" ? join(on.ROOT, "docs/page.png") : join(directory, "page.png");
  await page.screenshot({ path, animations: "disabled", caret: "hide" });
  const { size } = await stat(path);
  assert.ok(size < LARGEST, `${size} bytes`);
});
