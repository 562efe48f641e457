// Which part of the page is shown, and what all parts have in common.

import { address, h, read, say } from "./dom.js";
import { Detail } from "./detail.js";
import { span } from "./format.js";
import { isPaused, onNow, start } from "./live.js";
import { Overview } from "./overview.js";
import { TABLES, TableView } from "./tables.js";

/** Milliseconds between two looks at a table. */
const EVERY = 4000;

const PARTS = [
  ["overview", "Overview"],
  ...["statements", "tenants", "pools", "clients", "n_plus_one", "slow", "errors"].map((name) => [name, TABLES[name].title]),
];

const main = document.getElementById("main");
const links = new Map();
let view = null;
let looked = 0;
/** What is wrong, and what of it is shown. */
let known = null;
let said = null;

for (const [name, title] of PARTS) {
  const link = h("a", { href: address(name) }, title);
  links.set(name, link);
  document.getElementById("nav").append(link);
}

/** `#/part?key=value`. */
function place() {
  const [part, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { part: part || "overview", values: Object.fromEntries(new URLSearchParams(query)) };
}

function make(part, values) {
  if (part === "statement") return new Detail(values);
  if (Object.hasOwn(TABLES, part)) return new TableView(part, values);
  return new Overview();
}

async function show(first = false) {
  const { part, values } = place();
  view?.end();
  view = make(part, values);
  const current = part === "statement" ? "statements" : links.has(part) ? part : "overview";
  for (const [name, link] of links) {
    if (name === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${view.element.querySelector("h1").textContent} – Howdah`;
  main.replaceChildren(view.element);
  links.get(current).scrollIntoView({ block: "nearest", inline: "nearest" });
  if (known) findings(known);
  if (!first) {
    window.scrollTo(0, 0);
    view.element.querySelector("h1").focus({ preventScroll: true });
  }
  looked = Date.now();
  if (view instanceof Overview) await begin(view);
  await view.refresh();
}

async function begin(overview) {
  try {
    const answer = await read("overview");
    if (overview === view) overview.begin(answer);
    common(answer);
  } catch (error) {
    console.warn("the overview could not be read", error);
  }
}

/** What every part shows. */
function common(event) {
  if (event.version) say(document.getElementById("version"), `Howdah ${event.version}`);
  say(document.getElementById("uptime"), `up for ${span(event.uptime)}`);
  known = event.findings;
  findings(known);
}

/** Elsewhere than in the overview the worst one is enough: there is other to look at. */
const WORDS = { bad: "Bad", warning: "Warning", note: "Note" };

function findings(all) {
  const few = view instanceof Overview ? all : all.slice(0, 1);
  const text = JSON.stringify([few, all.length]);
  if (text === said) return;
  said = text;
  const element = document.getElementById("findings");
  if (all.length === 0) {
    element.replaceChildren(h("p", { class: "finding", "data-gravity": "good" }, h("span", { class: "word" }, "OK"), h("span", {}, "Nothing looks wrong.")));
    return;
  }
  element.replaceChildren(
    h(
      "ul",
      {},
      few.map(({ gravity, text: sentence, part }) =>
        h(
          "li",
          { class: "finding", "data-gravity": gravity },
          h("span", { class: "word" }, WORDS[gravity]),
          h("a", { href: address(part) }, sentence),
          few.length < all.length ? h("a", { class: "others", href: address("overview") }, `and ${all.length - few.length} more`) : null,
        ),
      ),
    ),
  );
}

onNow((event) => {
  common(event);
  if (view instanceof Overview) view.now(event);
  if (document.hidden || Date.now() - looked < EVERY) return;
  looked = Date.now();
  view.refresh();
});

window.addEventListener("hashchange", () => show());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => view instanceof Overview && view.recolor());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !isPaused() && view instanceof Overview) begin(view);
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.addEventListener("keydown", (event) => {
  const typing = /^(input|select|textarea)$/i.test(event.target.localName ?? "");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey || !view.focusFilter) return;
  event.preventDefault();
  view.focusFilter();
});

await show(true);
start(() => view instanceof Overview && begin(view));
