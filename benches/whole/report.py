"""Medians, what must hold, and the table."""

import statistics
from dataclasses import dataclass

TARGETS = ("howdah", "haproxy", "pgbouncer", "pgpool", "direct")


@dataclass
class Row:
    case: str
    metric: str
    title: str
    yardstick: str  # whom the ratio compares with
    digits: int = 1
    most_ratio: float | None = None
    least_ratio: float | None = None
    most: float | None = None
    least: float | None = None
    unit: str = ""

    def must(self):
        if self.most_ratio is not None:
            return f"≤ {self.most_ratio:g} × {self.yardstick}"
        if self.least_ratio is not None:
            return f"≥ {self.least_ratio:g} × {self.yardstick}"
        if self.most is not None:
            return f"≤ {self.most:g} {self.unit}".rstrip()
        if self.least is not None:
            return f"≥ {self.least:g} {self.unit}".rstrip()
        return ""

    def verdict(self, value, ratio):
        """True, False, or None where nothing is demanded or nothing was measured."""
        if self.most is not None:
            return None if value is None else value <= self.most
        if self.least is not None:
            return None if value is None else value >= self.least
        if ratio is None:
            return None
        if self.most_ratio is not None:
            return ratio <= self.most_ratio
        if self.least_ratio is not None:
            return ratio >= self.least_ratio
        return None


ROWS = (
    Row("simple32", "cpu_us", "CPU per transaction, 32 clients, simple, µs", "haproxy", most_ratio=0.95),
    Row("simple32", "tps", "transactions/s, 32 clients, simple", "haproxy", 0),
    Row("simple32", "latency_ms", "average latency, 32 clients, simple, ms", "haproxy", 3),
    Row("prepared32", "cpu_us", "CPU per transaction, 32 clients, prepared, µs", "haproxy", most_ratio=1.0),
    Row("prepared32", "tps", "transactions/s, 32 clients, prepared", "haproxy", 0, least_ratio=1.0),
    Row("prepared32", "latency_ms", "average latency, 32 clients, prepared, ms", "haproxy", 3),
    Row("latency1-simple", "latency_ms", "one client, simple, ms", "haproxy", 4, most_ratio=1.0),
    Row("latency1-prepared", "latency_ms", "one client, prepared, ms", "haproxy", 4, most_ratio=1.0),
    Row("connect-trust", "cpu_us", "CPU per connect + query + close, trust, µs", "pgbouncer", most=120, unit="µs"),
    Row("connect-trust", "connects_s", "connects/s, 4 at a time, trust", "pgbouncer", 0),
    Row("connect-scram", "cpu_us", "CPU per connect + query + close, SCRAM, µs", "pgbouncer", most=120, unit="µs"),
    Row("connect-scram", "connects_s", "connects/s, 4 at a time, SCRAM", "pgbouncer", 0),
    Row("idle5000", "kib_per_client", "memory per idle client of 5,000, KiB", "pgbouncer", 2, most=4, unit="KiB"),
    Row("idle5000", "cpu_percent", "idle CPU with 5,000 clients, % of a core", "pgbouncer", 3, most=0.1, unit="%"),
    Row("stream", "copy_peak_mb", "peak memory, COPY of 1 GB, MiB", "haproxy", most=64, unit="MiB"),
    Row("stream", "copy_mb_s", "COPY of 1 GB, MB/s", "haproxy", 0),
    Row("stream", "row_peak_mb", "peak memory, one row of 900 MiB, MiB", "haproxy", most=64, unit="MiB"),
    Row("statements", "growth_mb", "memory after a million distinct prepared statements, MiB more", "pgbouncer", most=8, unit="MiB"),
    Row("statements", "per_second", "distinct statements prepared, run and closed a second", "pgbouncer", 0),
    Row("stream", "row_mb_s", "one row of 900 MiB, MB/s", "haproxy", 0),
    *(
        row
        for mode in ("simple", "prepared")
        for row in (
            Row(f"tenant-{mode}", "other_tps", f"transactions/s without a tenant, {mode}", "", 0),
            Row(f"tenant-{mode}", "tps", f"transactions/s with a tenant, {mode}", "", 0),
            Row(f"tenant-{mode}", "ratio", f"with a tenant : without, {mode}", "", 2, least=0.8),
            Row(f"tenant-{mode}", "other_cpu_us", f"CPU per transaction without a tenant, {mode}, µs", ""),
            Row(f"tenant-{mode}", "cpu_added_us", f"CPU that a tenant adds to a transaction, {mode}, µs", "", 2, most=1.5, unit="µs"),
        )
    ),
    Row("tenant-rls", "other_tps", "transactions/s, the query names the tenant, prepared", "", 0),
    Row("tenant-rls", "tps", "transactions/s, a policy does, prepared", "", 0),
    Row("tenant-rls", "ratio", "policy : query, prepared", "", 2),
    *(
        row
        for name, mode, least in (("tenant-by-hand", "prepared", 3.0), ("tenant-by-hand-simple", "simple", None))
        for row in (
            Row(name, "other_tps", f"transactions/s, tenant set by hand, {mode}", "", 0),
            Row(name, "tps", f"transactions/s, set by Howdah, {mode}", "", 0),
            Row(name, "ratio", f"by Howdah : by hand, {mode}", "", 2, least=least),
        )
    ),
    Row("noisy", "quiet_ms", "p99 of a small tenant alone, ms", "pgbouncer", 2),
    Row("noisy", "beside_ms", "p99 beside a tenant with 100 clients, ms", "pgbouncer", 2, most=15, unit="ms"),
    Row("listen", "kib_resting", "memory per resting client of 10,000, KiB", "", 2),
    Row("listen", "kib_per_client", "memory per listening client of 10,000, KiB", "", 2, most=6, unit="KiB"),
    Row("listen", "kib_after", "the same after nine notifications to all, KiB", "", 2),
    Row("listen", "listens_s", "LISTENs to two channels a second, 50 at a time", "", 0),
    Row("listen", "all_ms", "a NOTIFY has reached 10,000 listeners, median, ms", "", 1, most=100, unit="ms"),
    Row("listen", "worst_ms", "the slowest of nine, ms", "", 1),
    *(
        row
        for mode in ("simple", "prepared")
        for row in (
            Row(f"settings-{mode}", "other_tps", f"transactions/s, no settings, {mode}", "", 0),
            Row(f"settings-{mode}", "tps", f"transactions/s, three settings, {mode}", "", 0),
            Row(f"settings-{mode}", "other_cpu_us", f"CPU per transaction, no settings, {mode}, µs", "", 2),
            Row(f"settings-{mode}", "cpu_us", f"CPU per transaction, three settings, {mode}, µs", "", 2),
            Row(f"settings-{mode}", "cpu_ratio", f"CPU with three settings : without, {mode}", "", 3, most=1.05),
        )
    ),
    Row("settings-turns", "same_tps", "transactions/s, two clients in turn, same TimeZone", "pgbouncer", 0),
    Row("settings-turns", "tps", "transactions/s, different TimeZone", "pgbouncer", 0),
    Row("settings-turns", "ratio", "different : same", "pgbouncer", 2),
    Row("settings-turns", "same_cpu_us", "CPU per transaction, same TimeZone, µs", "pgbouncer", 1),
    Row("settings-turns", "cpu_us", "CPU per transaction, different TimeZone, µs", "pgbouncer", 1),
    *(
        row
        for mode in ("simple", "prepared")
        for row in (
            Row(f"cache-hit-{mode}", "tps", f"answers from memory a second, {mode}", "direct", 0, least_ratio=1.8),
            Row(f"cache-hit-{mode}", "passed_tps", f"the same query passed through, a second, {mode}", "pgpool", 0),
            Row(f"cache-hit-{mode}", "cpu_us", f"CPU per hit, {mode}, µs", "pgpool", 2, most=8, unit="µs"),
            Row(f"cache-hit-{mode}", "passed_cpu_us", f"CPU per query passed through, {mode}, µs", "pgpool", 2),
            Row(f"cache-hit-{mode}", "cpu_ratio", f"CPU of a hit : passed through, {mode}", "", 2, most=0.6),
        )
    ),
    Row("cache-wanted", "asked", "an aggregate of 50 ms that 200 clients want, kept for 1 s: the server is asked", "", 0, most=31),
    Row("cache-wanted", "tps", "answers of it a second", "", 0),
    *(
        row
        for mode in ("simple", "prepared")
        for row in (
            Row(f"cache-unmarked-{mode}", "other_cpu_us", f"CPU per unmarked query, no cache, {mode}, µs", "", 2),
            Row(f"cache-unmarked-{mode}", "cpu_us", f"CPU per unmarked query, with a cache, {mode}, µs", "", 2),
            Row(f"cache-unmarked-{mode}", "cpu_ratio", f"with a cache : without, unmarked, {mode}", "", 3, most=1.02),
        )
    ),
    Row("noisy", "growth", "p99 beside it : alone", "pgbouncer", 2, most=5),
    Row("observe-cost", "other_cpu_us", "CPU per transaction, nothing measured, prepared, µs", "", 2),
    Row("observe-cost", "cpu_us", "CPU per transaction, all measured, prepared, µs", "", 2),
    Row("observe-cost", "cpu_ratio", "measured : not", "", 3, most=1.06),
    Row("observe-metrics", "read_ms", "/metrics, 5,000 statements, 500 tenants, 200 pools, ms", "", 1, most=50, unit="ms"),
    Row("observe-metrics", "worst_ms", "the slowest of 20, ms", "", 1),
    Row("observe-metrics", "size_mb", "its size, MB", "", 2, most=5, unit="MB"),
    Row("observe-metrics", "alone_ms", "p99 of 16 clients, ms", "", 2),
    Row("observe-metrics", "beside_ms", "the same while it is read every second, ms", "", 2),
    Row("observe-metrics", "moves_ms", "the difference, ms", "", 2, most=1, unit="ms"),
    Row("observe-memory", "growth_mb", "memory for 5,000 statements of 500 tenants, MiB more", "", 1, most=64, unit="MiB"),
    Row("observe-memory", "told_mb", "what Howdah says of it, MiB", "", 1),
    Row("observe-totals", "statements", "mixed statements, against pg_stat_statements", "", 0),
    Row("observe-totals", "calls_differ", "calls that differ", "", 0, most=0),
    Row("observe-totals", "rows_differ", "rows that differ", "", 0, most=0),
    Row("observe-totals", "too_fast", "statements with a mean time below the server's", "", 0, most=0),
    Row("observe-quantiles", "times", "times of a statement, against a log of each", "", 0),
    Row("observe-quantiles", "error_percent", "largest error of p50 … p99.9, %", "", 2, most=2, unit="%"),
)


def summarise(samples):
    """{case: {target: [figures of each round]}} -> one dict for each row of the table."""
    summary = []
    for row in ROWS:
        by_target = samples.get(row.case)
        if by_target is None:
            continue
        cells = {}
        for target, rounds in by_target.items():
            values = [figures[row.metric] for figures in rounds if row.metric in figures]
            if values:
                cells[target] = {
                    "median": statistics.median(values), "min": min(values), "max": max(values), "n": len(values),
                }
        value = cells.get("howdah", {}).get("median")
        base = cells.get(row.yardstick, {}).get("median")
        ratio = value / base if value is not None and base else None
        summary.append({
            "case": row.case, "metric": row.metric, "title": row.title, "cells": cells,
            "yardstick": row.yardstick, "ratio": ratio, "must": row.must(), "met": row.verdict(value, ratio),
            "digits": row.digits,
        })
    return summary


def _cell(cell, digits):
    if not cell:
        return "-"
    text = f"{cell['median']:,.{digits}f}"
    if cell["n"] > 1:
        text += f" ({cell['min']:,.{digits}f}–{cell['max']:,.{digits}f})"
    return text


def table(summary):
    shown = [target for target in TARGETS if any(target in row["cells"] for row in summary)]
    lines = [
        "| case | " + " | ".join(shown) + " | ratio | must | |",
        "| --- |" + " ---: |" * (len(shown) + 1) + " --- | --- |",
    ]
    for row in summary:
        cells = [_cell(row["cells"].get(target), row["digits"]) for target in shown]
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f} × {row['yardstick']}"
        met = {True: "met", False: "**not met**", None: ""}[row["met"]]
        lines.append("| " + " | ".join([row["title"], *cells, ratio, row["must"], met]) + " |")
    return "\n".join(lines)
