// Fault injection, and the guarantees that hold anyway.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as on from "./support.mjs";

let world;
before(async () => (world = await on.setUp()));
after(() => world?.tearDown());

test("while the database is down, replies are sent and rows wait", async (t) => {
  const page = await on.open(t, world, { refused: ["/messages"] });
  await on.turn(page, "database-down", true);
  await on.write(page, "Recorded later");
  await on.received(page, "Recorded later").waitFor();
  const row = on.row(page, "Recorded later");
  await on.eventually(async () => assert.equal(await row.getAttribute("data-state"), "waiting"));
  await on.stage(row, "database").getByText("deferred").waitFor();
  await page.locator("[data-counter=difference][data-verdict=unknown]").waitFor();

  await on.turn(page, "database-down", false);
  await on.eventually(
    async () => assert.equal(await on.seen(page, "Recorded later").count(), 2),
    on.PATIENT,
  );
  await on.eventually(async () => assert.equal(await row.getAttribute("data-state"), "done"));
  await on.reconciled(page);
});

test("a duplicate delivery gets one reply", async (t) => {
  const page = await on.open(t, world);
  await on.turn(page, "duplicate-delivery", true);
  await on.write(page, "Once or twice?");
  const row = on.row(page, "Once or twice?");
  // Both deliveries were accepted, and the message is done.
  await on.stage(row, "webhook").getByText("×2").waitFor();
  await on.eventually(async () => assert.equal(await row.getAttribute("data-state"), "done"));
  await on.ticks(on.received(page, "Once or twice?"), "read").waitFor();
  await on.reconciled(page);
  assert.equal(await on.received(page, "Once or twice?").count(), 1);
  await on.turn(page, "duplicate-delivery", false);
});

test("a dead-lettered message gets a reply after a redrive", async (t) => {
  const page = await on.open(t, world);
  await on.reconciled(page);
  const { dead } = await on.counters(page);
  await page.getByRole("button", { name: "Create a dead letter" }).click();
  await on.eventually(async () => assert.equal((await on.counters(page)).dead, dead + 1), on.PATIENT);
  const row = page.locator(".row[data-state=dead]");
  await row.waitFor();
  const wamid = await row.getAttribute("data-wamid");
  await on.reconciled(page);

  await page.getByRole("button", { name: /^Redrive/ }).click();
  await page.getByText(/dead letters? redriven/).waitFor();
  await page.locator(`.row[data-wamid="${wamid}"][data-state=done]`).waitFor({ timeout: on.PATIENT });
  assert.equal((await on.counters(page)).dead, dead);
  await on.reconciled(page);
});

test("Meta retries while SQS is unavailable", async (t) => {
  const page = await on.open(t, world);
  await on.turn(page, "sqs-unavailable", true);
  await on.write(page, "Knock, knock");
  await page.getByText(/^The webhook returned 500/).waitFor();
  await on.turn(page, "sqs-unavailable", false);
  await on.received(page, "Knock, knock").waitFor({ timeout: on.PATIENT });
  await on.eventually(async () => assert.equal(await on.row(page, "Knock, knock").getAttribute("data-state"), "done"));
});

test("after too many requests a message is retried", async (t) => {
  const page = await on.open(t, world);
  await on.turn(page, "graph-429", true);
  await on.write(page, "Are you busy?");
  const row = on.row(page, "Are you busy?");
  await row.locator(".countdown").first().waitFor();
  await on.turn(page, "graph-429", false);
  await on.received(page, "Are you busy?").waitFor({ timeout: on.PATIENT });
});
