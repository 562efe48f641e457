// Somebody waits for a server connection: the page says so first, and no more when it is over. Then Howdah goes.
// tests/e2e/page.rs lets the connection go when "waits.." was written, and ends Howdah after "over....".
"use strict";

const { assert, open, run } = require("./browser.js");

run({
  "what is wrong comes first": {
    expects: ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"],
    async go(page) {
      await open(page, "overview");
      const finding = page.locator('.finding[data-gravity="bad"]').first();
      await finding.waitFor();
      assert.match(await finding.innerText(), /1 client waits for a server connection of app\/app, all 1 are in use; the longest for [0-9.]+ s/);
      assert.equal(await page.locator("#card-waiting .value").innerText(), "1");
      assert.equal(await page.getAttribute("#card-waiting", "data-state"), "bad");
      await finding.getByRole("link").click();
      await page.waitForURL(/pools/);
      await page.locator('td[data-label="Waiting"][data-state="bad"]').waitFor();
      await page.goto("about:blank");
      await open(page, "overview");
      process.stdout.write("waits..\n");
      await page.getByText("Nothing looks wrong.").waitFor();
      await page.locator("#card-waiting").getByText("nobody waits").waitFor();
      process.stdout.write("over...\n");
      await page.locator('#live[data-state="lost"]').waitFor();
      assert.equal(await page.locator("#live").innerText(), "No connection");
    },
  },
});
