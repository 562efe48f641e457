// A table whose rows come sorted from Howdah and are changed in place, so that focus and selection stay.

import { h, say } from "./dom.js";

/** `columns`: {key, label, title, number, wide, text(row), show(cell, row), first} – `text` for plain cells, `show` for
    others, called with the cell each time. `key(row)` tells rows apart. `sorted` is called with (column, order) when
    somebody wants it sorted otherwise; without it the table is as it came. */
export class Table {
  constructor({ name, columns, key, sorted = null, empty = "Nothing yet." }) {
    Object.assign(this, { name, columns, key, sorted, empty });
    this.rows = new Map();
    this.heads = new Map();
    this.body = h("tbody", { role: "rowgroup" });
    const head = h("tr", { role: "row" }, columns.map((column) => this.head(column)));
    this.caption = h("caption", { class: "hidden" }, name);
    this.table = h(
      "table",
      { role: "table" },
      this.caption,
      h("thead", { role: "rowgroup" }, head),
      this.body,
    );
    this.nothing = h("p", { class: "empty", hidden: true }, empty);
    const scroll = h("div", { class: "scroll" }, this.table);
    this.element = h("div", { class: "table" }, sorted ? this.choice() : null, scroll, this.nothing);
  }

  head(column) {
    const label = this.sorted && column.key && !column.unsorted
      ? h("button", { type: "button", title: column.title, onclick: () => this.turn(column) }, column.label)
      : h("span", { title: column.title }, column.label);
    const attributes = { scope: "col", role: "columnheader", "data-key": column.key, class: column.number ? "number" : null };
    const head = h("th", attributes, label);
    this.heads.set(column.key, head);
    return head;
  }

  /** On a narrow screen there is no head to click on. */
  choice() {
    const columns = this.columns.filter((column) => column.key && !column.unsorted);
    const change = (event) => {
      const column = columns.find((one) => one.key === event.target.value);
      this.sorted(column.key, usual(column));
    };
    this.select = h(
      "select",
      { onchange: change },
      columns.map((column) => h("option", { value: column.key }, column.label)),
    );
    return h("label", { class: "narrow field" }, "Sort by ", this.select);
  }

  turn(column) {
    const other = this.order === "desc" ? "asc" : "desc";
    this.sorted(column.key, this.column === column.key ? other : usual(column));
  }

  /** Says by what it is sorted. */
  mark(column, order) {
    Object.assign(this, { column, order });
    if (this.select) this.select.value = column;
    for (const [key, head] of this.heads) {
      if (key === column) head.setAttribute("aria-sort", order === "asc" ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  show(rows) {
    const focused = document.activeElement;
    const had = this.body.contains(focused);
    const seen = new Set();
    let before = this.body.firstElementChild;
    for (const [n, row] of rows.entries()) {
      let key = this.key(row);
      if (seen.has(key)) key = `${key}\n${n}`;
      seen.add(key);
      let line = this.rows.get(key);
      if (!line) {
        line = this.line();
        this.rows.set(key, line);
      }
      this.fill(line, row);
      if (line.element === before) before = before.nextElementSibling;
      else this.body.insertBefore(line.element, before);
    }
    for (const [key, line] of this.rows) {
      if (seen.has(key)) continue;
      line.element.remove();
      this.rows.delete(key);
    }
    // A row that moved lost the focus.
    if (had && document.activeElement !== focused && this.body.contains(focused)) focused.focus({ preventScroll: true });
    this.nothing.hidden = rows.length > 0;
    this.table.hidden = rows.length === 0;
  }

  line() {
    const cells = this.columns.map((column) => {
      const kind = [column.number && "number", column.wide && "wide"].filter(Boolean).join(" ");
      const attributes = { class: kind || null, "data-label": column.label };
      return column.first
        ? h("th", { ...attributes, scope: "row", role: "rowheader" })
        : h("td", { ...attributes, role: "cell" });
    });
    return { element: h("tr", { role: "row" }, cells), cells };
  }

  fill(line, row) {
    line.element.classList.toggle("other", row.other === true);
    for (const [n, column] of this.columns.entries()) {
      const cell = line.cells[n];
      if (column.show) column.show(cell, row);
      else say(cell, column.text(row));
      const state = column.state?.(row) ?? "";
      cell.dataset.state = state === "" && row[column.key] === 0 ? "zero" : state;
    }
  }
}

/** Names go up, numbers down. */
function usual(column) {
  return column.number ? "desc" : "asc";
}

/** A link in a cell; its text is never more than text. */
export function link(cell, href, text, kind) {
  let anchor = cell.firstElementChild;
  if (!anchor || anchor.localName !== "a") {
    anchor = h("a", { class: kind });
    cell.replaceChildren(anchor);
  }
  if (anchor.getAttribute("href") !== href) anchor.setAttribute("href", href);
  if (anchor.title !== text) anchor.title = text;
  say(anchor, text);
}

/** A part of the whole, as a bar and a number. */
export function bar(cell, part, text) {
  let number = cell.querySelector(".bar-text");
  if (!number) {
    number = h("span", { class: "bar-text" });
    cell.replaceChildren(h("span", { class: "bar", "aria-hidden": "true" }, h("span", {})), number);
  }
  say(number, text);
  cell.querySelector(".bar span").style.width = `${Math.min(100, Math.max(0, (part ?? 0) * 100))}%`;
}
