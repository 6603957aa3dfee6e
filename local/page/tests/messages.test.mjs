// Messages of users, and their outcomes.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as on from "./support.mjs";

let world;
before(async () => (world = await on.setUp()));
after(() => world?.tearDown());

test("the reply to a text quotes it and is read", async (t) => {
  const page = await on.open(t, world);
  await on.write(page, "Is the green one in stock?");
  const reply = on.received(page, "Is the green one in stock?");
  await reply.waitFor();
  assert.equal(await reply.locator("blockquote").innerText(), "Is the green one in stock?");
  await on.ticks(on.sent(page, "Is the green one in stock?"), "sent").or(
    on.ticks(on.sent(page, "Is the green one in stock?"), "read"),
  ).waitFor();
  await on.ticks(reply, "read").waitFor();
  const row = on.row(page, "Is the green one in stock?");
  for (const stage of ["webhook", "queue", "reply", "graph", "database"]) {
    await on.eventually(async () => assert.equal(await on.stage(row, stage).getAttribute("data-is"), "good", stage));
  }
});

test("only the linked user sees a message in the history", async (t) => {
  const page = await on.open(t, world, { refused: ["/messages"] });
  await on.write(page, "A secret of user A");
  await on.eventually(async () => assert.equal(await on.seen(page, "A secret of user A").count(), 2));

  await on.viewAs(page, "User B");
  await on.history(page).locator(".code", { hasText: "200" }).waitFor();
  assert.equal(await on.seen(page, "A secret of user A").count(), 0);
  for (const viewer of ["No token", "Expired token"]) {
    await on.viewAs(page, viewer);
    await on.history(page).locator(".code", { hasText: "401" }).waitFor();
    await on.history(page).locator(".problem").waitFor();
    assert.equal(await on.seen(page, "A secret of user A").count(), 0);
  }
});

test("user B has a history of their own", async (t) => {
  const page = await on.open(t, world);
  await on.phone(page, "User B").click();
  await on.write(page, "Only for user B");
  await on.received(page, "Only for user B").waitFor();
  await on.viewAs(page, "User B");
  await on.seen(page, "Only for user B").first().waitFor();
});

test("the history is paginated", async (t) => {
  const page = await on.open(t, world);
  for (const text of ["The first page", "The second page", "The third page", "The fourth page"]) {
    await on.write(page, text);
    await on.received(page, text).waitFor();
  }
  await on.seen(page, "The fourth page").first().waitFor();
  await on.history(page).getByRole("button", { name: "Older" }).click();
  await on.seen(page, "The first page").first().waitFor();
  await on.eventually(async () => assert.equal(await on.seen(page, "The fourth page").count(), 0));
  await on.history(page).getByRole("button", { name: "Newest" }).click();
  await on.seen(page, "The fourth page").first().waitFor();
});

test("an unlinked sender gets a registration reply and no rows", async (t) => {
  const page = await on.open(t, world);
  await on.phone(page, "Alex").click();
  await on.write(page, "Am I registered?");
  await page.locator(".bubble[data-from=business]").first().waitFor();
  assert.equal(await on.received(page, "Am I registered?").count(), 0);
  await on.stage(on.row(page, "Am I registered?"), "database").getByText("no rows").waitFor();
});

test("a reaction and an image are shown", async (t) => {
  const page = await on.open(t, world);
  await on.write(page, "Do you like it?");
  await on.received(page, "Do you like it?").waitFor();
  await on.sendSample(page, /^Reaction$/);
  await page.locator(".bubble .reaction").first().waitFor();
  await on.sendSample(page, /image/i);
  await page.locator(".bubble[data-from=user][data-type=image]").waitFor();
});

test("a phone can be added, and an invalid one is refused", async (t) => {
  const page = await on.open(t, world, { refused: ["/page/phones"] });
  await page.getByRole("button", { name: "Add a phone" }).click();
  const dialog = page.getByRole("dialog", { name: "Add a phone" });
  await dialog.getByLabel("Name", { exact: true }).fill("Ada");
  await dialog.getByRole("button", { name: "Add" }).click();
  await dialog.getByRole("alert").filter({ hasText: /./ }).waitFor();
  await dialog.getByLabel("Number").fill("+49 1512 3456788");
  await dialog.getByRole("button", { name: "Add" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.equal(await on.phone(page, "Ada").getAttribute("aria-selected"), "true");
  await on.write(page, "Hello from Ada");
  await page.locator(".bubble[data-from=business]").first().waitFor();
});

test("the counters reconcile after a burst", async (t) => {
  // On a busy machine the database may be too slow for the history, which is requested repeatedly.
  const page = await on.open(t, world, { refused: ["/messages"] });
  await on.reconciled(page);
  const start = await on.counters(page);
  await page.getByRole("button", { name: /^Burst/ }).click();
  await on.eventually(async () => {
    const { accepted, answered, recorded, waiting, dead, difference } = await on.counters(page);
    assert.equal(accepted, start.accepted + 20);
    assert.equal(answered, start.answered + 20);
    assert.equal(recorded, start.recorded + 20);
    assert.deepEqual([waiting, dead, difference], [0, 0, 0]);
  }, on.PATIENT);
  await on.reconciled(page);
});

test("the details show Graph API requests and logs", async (t) => {
  const page = await on.open(t, world);
  await on.write(page, "Show the details");
  const reply = on.received(page, "Show the details");
  await on.ticks(reply, "read").waitFor();
  await reply.getByRole("button", { name: "Show in the pipeline" }).click();
  const details = page.getByRole("article");
  await details.getByText("signature").waitFor();
  await details.locator("pre").filter({ hasText: '"messaging_product"' }).filter({ hasText: "Show the details" }).waitFor();
  await details.locator("[data-part=Statuses]").getByText("read", { exact: true }).waitFor();
  await details.locator("[data-part=Logs] li").filter({ hasText: "reply" }).first().waitFor();
  await page.keyboard.press("Escape");
  await details.waitFor({ state: "detached" });
});
