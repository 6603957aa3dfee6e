// A phone is linked with a user, and unlinked.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as on from "./support.mjs";

let world;
before(async () => (world = await on.setUp()));
after(() => world?.tearDown());

const dialog = (page) => page.getByRole("dialog", { name: "Link this phone" });
const button = (within, name) => within.getByRole("button", { name, exact: true });
const isLinkedWith = (page, text) => page.locator(".owner").getByText(text).waitFor();
const questions = (page) => page.locator(".bubble[data-from=business]").filter({ has: page.locator(".choices") });

// Opens the dialog of the selected phone and creates a code.
async function createCode(page, user) {
  await button(page, "Link this phone").click();
  await dialog(page).getByRole("radio", { name: user }).check();
  await button(dialog(page), "Create a code").click();
}

// Sends a code from the selected phone, and waits for the question.
async function sendCode(page, user) {
  const before = await questions(page).count();
  await createCode(page, user);
  await button(dialog(page), "Send the message").click();
  await dialog(page).waitFor({ state: "detached" });
  await on.eventually(async () => assert.equal(await questions(page).count(), before + 1));
  return questions(page).last();
}

test("before the first message there is no number to link with", async (t) => {
  const page = await on.open(t, world, { refused: ["/page/phones/unlinked/link"] });
  await on.phone(page, "Alex").click();
  await createCode(page, "User A");
  await dialog(page).getByRole("alert").filter({ hasText: "Send a message to the business number from an unlinked phone first" }).waitFor();
  await button(dialog(page), "Cancel").click();
  await on.write(page, "Hello");
  await page.locator(".bubble[data-from=business]").first().waitFor();
});

test("the code is shown, the question is answered, and the history begins", async (t) => {
  const page = await on.open(t, world);
  await on.phone(page, "Alex").click();
  await isLinkedWith(page, "unlinked");
  await createCode(page, "User A");
  const code = await dialog(page).getByText(/^[A-Z]{2}\d[A-Z]{2}-[A-Z]{2}\d[A-Z]{2}$/).innerText();
  const image = dialog(page).getByRole("img", { name: "QR code of the link" });
  await on.eventually(async () => assert.ok(await image.evaluate(({ naturalWidth }) => naturalWidth > 0)));
  await dialog(page).getByText(`https://wa.me/15550783881?text=Link%20my%20account%3A%20${code}`).waitFor();
  await button(dialog(page), "Send the message").click();
  await on.sent(page, `Link my account: ${code}`).waitFor();

  const question = questions(page).last();
  await question.getByText("a•••@example.com").waitFor();
  await button(question, "Link").click();
  await isLinkedWith(page, "linked to user A");
  await on.write(page, "A secret of Alex");
  await on.received(page, "A secret of Alex").waitFor();
  await on.eventually(async () => assert.equal(await on.seen(page, "A secret of Alex").count(), 2));
  assert.equal(await on.seen(page, code).count(), 0);
  for (const text of [code, "Link"]) await on.stage(on.row(page, text).first(), "database").getByText("no rows").waitFor();
  await on.reconciled(page);

  // The user has one number.
  await on.phone(page, "User A").click();
  await isLinkedWith(page, "unlinked");
  await on.phone(page, "Alex").click();
  await button(page, "Unlink this phone").click();
  await isLinkedWith(page, /^unlinked$/);
  await on.seen(page, "A secret of Alex").first().waitFor();
});

test("a username without a number is linked, after “Not me”", async (t) => {
  const page = await on.open(t, world);
  await on.phone(page, "Robin").click();
  await button(await sendCode(page, "User B"), "Not me").click();
  await page.locator(".bubble[data-from=business]").filter({ hasText: "was not linked" }).waitFor();
  await isLinkedWith(page, /^unlinked; /);
  await button(await sendCode(page, "User B"), "Link").click();
  await isLinkedWith(page, /^linked to user B; /);
  await on.viewAs(page, "User B");
  await on.write(page, "A secret of Robin");
  await on.seen(page, "A secret of Robin").first().waitFor();
  await on.reconciled(page);
});

test("with the keyboard alone", async (t) => {
  const page = await on.open(t, world);
  const focused = (locator) =>
    on.eventually(async () => assert.ok(await locator.evaluate((element) => element === document.activeElement)));
  await on.phone(page, "User A").click();
  await button(page, "Link this phone").focus();
  await page.keyboard.press("Enter");
  await focused(dialog(page).getByRole("radio", { name: "User A" }));
  assert.deepEqual(await on.violations(page), []);
  await page.keyboard.press("Enter");
  await focused(button(dialog(page), "Send the message"));
  assert.deepEqual(await on.violations(page), []);
  await page.keyboard.press("Enter");
  await dialog(page).waitFor({ state: "detached" });
  await focused(button(page, "Link this phone"));
  const link = button(questions(page).last(), "Link");
  await link.focus();
  assert.deepEqual(await on.violations(page), []);
  await page.keyboard.press("Enter");
  await isLinkedWith(page, "linked to user A");
});
