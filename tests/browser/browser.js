// A real Chromium for the tests of the page. What it writes to its console, and every request that leaves this
// machine, fails the test.
"use strict";

const assert = require("node:assert/strict");
const { chromium } = require("playwright-core");

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const base = process.env.HOWDAH_PAGE;

/** Runs each of the tests in a browser of its own profile; the names say what failed. */
async function run(tests) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  try {
    for (const [name, test] of Object.entries(tests)) {
      const started = Date.now();
      const { options = {}, go } = test;
      const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
      const page = await context.newPage();
      const said = [];
      page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
      page.on("pageerror", (error) => said.push(`thrown: ${error.stack}`));
      page.on("dialog", (dialog) => { said.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
      page.on("request", (request) => {
        if (!request.url().startsWith(base)) said.push(`left this machine: ${request.url()}`);
      });
      page.setDefaultTimeout(25_000);
      try {
        await go(page, context);
        assert.deepEqual(said.filter((line) => !(test.expects ?? []).some((text) => line.includes(text))), []);
      } catch (error) {
        console.error(`FAILED ${name}\n${error.stack}\nthe browser said: ${said.join("\n")}`);
        if (process.env.HOWDAH_PAGE_SHOTS) await page.screenshot({ path: `${process.env.HOWDAH_PAGE_SHOTS}/failed.png` });
        process.exitCode = 1;
        return;
      }
      await context.close();
      console.log(`ok ${name} (${Date.now() - started} ms)`);
    }
  } finally {
    await browser.close();
  }
}

/** Opens a part of the page and waits until it shows something. */
async function open(page, part) {
  await page.goto(`${base}/#/${part}`);
  await page.waitForSelector("#live[data-state=live]");
}

/** Cells of a column of the table, by its label, as text. */
async function column(page, label) {
  return page.locator(`.part > .table tbody [data-label="${label}"]`).allInnerTexts();
}

module.exports = { assert, base, column, open, run };
