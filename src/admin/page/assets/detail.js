// One statement: its text, where its time goes, and who calls it.

import { address, h, read, say } from "./dom.js";
import { NOTHING, ago, bytes, count, percent, time } from "./format.js";
import { Table, bar, link } from "./table.js";
import { PHASES, stack } from "./tables.js";

const KEYWORDS = new Set(
  ("all and any array as asc between by case cast coalesce create cross cte default delete desc distinct do else end " +
    "except exists false fetch for from full group having ilike in inner insert intersect into is join key lateral " +
    "left like limit lock natural not nothing null offset on only or order outer over partition recursive " +
    "returning right rows select set skip locked some table then true union unique update using values when where " +
    "window with").split(" "),
);

const FACTS = [
  ["share", "of all time", percent],
  ["calls", "calls", count],
  ["mean", "mean", time],
  ["p50", "p50", time],
  ["p95", "p95", time],
  ["p99", "p99", time],
  ["p999", "p99.9", time],
  ["max", "max", time],
  ["rows", "rows", count],
  ["bytes", "bytes", bytes],
  ["errors", "errors", count],
  ["cached", "from memory", count],
  ["n_plus_one", "N+1 runs", count],
];

const sums = [
  { key: "share", label: "Share", number: true, show: (cell, row) => bar(cell, row.share, percent(row.share)) },
  { key: "calls", label: "Calls", number: true, text: (row) => count(row.calls) },
  { key: "mean", label: "Mean", number: true, text: (row) => time(row.mean) },
  { key: "max", label: "Max", number: true, text: (row) => time(row.max) },
  { key: "rows", label: "Rows", number: true, text: (row) => count(row.rows) },
  { key: "errors", label: "Errors", number: true, text: (row) => count(row.errors), state: (row) => (row.errors ? "bad" : "") },
];

export class Detail {
  constructor(values) {
    this.values = values;
    this.meta = h("p", { class: "about" });
    this.text = h("pre", { class: "query", tabindex: "0", "aria-label": "Text without its constants" });
    this.facts = h("dl", { class: "facts" });
    this.figures = new Map(FACTS.map(([key, label]) => {
      const value = h("dd", {});
      this.facts.append(h("div", {}, h("dt", {}, label), value));
      return [key, value];
    }));
    this.phases = h("div", { class: "phases" });
    this.histogram = h("div", { class: "histogram" });
    this.callers = new Table({
      name: "Who calls it",
      key: (row) => [row.user, row.application, row.route, row.controller, row.action, row.other].join("\n"),
      columns: [
        { key: "user", label: "User", first: true, text: (row) => row.user },
        { key: "application", label: "Application", text: (row) => row.application || NOTHING },
        { key: "route", label: "Route", text: (row) => row.route ?? ([row.controller, row.action].filter(Boolean).join("#") || NOTHING) },
        ...sums,
      ],
      empty: "Nobody yet.",
    });
    this.tenants = new Table({
      name: "Tenants",
      key: (row) => `${row.tenant}\n${row.other}`,
      columns: [
        {
          key: "tenant",
          label: "Tenant",
          first: true,
          show: (cell, row) => {
            if (row.tenant && !row.other) link(cell, address("statements", { tenant: row.tenant, database: values.database }), row.tenant, "name");
            else say(cell, row.tenant ?? "no tenant");
          },
        },
        ...sums,
      ],
      empty: "None yet.",
    });
    this.failed = h("p", { class: "failed", role: "alert", hidden: true });
    const section = (title, ...content) => h("section", { class: "box" }, h("h2", {}, title), ...content);
    this.content = h(
      "div",
      { class: "detail", hidden: true },
      this.facts,
      this.text,
      h("div", { class: "boxes" }, section("Where its time goes", this.phases), section("How long it took", this.histogram)),
      section("Who calls it", this.callers.element),
      section("Tenants", this.tenants.element),
    );
    this.element = h(
      "div",
      { class: "part" },
      h("div", { class: "heading" }, h("a", { href: address("statements"), class: "back" }, "← Statements"), h("h1", { tabindex: "-1" }, "Statement"), this.meta),
      this.failed,
      this.content,
    );
  }

  async refresh() {
    try {
      const detail = await read("statement", this.values);
      if (detail === null) {
        this.complain("This statement is not known, or not any more: those that cost least make room for others.");
        return;
      }
      this.show(detail);
    } catch (error) {
      this.complain(`This could not be read: ${error.message}. It is tried again.`);
    }
  }

  complain(text) {
    say(this.failed, text);
    this.failed.hidden = false;
  }

  show(detail) {
    this.failed.hidden = true;
    this.content.hidden = false;
    say(this.meta, `${detail.database} · fingerprint ${detail.fingerprint} · first ${ago(detail.first_seen)}, last ${ago(detail.seen)}`);
    if (this.text.textContent !== detail.text) this.text.replaceChildren(...colored(detail.text));
    for (const [key, , shown] of FACTS) {
      const value = this.figures.get(key);
      say(value, shown(detail[key]));
      value.dataset.state = key === "errors" && detail.errors > 0 ? "bad" : key === "n_plus_one" && detail.n_plus_one > 0 ? "warning" : "";
    }
    this.phases.replaceChildren(...phases(detail.phases));
    this.histogram.replaceChildren(...histogram(detail));
    this.callers.show(detail.callers);
    this.tenants.show(detail.tenants);
  }

  end() {}
}

/** Keywords stand out; nothing else is made of the text. */
function colored(text) {
  return text.split(/([A-Za-z_]+)/).map((word) =>
    KEYWORDS.has(word.toLowerCase()) ? h("span", { class: "keyword" }, word) : document.createTextNode(word),
  );
}

function phases(times) {
  const all = PHASES.reduce((sum, [key]) => sum + times[key], 0);
  const rows = PHASES.map(([key, label, about]) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, h("span", { class: `key phase-${key}`, "aria-hidden": "true" }), label),
      h("td", { class: "meaning" }, about),
      h("td", { class: "number" }, time(times[key])),
      h("td", { class: "number" }, all > 0 ? percent(times[key] / all) : NOTHING),
    ),
  );
  const head = h("tr", { class: "hidden" }, ["Phase", "What it is", "Mean", "Share"].map((label) => h("th", { scope: "col" }, label)));
  return [stack(times), h("table", { class: "plain" }, h("caption", { class: "hidden" }, "Mean time of each phase"), h("thead", {}, head), h("tbody", {}, rows))];
}

function histogram({ histogram: bars, p50, p99 }) {
  if (bars.length === 0) return [h("p", { class: "empty" }, "Nothing yet.")];
  const most = Math.max(...bars.map(([, number]) => number));
  const of = (value) => bars.findIndex(([bound]) => value <= bound);
  const marks = new Map([[of(p50), "p50"]]);
  marks.set(of(p99), marks.has(of(p99)) ? "p50, p99" : "p99");
  const columns = bars.map(([bound, number], n) => {
    const column = h("span", { class: "column", title: `up to ${time(bound)}: ${count(number)}` }, h("span", { class: "fill" }), marks.has(n) ? h("span", { class: "mark" }, marks.get(n)) : null);
    // The rare ones are what one looks for: each has at least a line.
    column.firstElementChild.style.height = number === 0 ? "0" : `max(2px, ${(number / most) * 100}%)`;
    return column;
  });
  const label = `From ${time(bars[0][0])} to ${time(bars.at(-1)[0])}; half took at most ${time(p50)}, 99 of 100 at most ${time(p99)}`;
  return [
    h("div", { class: "columns", role: "img", "aria-label": label }, columns),
    h("div", { class: "scale", "aria-hidden": "true" }, h("span", {}, time(bars[0][0])), h("span", {}, time(bars[Math.floor(bars.length / 2)][0])), h("span", {}, time(bars.at(-1)[0]))),
  ];
}
