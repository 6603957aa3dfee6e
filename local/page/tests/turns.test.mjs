// Messages of one sender that are answered together.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as on from "./support.mjs";

let world;
before(async () => (world = await on.setUp({ replyWindow: 3000 })));
after(() => world?.tearDown());

test("messages of a burst are held and get one reply", { skip: Boolean(process.env.PAGE_URL) }, async (t) => {
  const page = await on.open(t, world);
  const texts = ["Do you have the green one?", "In size 42?", "And by Friday?"];
  for (const text of texts) await on.write(page, text);
  await on.stage(on.row(page, texts[0]), "reply").getByText("held").waitFor();
  await on.stage(on.row(page, texts[0]), "queue").getByText(/held for \d s/).waitFor();
  await on.received(page, texts.join(" ")).waitFor();
  for (const text of texts) {
    const row = on.row(page, text);
    await on.stage(row, "reply").getByText("answered with 2 others").waitFor();
    await on.eventually(async () => assert.equal(await row.getAttribute("data-state"), "done"));
  }
  await on.reconciled(page);
  assert.equal(await on.received(page, texts.join(" ")).count(), 1);
  for (const text of texts) assert.equal(await on.received(page, text).count(), 0);
});
