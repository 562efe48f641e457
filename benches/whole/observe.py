"""What every statement costs to be told of, and whether what is told is right."""

import csv
import glob
import io
import json
import math
import os
import re
import statistics
import threading
import time
import urllib.request

import proc
import servers
import wire
from base import Case, pgbench_result
from proc import Failed
from servers import DATABASE, TENANT_USER, USER, client_environment

STATEMENTS, TENANTS, POOLS = 5_000, 500, 200
DATABASES = 20
# One text of each kind that an application sends, each with a word by which both sides are found again.
MIX = (
    "SELECT abalance AS m0 FROM pgbench_accounts WHERE aid = :aid;",
    "UPDATE pgbench_accounts AS m1 SET abalance = abalance + :delta WHERE aid = :aid;",
    "SELECT aid AS m2, bid FROM pgbench_accounts WHERE aid BETWEEN :aid AND :aid + 9;",
    "INSERT INTO pgbench_history AS m3 (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, now());",
    "SELECT count(*) AS m4 FROM pgbench_tellers t JOIN pgbench_branches b USING (bid) WHERE b.bid = :bid;",
    "SELECT aid AS m5 FROM pgbench_accounts WHERE aid IN (:aid, :delta, :tid);",
)
VARIABLES = """\\set aid random(1, 100000 * :scale)
\\set bid random(1, :scale)
\\set tid random(1, 10 * :scale)
\\set delta random(1, 5000)
"""
CLIENTS = 32
QUANTILES = (("p50_time", 0.5), ("p90_time", 0.9), ("p95_time", 0.95), ("p99_time", 0.99), ("p999_time", 0.999))


class Observed(Case):
    def suits(self, target):
        return target.name == "howdah"

    def run(self, target, arguments, seconds, user=USER):
        """Output of pgbench."""
        return self.server.place.children.run(
            [f"{self.server.bin}/pgbench", "-n", *arguments, DATABASE],
            timeout=seconds + 600, env=client_environment(target.port, user),
        )

    def queries(self, target):
        """The rows of SHOW QUERIES."""
        text = self.server.place.children.run(
            [f"{self.server.bin}/psql", "-X", "--csv", "-v", "ON_ERROR_STOP=1", "-c", "SHOW QUERIES LIMIT 10000", "howdah"],
            timeout=60, env=client_environment(target.port, USER),
        )
        return list(csv.DictReader(io.StringIO(text)))

    def logged(self, target, arguments, seconds, user=USER):
        """Latencies that pgbench logged, in ms and in order."""
        prefix = os.path.join(self.server.place.folder, "observed")
        self.run(target, [*arguments, "-l", f"--log-prefix={prefix}", "-T", str(seconds)], seconds, user)
        latencies = []
        for path in glob.glob(f"{prefix}.*"):
            with open(path) as file:
                latencies += [int(line.split()[2]) / 1000 for line in file if line.split()[2].isdigit()]
            os.remove(path)
        if len(latencies) < 100:
            raise Failed(f"only {len(latencies)} transactions in {seconds} s")
        return sorted(latencies)


def quantile(ordered, part):
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


class Cost(Observed):
    """The same load through a Howdah that measures and through one with `[observe] enabled = false`."""

    prepares = True

    def __init__(self, server, options):
        super().__init__(server, options)
        self.other, self.turns = None, 0

    def warm(self, target):
        if self.other is None:
            # It lives as long as the benchmark: a process that rests.
            self.other = servers.Howdah(target.place, target.server, target.binary, target.verifier)
            silent = Case(self.server, self.options)
            silent.extra = "[observe]\nenabled = false\n"
            self.other.start(silent)
        for one in (target, self.other):
            self.load(one, 1)

    def load(self, target, seconds):
        arguments = ["-S", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds)]
        before = proc.cpu_seconds(target.pid)
        output = self.run(target, arguments, seconds)
        spent = proc.cpu_seconds(target.pid) - before
        done, tps = pgbench_result(output)
        return tps, spent * 1e6 / done

    def sample(self, target):
        both, figures = (target, self.other), {0: [], 1: []}
        part = max(1, self.options.seconds // 2)
        for turn in range(4):
            for which in ((0, 1), (1, 0))[(turn + self.turns) % 2]:
                figures[which].append(self.load(both[which], part))
        self.turns += 1
        (tps, cpu), (other_tps, other_cpu) = ([sum(x) / len(x) for x in zip(*figures[w])] for w in (0, 1))
        return {
            "tps": tps, "other_tps": other_tps, "cpu_us": cpu, "other_cpu_us": other_cpu,
            "cpu_ratio": cpu / other_cpu,
        }


class Scrape(Observed):
    """`/metrics` of a large installation, and what its clients notice of somebody who reads it every second."""

    fresh = True
    tenancy = True
    most_rounds = 2

    def __init__(self, server, options):
        super().__init__(server, options)
        login = lambda n: f'[users.u{n}]\ntenants = "*"\n'
        database = lambda n: (
            f'[databases.d{n}]\nhost = "127.0.0.1"\nport = {server.port}\ndbname = "{DATABASE}"\n'
            f'user = "{USER}"\ndefault_pool_size = 1\n'
        )
        users = range(POOLS // DATABASES)
        self.extra = "".join([*map(login, users), *map(database, range(DATABASES))])

    def warm(self, target):
        """Each pool runs its part of the statements for some of the tenants."""
        each = STATEMENTS // POOLS
        for pool in range(POOLS):
            # Each database has a SELECT 1 besides, and one has pgbench's.
            others = 5 if pool == 0 else int(pool < DATABASES)
            texts = [f"SELECT {n} AS s_{pool}_{n}" for n in range(each - others)]
            for turn in range(3):
                tenant = (3 * pool + turn) % TENANTS
                user = f"u{pool // DATABASES}.t{tenant}"
                clients = wire.open_clients(target.port, user, f"d{pool % DATABASES}", 1)
                wire.send_query(clients[0], "; ".join(texts))
                wire.until_ready(clients[0])
                wire.close(clients)

    def read(self, target):
        """Seconds and bytes of one reading."""
        started = time.monotonic()
        with urllib.request.urlopen(f"http://127.0.0.1:{target.http_port}/metrics", timeout=30) as answer:
            size = len(answer.read())
        return time.monotonic() - started, size

    def p99(self, target, seconds, scraped):
        arguments = ["-S", "-M", "prepared", "-c", "16", "-j", "1", "-R", "1500"]
        done = threading.Event()

        def scrape():
            while not done.wait(1):
                self.read(target)

        thread = threading.Thread(target=scrape, daemon=True)
        if scraped:
            thread.start()
        try:
            return quantile(self.logged(target, arguments, seconds), 0.99)
        finally:
            done.set()
            if scraped:
                thread.join()

    def sample(self, target):
        kept = len([row for row in self.queries(target) if row["query"] != "other"])
        if kept < STATEMENTS * 0.99:
            raise Failed(f"only {kept} of {STATEMENTS} statements are known")
        metrics = target.metrics()
        pools = metrics.count("\nhowdah_pool_up{")
        tenants = metrics.count("\nhowdah_tenant_statements_total{")
        if pools < POOLS or tenants < TENANTS * 0.9:
            raise Failed(f"only {pools} pools and {tenants} tenants in /metrics")
        readings = [self.read(target) for _ in range(20)]
        seconds = max(self.options.seconds, 3)
        alone, beside = [], []
        for _ in range(3):
            alone.append(self.p99(target, seconds, False))
            beside.append(self.p99(target, seconds, True))
        return {
            "read_ms": statistics.median(s for s, _ in readings) * 1000, "worst_ms": max(readings)[0] * 1000,
            "size_mb": readings[-1][1] / 1e6, "alone_ms": statistics.median(alone),
            "beside_ms": statistics.median(beside),
            "moves_ms": statistics.median(beside) - statistics.median(alone),
        }


class Memory(Observed):
    """As many statements as are kept, each by as many tenants as are."""

    fresh = True
    tenancy = True
    most_rounds = 1

    def login(self, target, tenant):
        return wire.open_clients(target.port, f"{TENANT_USER}.t{tenant}", DATABASE, 1)

    def warm(self, target):
        # Whatever else a tenant takes is there before.
        for tenant in range(TENANTS):
            wire.close(self.login(target, tenant))

    def sample(self, target):
        tenants = TENANTS // 10 if self.options.quick else TENANTS
        batches = [
            "; ".join(f"SELECT 1 AS s_{n}" for n in range(first, first + 100)) for first in range(0, STATEMENTS, 100)
        ]
        before = proc.memory_kib(target.pid, "VmRSS")
        for tenant in range(tenants):
            clients = self.login(target, tenant)
            for batch in batches:
                wire.send_query(clients[0], batch)
                if wire.until_ready(clients[0]) != 100:
                    raise Failed("a statement did not answer")
            wire.close(clients)
        rows = self.queries(target)
        calls = sum(int(row["calls"]) for row in rows)
        if calls < tenants * STATEMENTS:
            raise Failed(f"{calls} calls were counted of {tenants * STATEMENTS}")
        growth = proc.memory_kib(target.pid, "VmRSS") - before
        told = re.search(r"^howdah_observe_memory_bytes (\S+)", target.metrics(), re.M)
        return {"growth_mb": growth / 1024, "told_mb": float(told.group(1)) / 1048576, "tenants": tenants}


class Totals(Observed):
    """A million mixed statements, simple and prepared, counted by Howdah and by pg_stat_statements."""

    fresh = True
    most_rounds = 1
    preload = True

    def warm(self, target):
        for statement in (
            "CREATE EXTENSION IF NOT EXISTS pg_stat_statements",
            f"ALTER ROLE {USER} SET pg_stat_statements.track = 'top'",
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {USER}",
        ):
            self.server.psql(DATABASE, statement)
        self.script = self.server.place.write("observed-mix.sql", VARIABLES + "\n".join(MIX) + "\n")

    def sample(self, target):
        self.server.psql(DATABASE, "SELECT pg_stat_statements_reset()")
        statements = 60_000 if self.options.quick else 1_000_000
        each = math.ceil(statements / len(MIX) / CLIENTS / 2)
        for mode in ("simple", "prepared"):
            arguments = ["-f", self.script, "-D", f"scale={self.server.scale}", "-M", mode]
            self.run(target, [*arguments, "-c", str(CLIENTS), "-j", "2", "-t", str(each)], 600)
        ours, theirs = {}, {}
        for row in self.queries(target):
            self.add(ours, row["query"], row["calls"], row["rows"], row["total_time"])
        text = self.server.ask(
            DATABASE,
            "SELECT coalesce(json_agg(json_build_array(query, calls, rows, total_exec_time)), '[]') "
            "FROM pg_stat_statements",
        )
        for row in json.loads(text):
            self.add(theirs, *row)
        if len(theirs) != len(MIX):
            raise Failed(f"pg_stat_statements has {len(theirs)} of {len(MIX)} statements")
        none = (0, 0, 0.0)
        pairs = [(ours.get(word, none), theirs[word]) for word in theirs]
        return {
            "statements": sum(own[0] for own, _ in pairs),
            "calls_differ": sum(abs(own[0] - other[0]) for own, other in pairs),
            "rows_differ": sum(abs(own[1] - other[1]) for own, other in pairs),
            "too_fast": sum(own[0] == 0 or own[2] / own[0] < other[2] / other[0] for own, other in pairs),
        }

    @staticmethod
    def add(found, text, calls, rows, total):
        word = re.search(r"\bm\d\b", text)
        if word:
            before = found.get(word.group(), (0, 0, 0.0))
            found[word.group()] = tuple(map(sum, zip(before, (int(calls), int(rows), float(total)))))


class Quantiles(Observed):
    """What SHOW QUERIES says of a statement that takes long and short, against each of its times in pgbench's log.

    The times are so long that the way between the client and Howdah is nothing beside them.
    """

    fresh = True
    most_rounds = 1
    pool = 100

    def warm(self, target):
        text = "\\set ms random_exponential(50, 600, 3)\nSELECT pg_sleep(:ms / 1000.0) AS q5;\n"
        self.script = self.server.place.write("observed-sleep.sql", text)
        # All connections are open before it counts.
        self.run(target, ["-f", self.script, "-c", str(self.pool), "-j", "2", "-t", "1"], 60)
        self.server.place.children.run(
            [f"{self.server.bin}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", "RESET QUERIES", "howdah"],
            timeout=60, env=client_environment(target.port, USER),
        )

    def sample(self, target):
        seconds = 5 if self.options.quick else 30
        log = self.logged(target, ["-f", self.script, "-c", str(self.pool), "-j", "2"], seconds)
        row = next((row for row in self.queries(target) if re.search(r"\bq5\b", row["query"])), None)
        if row is None or int(row["calls"]) != len(log):
            raise Failed(f"{row and row['calls']} calls of {len(log)} were counted")
        exact = {name: quantile(log, part) for name, part in QUANTILES}
        errors = {name: abs(float(row[name]) / exact[name] - 1) * 100 for name, _ in QUANTILES}
        return {"error_percent": max(errors.values()), "times": len(log)} | {
            f"error_{name.removesuffix('_time')}": error for name, error in errors.items()
        }


CASES = {
    "observe-cost": Cost,
    "observe-metrics": Scrape,
    "observe-memory": Memory,
    "observe-totals": Totals,
    "observe-quantiles": Quantiles,
}
