// The hour's charts.

import { h, say } from "./dom.js";
import { at, minute } from "./format.js";

const HEIGHT = 92;
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const together = uPlot.sync("hour");

/** A card with a number, a line below it, and a chart of the hour.
    `lines`: what is drawn: {key, color, fill, label}. `shown`: a value of an axis or under the cursor as text. `top`:
    the axis ends there. `decades`: each step of the axis is ten times the one below. */
export class Card {
  constructor({ id, title, lines, shown, top, decades }) {
    Object.assign(this, { lines, shown, top, title, decades });
    this.value = h("span", { class: "value" });
    this.unit = h("span", { class: "of" });
    this.note = h("p", { class: "note" });
    this.under = h("p", { class: "under", "aria-hidden": "true" });
    this.plot = h("div", { class: "plot", role: "img" });
    this.element = h(
      "section",
      { class: "card", id: `card-${id}`, "aria-labelledby": `title-${id}` },
      h("h2", { id: `title-${id}` }, title),
      h("p", { class: "figure" }, this.value, this.unit),
      this.note,
      this.plot,
      this.under,
    );
    this.chart = null;
  }

  /** What is so now; `state` colours it: "", "warning" or "bad". */
  say(value, unit, note, state = "") {
    say(this.value, value);
    say(this.unit, unit);
    say(this.note, note);
    this.element.dataset.state = state;
  }

  draw(history) {
    const times = history.at;
    const data = [times, ...this.lines.map((line) => history[line.key])];
    this.describe(history);
    if (!this.chart) this.chart = new uPlot(this.options(), data, this.plot);
    else this.chart.setData(data);
  }

  /** For those who do not see it. */
  describe(history) {
    const parts = this.lines.map((line) => {
      const values = history[line.key].filter((value) => value !== null);
      if (values.length === 0) return `${line.label}: nothing yet`;
      return `${line.label}: now ${this.shown(values.at(-1))}, at most ${this.shown(Math.max(...values))}`;
    });
    this.plot.setAttribute("aria-label", `The last hour. ${parts.join("; ")}`);
  }

  options() {
    const text = color("--muted");
    const font = "11px system-ui, sans-serif";
    return {
      width: Math.max(this.plot.clientWidth, 120),
      height: HEIGHT,
      padding: [6, 4, 0, 16],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false },
        sync: { key: together.key },
        points: { size: 6 },
      },
      scales: { x: { range: lastHour }, y: this.scale() },
      axes: [
        {
          stroke: text,
          font,
          size: 20,
          gap: 2,
          space: 60,
          grid: { show: false },
          ticks: { show: false },
          values: (_, splits) => splits.map(minute),
        },
        {
          stroke: text,
          font,
          side: 1,
          size: 50,
          gap: 4,
          space: 26,
          grid: { stroke: color("--line"), width: 1 },
          ticks: { show: false },
          ...(this.decades ? { splits: (_, __, least, most) => powers(least, most), filter: (_, splits) => splits } : {}),
          values: (_, splits) => splits.map((value) => this.shown(value)),
        },
      ],
      series: [
        {},
        ...this.lines.map((line) => ({
          label: line.label,
          stroke: color(line.color),
          width: 1.5,
          fill: line.fill ? color(line.fill) : undefined,
          points: { show: false },
          spanGaps: false,
        })),
      ],
      hooks: { setCursor: [(chart) => this.pointAt(chart)] },
    };
  }

  scale() {
    if (!this.decades) return { range: (_, __, most) => [0, this.top ?? Math.max(most * 1.15, 1e-6)] };
    const range = (_, least, most) => {
      if (!(least > 0)) return [0.1, 10];
      const bottom = Math.floor(Math.log10(least));
      return [10 ** bottom, 10 ** Math.max(Math.ceil(Math.log10(most * 1.05)), bottom + 1)];
    };
    return { distr: 3, range };
  }

  pointAt(chart) {
    const index = chart.cursor.idx;
    if (index === null || index === undefined || chart.cursor.left < 0) {
      say(this.under, "");
      return;
    }
    const values = this.lines.map((line, n) => {
      const value = chart.data[n + 1][index];
      const label = this.lines.length > 1 ? `${line.label} ` : "";
      return `${label}${value === null || value === undefined ? "–" : this.shown(value)}`;
    });
    say(this.under, `${at(chart.data[0][index])}  ${values.join("  ")}`);
  }

  resize() {
    if (this.chart) this.chart.setSize({ width: Math.max(this.plot.clientWidth, 120), height: HEIGHT });
  }

  /** Colours changed: it is drawn anew with the next data. */
  forget() {
    this.chart?.destroy();
    this.chart = null;
    this.plot.replaceChildren();
  }
}

/** Powers of ten between two of them; not more than there is room for. */
function powers(least, most) {
  const [bottom, top] = [Math.round(Math.log10(least)), Math.round(Math.log10(most))];
  const step = Math.ceil((top - bottom) / 3);
  const all = [];
  for (let power = bottom; power <= top; power += step) all.push(10 ** power);
  return all;
}

/** An hour, or less when there is less yet. */
function lastHour(_, least, most) {
  if (least === null || most === null) return [Date.now() / 1000 - 300, Date.now() / 1000];
  return [Math.min(Math.max(least, most - 3600), most - 300), most];
}
