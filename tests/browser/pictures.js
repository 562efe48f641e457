// Pictures for the documentation.
"use strict";

const path = require("node:path");
const { open, run } = require("./browser.js");

const folder = process.env.HOWDAH_SCREENSHOTS;
const wide = { viewport: { width: 1280, height: 800 } };
const phone = { viewport: { width: 390, height: 800 }, isMobile: true, hasTouch: true };
const picture = (name, options, part, more = async () => {}) => ({
  options,
  async go(page) {
    await open(page, part);
    await page.waitForSelector("tbody tr");
    await more(page);
    await page.waitForTimeout(1500);
    await page.screenshot({ path: path.join(folder, `${name}.png`) });
  },
});

run({
  overview: picture("page-overview", wide, "overview"),
  dark: picture("page-overview-dark", { ...wide, colorScheme: "dark" }, "overview"),
  statements: picture("page-statements", wide, "statements"),
  statement: picture("page-statement", wide, "statements?filter=FROM%20purchases%20o", async (page) => {
    await page.locator("tbody tr a").first().click();
    await page.waitForSelector(".detail:not([hidden])");
  }),
  phone: picture("page-phone", phone, "overview"),
});
