// A browser that must log in.
"use strict";

const { assert, base, run } = require("./browser.js");

run({
  "who has no password sees nothing": {
    expects: ["401"],
    async go(page) {
      await assert.rejects(page.goto(base), /ERR_INVALID_AUTH_CREDENTIALS/);
    },
  },
  "a wrong one neither": {
    options: { httpCredentials: { username: "ops", password: "wrong" } },
    expects: ["401"],
    async go(page) {
      assert.equal((await page.goto(base)).status(), 401);
    },
  },
  "with the right one all of it is there, live too": {
    options: { httpCredentials: { username: "ops", password: "pass" } },
    async go(page) {
      await page.goto(base);
      await page.waitForSelector("#live[data-state=live]");
      await page.waitForSelector("#card-clients .value");
      await page.getByText("Nothing looks wrong.").waitFor();
      await page.getByRole("link", { name: "Pools", exact: true }).click();
      await page.getByText("No client has come yet").waitFor();
    },
  },
});
