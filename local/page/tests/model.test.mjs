// A language model answers: its conversation, its faults, and its switch.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as on from "./support.mjs";

let world;
before(async () => (world = await on.setUp({ responder: "llm" })));
after(() => world?.tearDown());

const skip = Boolean(process.env.PAGE_URL);
const responder = (page) => page.getByRole("combobox", { name: "Answered by" });

test("a conversation with the model shows its tokens", { skip }, async (t) => {
  const page = await on.open(t, world);
  // After the sample that `local` has sent, and its answer.
  await on.write(page, "Do you have the green one?");
  await on.received(page, "You said “Do you have the green one?” after 2 messages.").waitFor();
  await on.write(page, "In size 42?");
  const reply = on.received(page, "You said “In size 42?” after 4 messages.");
  await reply.waitFor();
  await on.stage(on.row(page, "In size 42?"), "reply").getByText(/answered · \d+ tokens · /).waitFor();
  await reply.getByRole("button", { name: "Show in the pipeline" }).click();
  const part = page.getByRole("article").locator("[data-part=Reply]");
  for (const fact of ["fake-model", "input tokens", "model's time", "stop"]) await part.getByText(fact, { exact: true }).waitFor();
  assert.deepEqual(await on.violations(page), []);
});

test("after a refusal the fallback text is sent", { skip }, async (t) => {
  const page = await on.open(t, world);
  await on.phone(page, "User B").click();
  await on.turn(page, "model-refusal", true);
  await on.write(page, "Do you refuse?");
  const row = on.row(page, "Do you refuse?");
  await on.eventually(async () => assert.equal(await row.getAttribute("data-state"), "done"));
  await page.locator(".bubble[data-from=business]").first().waitFor();
  assert.equal(await page.locator(".bubble[data-from=business]").filter({ hasText: "You said" }).count(), 0);
  await on.turn(page, "model-refusal", false);
  await on.reconciled(page);
});

test("the page selects what answers", { skip }, async (t) => {
  const page = await on.open(t, world);
  assert.equal(await responder(page).inputValue(), "llm");
  await responder(page).selectOption("silent");
  await on.write(page, "Is somebody there?");
  const silent = on.row(page, "Is somebody there?");
  await on.stage(silent, "reply").getByText("recorded").waitFor();
  await on.eventually(async () => assert.equal(await silent.getAttribute("data-state"), "done"));
  await responder(page).selectOption("echo");
  await on.write(page, "Hello, echo");
  await on.received(page, "Hello, echo").waitFor();
  await on.reconciled(page);
  assert.equal(await on.row(page, "Hello, echo").locator("[data-stage=reply]").getByText("token").count(), 0);
});
