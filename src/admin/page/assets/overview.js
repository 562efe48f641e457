// What whoever is on call sees first.

import { address, h, read } from "./dom.js";
import { Card } from "./charts.js";
import { NOTHING, count, percent, rate, time } from "./format.js";
import { Table } from "./table.js";
import { TABLES } from "./tables.js";

const HOUR = 3600;

const CARDS = [
  { id: "clients", title: "Clients", lines: [{ key: "clients", label: "clients", color: "--blue", fill: "--blue-fill" }], shown: count },
  { id: "waiting", title: "Waiting for a server", lines: [{ key: "waiting", label: "waiting", color: "--red", fill: "--red-fill" }], shown: count },
  {
    id: "servers",
    title: "Server connections",
    lines: [
      { key: "size", label: "may be", color: "--faint" },
      { key: "busy", label: "in use", color: "--blue", fill: "--blue-fill" },
    ],
    shown: count,
  },
  { id: "transactions", title: "Transactions/s", lines: [{ key: "transactions", label: "transactions", color: "--blue", fill: "--blue-fill" }], shown: rate },
  {
    id: "latency",
    title: "Statement time",
    lines: [
      { key: "p99", label: "p99", color: "--violet" },
      { key: "p50", label: "p50", color: "--blue" },
    ],
    shown: time,
    decades: true,
  },
  { id: "statements", title: "Statements/s", lines: [{ key: "statements", label: "statements", color: "--blue", fill: "--blue-fill" }], shown: rate },
  { id: "errors", title: "Errors/s", lines: [{ key: "errors", label: "errors", color: "--red", fill: "--red-fill" }], shown: rate },
  { id: "hits", title: "Cache hits", lines: [{ key: "hits", label: "hits", color: "--green", fill: "--green-fill" }], shown: percent, top: 1 },
];

/** Tables of few rows, each of which leads to all of them. */
const FEW = [
  ["statements", "Where the time goes", ["text", "recent", "calls", "mean", "p99", "errors"], { sort: "recent", limit: 8 }],
  ["tenants", "Tenants by load", ["tenant", "recent", "waiting", "p99", "errors"], { sort: "recent", limit: 6 }],
  ["pools", "Pools", ["database", "user", "used", "waiting", "oldest", "down"], { sort: "used", limit: 6 }],
];

export class Overview {
  constructor() {
    this.cards = Object.fromEntries(CARDS.map((card) => [card.id, new Card(card)]));
    this.few = FEW.map(([name, title, wanted, values]) => {
      const { columns, key } = TABLES[name];
      const some = wanted.map((one) => columns.find((column) => column.key === one));
      const table = new Table({ name: title, columns: some, key });
      const all = h("a", { href: address(name) }, `All ${TABLES[name].title.toLowerCase()}`);
      const element = h("section", { class: `few few-${name}` }, h("div", { class: "few-head" }, h("h2", {}, title), all), table.element);
      return { name, values, table, element };
    });
    this.element = h(
      "div",
      { class: "part" },
      h("h1", { class: "hidden", tabindex: "-1" }, "Overview"),
      h("div", { class: "cards" }, Object.values(this.cards).map((card) => card.element)),
      h("div", { class: "fews" }, this.few.map((few) => few.element)),
    );
    this.history = null;
    this.onResize = () => this.resize();
    window.addEventListener("resize", this.onResize);
  }

  /** All of it, with the hour. */
  begin(overview) {
    this.history = overview.history;
    this.draw();
    this.now(overview);
  }

  now(event) {
    const { now, max_clients: most, cache } = event;
    const waits = now.waiting > 0;
    const used = now.size ? now.busy / now.size : 0;
    const failing = now.statements > 0 ? now.errors / now.statements : 0;
    const { cards } = this;
    cards.clients.say(count(now.clients), most ? `of ${count(most)}` : "", "connected", most && now.clients >= most * 0.9 ? "warning" : "");
    const grave = now.oldest >= 1000 ? "bad" : "warning";
    cards.waiting.say(count(now.waiting), "", waits ? `the longest for ${time(now.oldest)}` : "nobody waits", waits && now.oldest >= 100 ? grave : "");
    cards.servers.say(count(now.busy), `of ${count(now.size)}`, now.size ? `${percent(used)} in use` : "no pool yet", used >= 1 && now.oldest >= 100 ? "warning" : "");
    cards.transactions.say(rate(now.transactions), "", "over the last 5 seconds");
    cards.latency.say(time(now.p99), "p99", `${time(now.p50)} p50`);
    cards.statements.say(rate(now.statements), "", "over the last 5 seconds");
    cards.errors.say(rate(now.errors), "", now.statements > 0 ? `${percent(failing)} of statements` : "no statements now", now.errors >= 1 && failing >= 0.05 ? "bad" : now.errors >= 1 && failing >= 0.01 ? "warning" : "");
    cards.hits.say(now.hits === null ? NOTHING : percent(now.hits), "", cache ? "of marked reads" : "there is no [cache]");
    this.add(now);
  }

  /** A point more for the charts, every few seconds. */
  add(now) {
    const { history } = this;
    if (!history) return;
    const last = history.at.at(-1);
    if (last !== undefined && now.at < last + history.step) return;
    for (const [key, values] of Object.entries(history)) {
      if (!Array.isArray(values)) continue;
      values.push(now[key]);
      if (values.length > HOUR / history.step) values.shift();
    }
    this.draw();
  }

  draw() {
    for (const card of Object.values(this.cards)) card.draw(this.history);
  }

  resize() {
    for (const card of Object.values(this.cards)) card.resize();
  }

  recolor() {
    for (const card of Object.values(this.cards)) card.forget();
    if (this.history) this.draw();
  }

  async refresh() {
    for (const { name, values, table } of this.few) {
      try {
        const answer = await read(name, values);
        table.show(answer.rows);
      } catch {
        // The sign in the head says that there is no connection.
        return;
      }
    }
  }

  end() {
    window.removeEventListener("resize", this.onResize);
    for (const card of Object.values(this.cards)) card.forget();
  }
}
