// The parts of the page that are a table: what their columns are, and how they are filtered.

import { address, h, read, say } from "./dom.js";
import { NOTHING, ago, at, count, percent, span, time } from "./format.js";
import { Table, bar, link } from "./table.js";

const text = (key, label, more = {}) => ({ key, label, text: (row) => row[key] ?? NOTHING, ...more });
const number = (key, label, more = {}) => ({ key, label, number: true, text: (row) => count(row[key]), ...more });
const times = (key, label, more = {}) => ({ key, label, number: true, text: (row) => time(row[key]), ...more });
const part = (key, label, more = {}) => ({
  key,
  label,
  number: true,
  show: (cell, row) => bar(cell, row[key], percent(row[key])),
  ...more,
});
const seen = { key: "seen", label: "Last", number: true, text: (row) => ago(row.seen), title: "When it was seen last" };
const bad = (key) => (row) => (row[key] > 0 ? "bad" : "");
/** One of a hundred fails: fewer is daily life. */
const failing = (row) => (row.errors > 0 && row.errors >= row.calls * 0.01 ? "bad" : "");

export const statementAddress = (row) =>
  address("statement", { database: row.database, fingerprint: row.fingerprint });

/** A statement's text, which leads to its own part. */
export function sql(cell, row, key = "text", fingerprint = "fingerprint") {
  if (row[fingerprint] && row[key]) {
    const href = address("statement", { database: row.database, fingerprint: row[fingerprint] });
    link(cell, href, row[key], "sql");
  } else say(cell, row[key] ?? NOTHING);
}
const statement = {
  key: "text",
  label: "Statement",
  first: true,
  wide: true,
  unsorted: true,
  show: (cell, row) => sql(cell, row),
};
const of = (value, most) => (most === null || most === undefined ? count(value) : `${count(value)} of ${count(most)}`);
const called = (row) => row.route ?? ([row.controller, row.action].filter(Boolean).join("#") || NOTHING);
const full = (value, most) => (most && value >= most ? "warning" : "");

/** What the SQLSTATEs are called that one meets most. */
const STATES = {
  "08006": "connection_failure",
  "08P01": "protocol_violation",
  "0A000": "feature_not_supported",
  "22001": "string_data_right_truncation",
  "22003": "numeric_value_out_of_range",
  "22012": "division_by_zero",
  "22P02": "invalid_text_representation",
  "23502": "not_null_violation",
  "23503": "foreign_key_violation",
  "23505": "unique_violation",
  "23514": "check_violation",
  "25001": "active_sql_transaction",
  "25006": "read_only_sql_transaction",
  "25P02": "in_failed_sql_transaction",
  "25P03": "idle_in_transaction_session_timeout",
  "26000": "invalid_sql_statement_name",
  "28000": "invalid_authorization_specification",
  "28P01": "invalid_password",
  "3D000": "invalid_catalog_name",
  "40001": "serialization_failure",
  "40P01": "deadlock_detected",
  "42501": "insufficient_privilege",
  "42601": "syntax_error",
  "42703": "undefined_column",
  "42883": "undefined_function",
  "42P01": "undefined_table",
  "42P05": "duplicate_prepared_statement",
  "53100": "disk_full",
  "53200": "out_of_memory",
  "53300": "too_many_connections",
  "53400": "configuration_limit_exceeded",
  "55P03": "lock_not_available",
  "57014": "query_canceled",
  "57P01": "admin_shutdown",
  "57P03": "cannot_connect_now",
  "57P05": "idle_session_timeout",
  "P0001": "raise_exception",
};

/** {part: {title, about, columns, key, sort, filters}} */
export const TABLES = {
  statements: {
    title: "Statements",
    noun: ["statement", "statements"],
    about: "What clients waited for, without its constants. Sorted by the time of the last minute, until you say otherwise.",
    sort: "recent",
    filters: ["database", "tenant"],
    key: (row) => `${row.database}\n${row.fingerprint}`,
    columns: [
      statement,
      text("database", "Database"),
      part("recent", "Last minute", { title: "Share of what clients waited for in the last minute or so" }),
      part("share", "All time", { title: "Share of what clients waited for, since the start or the last RESET" }),
      number("calls", "Calls"),
      times("mean", "Mean", { title: "Mean of what a client waited" }),
      times("p99", "p99", { title: "99 of 100 took no longer" }),
      times("max", "Max"),
      number("rows", "Rows", { title: "Rows returned or changed" }),
      number("errors", "Errors", { state: failing }),
      number("cached", "Cached", { title: "Answered from memory" }),
      number("n_plus_one", "N+1", { title: "Runs of it that look like N+1", state: (row) => (row.n_plus_one > 0 ? "warning" : "") }),
      seen,
    ],
  },
  tenants: {
    title: "Tenants",
    noun: ["tenant", "tenants"],
    about: "Load is how long a tenant's transactions had a server connection.",
    sort: "recent",
    filters: ["database"],
    key: (row) => `${row.database}\n${row.tenant}\n${row.other}`,
    columns: [
      {
        key: "tenant",
        label: "Tenant",
        first: true,
        show: (cell, row) => {
          if (row.tenant && !row.other) {
            link(cell, address("statements", { tenant: row.tenant, database: row.database }), row.tenant, "name");
          } else say(cell, row.tenant ?? "no tenant");
        },
      },
      text("database", "Database"),
      part("recent", "Last minute", { title: "Share of the servers' time in the last minute or so" }),
      part("share", "All time", { title: "Share of the servers' time since the start or the last RESET" }),
      number("waiting", "Waiting", { title: "Clients of it that wait for a server connection now", state: bad("waiting") }),
      times("wait", "Mean wait", { title: "How long its transactions waited for a server connection" }),
      number("transactions", "Transactions"),
      times("mean", "Mean", { title: "Mean of what a client waited for a statement" }),
      times("p99", "p99"),
      number("errors", "Errors", { state: failing }),
      number("servers", "Servers", {
        title: "Server connections that it has now, and may have",
        text: (row) => of(row.servers, row.max_servers),
        state: (row) => full(row.servers, row.max_servers),
      }),
      number("clients", "Clients", {
        title: "Clients that it has now, and may have",
        text: (row) => of(row.clients, row.max_clients),
        state: (row) => full(row.clients, row.max_clients),
      }),
      number("weight", "Weight"),
    ],
  },
  pools: {
    title: "Pools",
    noun: ["pool", "pools"],
    about: "The server connections of one login to one database.",
    sort: "waiting",
    filters: ["database"],
    key: (row) => `${row.database}\n${row.user}`,
    columns: [
      text("database", "Database", { first: true }),
      text("user", "User"),
      part("used", "In use", {
        show: (cell, row) => bar(cell, row.used, row.size ? `${row.active} of ${row.size}` : String(row.active)),
        title: "Server connections that clients have, of those there may be",
      }),
      number("waiting", "Waiting", { title: "Clients that wait for a server connection", state: bad("waiting") }),
      times("oldest", "Longest wait", { text: (row) => (row.waiting > 0 ? time(row.oldest) : NOTHING) }),
      number("idle", "Idle"),
      number("busy", "Others", { title: "Being made or cleaned" }),
      number("pinned", "Pinned", { title: "Kept by a client beyond its transactions" }),
      text("mode", "Mode"),
      text("server", "Server"),
      { key: "down", label: "State", text: (row) => row.down ?? "up", state: (row) => (row.down ? "bad" : "good") },
    ],
  },
  clients: {
    title: "Clients",
    noun: ["client", "clients"],
    about: "Who is connected now; those who wait come first.",
    sort: "waiting",
    filters: ["database", "tenant"],
    key: (row) => String(row.id),
    columns: [
      { key: "id", label: "Client", first: true, number: true, text: (row) => `C-${row.id}`, title: "As in the log" },
      text("user", "User"),
      text("database", "Database"),
      text("tenant", "Tenant"),
      text("application", "Application", { text: (row) => row.application || NOTHING }),
      text("state", "State", { state: (row) => (row.state === "waiting" ? "bad" : "") }),
      times("waiting", "Waiting for"),
      { key: "connected", label: "Connected", number: true, text: (row) => span(row.connected) },
      text("pinned", "Keeps its server for"),
      number("prepared", "Prepared", { title: "Prepared statements" }),
      { key: "tls", label: "TLS", text: (row) => (row.tls ? "yes" : "no") },
      text("address", "Address"),
    ],
  },
  n_plus_one: {
    title: "N+1",
    noun: ["kind of run", "kinds of runs"],
    about: "The same statement again and again from one client, with other values each time: usually a loop in the application where one statement with = ANY($1) would do.",
    sort: "time",
    filters: ["database"],
    key: (row) => [row.database, row.fingerprint, row.route, row.controller, row.action].join("\n"),
    columns: [
      statement,
      { key: "route", label: "Route", text: called, title: "What the application says in a comment (sqlcommenter)" },
      number("runs", "Runs", { title: "How often it happened" }),
      number("worst", "Worst run", { title: "Statements in the longest run" }),
      number("executions", "Statements"),
      times("time", "Time", { title: "What clients waited for them" }),
      { key: "before", label: "After", wide: true, unsorted: true, show: (cell, row) => sql(cell, row, "before", "before_fingerprint"), title: "The statement before the worst run" },
      text("database", "Database"),
      seen,
    ],
  },
  slow: {
    title: "Slow log",
    noun: ["statement", "statements"],
    about: "Statements that took as long as [log] slow_query, the latest first.",
    sort: "at",
    filters: ["database", "tenant"],
    key: (row) => [row.at, row.fingerprint, row.total, row.user].join("\n"),
    columns: [
      { key: "at", label: "At", number: true, text: (row) => at(row.at / 1000) },
      times("total", "Took"),
      statement,
      { key: "phases", label: "Where", unsorted: true, show: (cell, row) => split(cell, row) },
      text("user", "User"),
      text("tenant", "Tenant"),
      { key: "route", label: "Route", text: called },
      text("application", "Application", { text: (row) => row.application || NOTHING }),
      number("rows", "Rows"),
      text("error", "Error", { state: (row) => (row.error ? "bad" : "") }),
      text("database", "Database"),
    ],
  },
  errors: {
    title: "Errors",
    noun: ["kind of error", "kinds of errors"],
    about: "By SQLSTATE, with the statement that failed with it last.",
    sort: "count",
    filters: ["database"],
    key: (row) => `${row.database}\n${row.sqlstate}`,
    columns: [
      { key: "sqlstate", label: "SQLSTATE", first: true, text: (row) => (STATES[row.sqlstate] ? `${row.sqlstate} ${STATES[row.sqlstate]}` : row.sqlstate) },
      text("database", "Database"),
      number("count", "Errors"),
      number("refused", "Of Howdah", { title: "What Howdah refused itself, without a statement" }),
      { ...statement, first: false, label: "Last statement" },
      text("user", "Last user"),
      seen,
    ],
  },
};

export const PHASES = [
  ["wait", "Wait", "for a server connection"],
  ["preamble", "Preamble", "until the connection had its client's settings and tenant"],
  ["first", "Server", "until the first byte of the answer"],
  ["rest", "Answer", "until its last byte"],
  ["client", "Client", "until the client had taken the answer"],
  ["cache", "Cache", "answered from memory"],
];

/** Phases side by side, as long as they took. */
export function stack(phases) {
  const all = PHASES.filter(([key]) => phases[key] > 0);
  const segments = all.map(([key, label]) => {
    const segment = h("span", { class: `phase phase-${key}`, title: `${label}: ${time(phases[key])}` });
    segment.style.flexGrow = phases[key];
    return segment;
  });
  const words = all.map(([key, label]) => `${label} ${time(phases[key])}`).join(", ");
  return h("span", { class: "stack", role: "img", "aria-label": words || "nothing" }, segments);
}

function split(cell, row) {
  if (!cell.firstElementChild) cell.replaceChildren(stack(row.phases));
}

/** A part of the page that is a table. `values` are what stands in the address. */
export class TableView {
  constructor(name, values) {
    const { title, about, columns, key, sort, filters, noun } = TABLES[name];
    this.name = name;
    this.noun = noun;
    this.usual = sort;
    this.values = { ...values };
    this.limit = 100;
    this.table = new Table({
      name: title,
      columns,
      key,
      sorted: (column, order) => this.change({ sort: column, order }),
      empty: this.values.filter || this.values.tenant || this.values.database ? "Nothing fits the filter." : EMPTY[name],
    });
    this.count = h("p", { class: "count", role: "status" });
    this.more = h("button", { type: "button", hidden: true, onclick: () => this.enlarge() }, "Show more");
    this.failed = h("p", { class: "failed", role: "alert", hidden: true });
    this.element = h(
      "div",
      { class: "part" },
      h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, title), h("p", { class: "about" }, about)),
      this.filters(title, filters),
      this.failed,
      this.table.element,
      h("div", { class: "below" }, this.count, this.more),
    );
    this.mark();
  }

  filters(title, wanted) {
    let waiting;
    const input = h("input", {
      type: "search",
      id: "filter",
      placeholder: "Filter (press /)",
      "aria-label": `Filter ${title.toLowerCase()}`,
      autocomplete: "off",
      spellcheck: "false",
      value: this.values.filter ?? "",
      oninput: () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => this.change({ filter: input.value }), 200);
      },
      onkeydown: (event) => {
        if (event.key !== "Escape") return;
        input.value = "";
        this.change({ filter: "" });
      },
    });
    this.choices = wanted.map((key) => {
      const label = key === "tenant" ? "Tenant" : "Database";
      const select = h("select", { onchange: () => this.change({ [key]: select.value }) });
      const field = h("label", { class: "field", hidden: true }, `${label} `, select);
      return { key, select, field };
    });
    for (const choice of this.choices) this.options(choice, []);
    return h("div", { class: "filters", role: "search" }, input, this.choices.map((choice) => choice.field));
  }

  /** What may be chosen; nothing to choose from is not shown. */
  options({ key, select, field }, names) {
    const chosen = this.values[key] ?? "";
    const all = [...new Set([...names, chosen].filter(Boolean))].sort();
    const now = ["", ...all];
    if (select.options.length !== now.length || now.some((name, n) => select.options[n].value !== name)) {
      select.replaceChildren(...now.map((name) => h("option", { value: name }, name === "" ? "all" : name)));
    }
    select.value = chosen;
    field.hidden = all.length < 2 && chosen === "";
  }

  async choose() {
    const names = (rows, key) => rows.filter((row) => !row.other).map((row) => row[key]).filter(Boolean);
    for (const choice of this.choices) {
      const source = choice.key === "tenant" ? "tenants" : "pools";
      const answer = await read(source, { limit: 500 }, this.aborted?.signal);
      const found = names(answer.rows, choice.key);
      this.options(choice, found);
      // A column that says the same in each row is in the way.
      const one = new Set(found).size < 2 && this.name !== "pools";
      if (choice.key === "database") this.table.element.classList.toggle("one-database", one);
    }
  }

  /** Something else is wanted: it goes into the address, so that it can be passed on. */
  change(values) {
    Object.assign(this.values, values);
    history.replaceState(null, "", address(this.name, this.values));
    this.table.nothing.textContent =
      this.values.filter || this.values.tenant || this.values.database ? "Nothing fits the filter." : EMPTY[this.name];
    this.mark();
    return this.refresh();
  }

  mark() {
    const { sort = this.usual, order = "desc" } = this.values;
    this.table.mark(sort, order);
  }

  enlarge() {
    this.limit = 500;
    return this.refresh();
  }

  async refresh() {
    // The last one asked wins.
    this.aborted?.abort();
    const aborted = new AbortController();
    this.aborted = aborted;
    const { sort = this.usual, order = "desc", filter, database, tenant } = this.values;
    try {
      const wanted = { sort, order, filter, database, tenant, limit: this.limit };
      const answer = await read(this.name, wanted, aborted.signal);
      if (aborted.signal.aborted) return;
      this.table.show(answer.rows);
      if (answer.off) say(this.table.nothing, "Nothing is measured: [observe] enabled is false.");
      const { rows, matched, all } = answer;
      const parts = rows.length < matched ? `${count(rows.length)} of ` : "";
      const fits = matched < all ? `, of ${count(all)} in all` : "";
      say(this.count, `${parts}${count(matched)} ${matched === 1 ? this.noun[0] : this.noun[1]}${fits}`);
      this.more.hidden = rows.length >= matched || this.limit >= 500;
      this.failed.hidden = true;
      if (!this.chosen) {
        this.chosen = true;
        await this.choose();
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      say(this.failed, `This could not be read: ${error.message}. It is tried again.`);
      this.failed.hidden = false;
    }
  }

  focusFilter() {
    this.element.querySelector("#filter").focus();
  }

  end() {
    this.aborted?.abort();
  }
}

const EMPTY = {
  statements: "No statement has run yet.",
  tenants: "No transaction has run yet.",
  pools: "No client has come yet: pools are made for the first one.",
  clients: "Nobody is connected.",
  n_plus_one: "None was seen. Good.",
  slow: "None was seen. [log] slow_query says from when on a statement is slow.",
  errors: "None was seen. Good.",
};
