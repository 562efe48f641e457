// The page in a real Chromium, while statements run. tests/e2e/page.rs says what runs.
"use strict";

const axe = require.resolve("axe-core/axe.min.js");
const { assert, base, column, open, run } = require("./browser.js");

const number = (text) => Number(text.replace(/[^0-9.]/g, ""));
const until = (page, what, argument) => page.waitForFunction(what, argument, { polling: 100 });

/** What axe finds wrong, in words. */
async function judge(page) {
  // The script is read by the browser's own console, which no policy of the page's holds for.
  await page.evaluate(require("node:fs").readFileSync(axe, "utf8"));
  const { violations } = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(" ")).join("; ")}`);
}

const PARTS = ["overview", "statements", "tenants", "pools", "clients", "n_plus_one", "slow", "errors"];

run({
  "the overview shows what is so": {
    async go(page) {
      await open(page, "overview");
      await until(page, () => document.querySelector("#card-transactions .value").textContent !== "0");
      assert.equal(await page.locator("#card-clients .of").innerText(), "of 1,000");
      assert.ok(number(await page.locator("#card-clients .value").innerText()) >= 3);
      assert.match(await page.locator("#card-latency .value").innerText(), /^[0-9.]+ (µs|ms|s)$/);
      await page.waitForSelector("#card-transactions canvas");
      await until(page, () => /now [1-9]/.test(document.querySelector("#card-transactions .plot").ariaLabel));
      await until(page, () => document.querySelectorAll(".few-statements tbody tr").length >= 3);
      assert.match(await page.locator(".few-tenants").innerText(), /acme/);
      assert.match(await page.locator(".few-pools").innerText(), /app/);
      assert.match(await page.locator("#version").innerText(), /^Howdah \d+\.\d+/);
      assert.equal(await page.locator("#findings .finding").count() > 0, true);
    },
  },
  "it is live, and can be paused": {
    async go(page) {
      await open(page, "statements");
      const calls = () => [...document.querySelectorAll('tbody [data-label="Calls"]')].map((cell) => Number(cell.textContent.replace(/\D/g, ""))).reduce((a, b) => a + b, 0);
      await page.waitForSelector("tbody tr");
      const before = await page.evaluate(calls);
      for (let n = 0; n < 250 && (await page.evaluate(calls)) <= before; n++) await page.waitForTimeout(100);
      assert.ok((await page.evaluate(calls)) > before);
      await page.click("#pause");
      await page.waitForSelector("#live[data-state=paused]");
      assert.equal(await page.getAttribute("#pause", "aria-pressed"), "true");
      const paused = await page.evaluate(calls);
      await page.waitForTimeout(5000);
      assert.equal(await page.evaluate(calls), paused);
      await page.click("#pause");
      await page.waitForSelector("#live[data-state=live]");
    },
  },
  "statements are sorted and filtered, and the address tells": {
    async go(page) {
      await open(page, "statements");
      await page.waitForSelector("tbody tr");
      const sorted = async (label, numbers) => {
        const cells = (await page.locator('tr:not(.other) [data-label="' + label + '"]').allInnerTexts()).map(numbers);
        return cells;
      };
      await page.getByRole("button", { name: "Calls", exact: true }).click();
      await page.waitForSelector('th[aria-sort="descending"]:has-text("Calls")');
      await page.click("#pause");
      await page.waitForTimeout(300);
      let calls = await sorted("Calls", number);
      assert.deepEqual(calls, [...calls].sort((a, b) => b - a));
      await page.getByRole("button", { name: "Calls", exact: true }).click();
      await page.waitForSelector('th[aria-sort="ascending"]:has-text("Calls")');
      await page.waitForTimeout(300);
      calls = await sorted("Calls", number);
      assert.deepEqual(calls, [...calls].sort((a, b) => a - b));
      assert.match(page.url(), /sort=calls&order=asc/);
      // By the keyboard alone.
      await page.keyboard.press("/");
      await page.keyboard.type("FROM orders");
      await until(page, () => [...document.querySelectorAll("tbody tr")].every((row) => /from orders/i.test(row.textContent)));
      assert.ok((await column(page, "Statement")).length >= 1);
      assert.match(page.url(), /filter=FROM\+orders/);
      await page.keyboard.press("Control+a");
      await page.keyboard.type("there is no such thing");
      await page.getByText("Nothing fits the filter.").waitFor();
      await page.keyboard.press("Escape");
      await page.waitForSelector("tbody tr");
      // An address can be passed on.
      await page.goto("about:blank");
      await open(page, "statements?filter=pg_sleep&sort=mean");
      await page.waitForSelector('th[aria-sort="descending"]:has-text("Mean")');
      await until(page, () => [...document.querySelectorAll("tbody tr")].map((row) => /pg_sleep/.test(row.textContent)).join() === "true,true");
      assert.equal(await page.inputValue("#filter"), "pg_sleep");
    },
  },
  "a tenant's part of the statements": {
    async go(page) {
      await open(page, "tenants");
      await page.waitForSelector("tbody tr");
      assert.deepEqual((await column(page, "Tenant")).filter((name) => name !== "no tenant").sort(), ["acme", "globex"]);
      assert.match((await page.locator("tr", { hasText: "acme" }).locator('[data-label="Servers"]').innerText()), /^\d of 3$/);
      await page.getByRole("link", { name: "globex" }).click();
      await page.waitForURL(/tenant=globex/);
      await page.waitForSelector("tbody tr");
      const texts = await column(page, "Statement");
      assert.ok(texts.some((text) => text.includes("from orders")), texts.join("\n"));
      assert.ok(!texts.some((text) => text.includes("pg_sleep")), "only acme sleeps");
      assert.equal(await page.locator("label:has-text('Tenant') select").inputValue(), "globex");
    },
  },
  "a statement has a part of its own": {
    async go(page) {
      await open(page, "statements?filter=FROM%20orders");
      await page.waitForSelector("tbody tr a");
      await page.locator("tbody tr a").first().click();
      await page.waitForSelector(".detail:not([hidden])");
      assert.match(await page.locator(".query").innerText(), /from orders/);
      assert.match(await page.locator(".phases").innerText(), /for a server connection/);
      assert.ok((await page.locator(".column").count()) >= 1);
      const box = (title) => page.locator(".box", { hasText: title });
      assert.match(await box("Who calls it").innerText(), /\/orders/);
      await until(page, () => /acme/.test(document.body.innerText) && /globex/.test(document.body.innerText));
      assert.match(await page.title(), /^Statement – Howdah$/);
      await page.goBack();
      await page.waitForSelector("#filter");
    },
  },
  "N+1, slow log, errors, pools and clients": {
    async go(page) {
      await open(page, "n_plus_one");
      await page.waitForSelector("tbody tr");
      assert.match(await page.locator("tbody").innerText(), /from items/);
      assert.match(await page.locator("tbody").innerText(), /\/orders/);
      await open(page, "slow");
      await page.waitForSelector("tbody tr .stack");
      assert.match(await page.locator("tbody").innerText(), /pg_sleep/);
      await open(page, "errors");
      await page.waitForSelector("tbody tr");
      assert.match(await page.locator("tbody").innerText(), /22012/);
      await open(page, "pools");
      await page.waitForSelector("tbody tr");
      assert.match(await page.locator("tbody").innerText(), /transaction/);
      await open(page, "clients");
      await page.waitForSelector("tbody tr");
      assert.match(await page.locator("tbody").innerText(), /acme[\s\S]*127\.0\.0\.1/);
    },
  },
  "text that looks like HTML is text": {
    async go(page) {
      await open(page, "statements?filter=%3Cscript%3E");
      await page.waitForSelector("tbody tr");
      assert.match((await column(page, "Statement")).join("\n"), /"<script>document\.title='owned'<\/script><img src=x onerror=alert\(1\)>"/);
      await page.locator("tbody tr a").first().click();
      await page.waitForSelector(".detail:not([hidden])");
      assert.match(await page.locator(".query").innerText(), /<img src=x onerror=alert\(1\)>/);
      await until(page, () => /<b>bold<\/b>/.test(document.body.innerText));
      await open(page, "clients");
      await until(page, () => /<b>bold<\/b>/.test(document.body.innerText));
      // Nor what an address says.
      await open(page, "statements?filter=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&tenant=%3Cb%3Ex%3C%2Fb%3E&database=%22%3E%3Cscript%3E");
      await page.waitForSelector(".empty:not([hidden])");
      assert.equal(await page.locator("main img, main script, main b").count(), 0);
      assert.doesNotMatch(await page.title(), /owned/);
    },
  },
  "an address that leads nowhere": {
    expects: ["404"],
    async go(page) {
      await open(page, "nothing?x=%zz");
      await page.waitForSelector("#card-clients");
      await open(page, "__proto__");
      await page.waitForSelector("#card-clients");
      await open(page, "statement?database=app&fingerprint=0000000000000000");
      await page.getByText("This statement is not known").waitFor();
    },
  },
  "axe has nothing to say": {
    async go(page) {
      for (const part of PARTS) {
        await open(page, part);
        await page.waitForSelector(part === "overview" ? ".few-statements tbody tr" : "tbody tr");
        assert.deepEqual(await judge(page), [], part);
      }
      await open(page, "statements?filter=FROM%20orders");
      await page.locator("tbody tr a").first().click();
      await page.waitForSelector(".detail:not([hidden])");
      assert.deepEqual(await judge(page), [], "statement");
    },
  },
  "in the dark": {
    options: { colorScheme: "dark" },
    async go(page) {
      await open(page, "overview");
      await page.waitForSelector("#card-transactions canvas");
      const light = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
      assert.ok(Math.max(...light) < 60, `the page is dark: ${light}`);
      assert.deepEqual(await judge(page), []);
      await page.emulateMedia({ colorScheme: "light" });
      await page.waitForSelector("#card-transactions canvas");
      await open(page, "statements");
      await page.waitForSelector("tbody tr");
      await page.emulateMedia({ colorScheme: "dark" });
      assert.deepEqual(await judge(page), []);
    },
  },
  "on a phone": {
    options: { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true },
    async go(page) {
      for (const part of PARTS) {
        await open(page, part);
        await page.waitForSelector(part === "overview" ? ".few-statements tbody tr" : "tbody tr");
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${part} is ${over} pixels too wide`);
      }
      await open(page, "statements");
      await page.waitForSelector("tbody tr");
      await page.getByLabel("Sort by").selectOption("p99");
      await page.waitForURL(/sort=p99/);
      await page.locator("tbody tr a").first().tap();
      await page.waitForSelector(".detail:not([hidden])");
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `a statement is ${over} pixels too wide`);
      assert.deepEqual(await judge(page), []);
    },
  },
  "by the keyboard alone": {
    async go(page) {
      await open(page, "overview");
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
      await page.keyboard.press("Enter");
      assert.equal(await page.evaluate(() => document.activeElement.id), "main");
      assert.doesNotMatch(page.url(), /#main/);
      await page.getByRole("link", { name: "Statements", exact: true }).focus();
      await page.keyboard.press("Enter");
      await page.waitForSelector("tbody tr");
      assert.equal(await page.evaluate(() => document.activeElement.textContent), "Statements");
      assert.equal(await page.getAttribute('nav a[aria-current="page"]', "href"), "#/statements");
      // A row keeps the focus while the table is live.
      await page.locator("tbody tr a").first().focus();
      const text = await page.evaluate(() => document.activeElement.textContent);
      await page.waitForTimeout(9000);
      assert.equal(await page.evaluate(() => document.activeElement.textContent), text);
    },
  },
});
