"""What is measured. Each case takes one sample of one target and returns {metric: figure}."""

import time

import cache
import listen
import observe
import proc
import sessions
import tenants
import wire
from base import Case, pgbench
from proc import Failed, WrongUsage
from servers import DATABASE, USER, client_environment

IDLE_CLIENTS = 5000
STATEMENTS = 1_000_000
COPY_ROWS = 1_000_000
COPY_SQL = f"COPY (SELECT repeat('x', 1000) FROM generate_series(1, {COPY_ROWS})) TO STDOUT"
COPY_BYTES = COPY_ROWS * 1001
ROW_BYTES = 900 * 1024 * 1024
ROW_SQL = f"SELECT repeat('x', {ROW_BYTES})"


class Throughput(Case):
    """32 clients, as fast as they can."""

    clients = 32

    def __init__(self, server, options, mode):
        super().__init__(server, options)
        self.mode, self.prepares = mode, mode == "prepared"

    def arguments(self):
        return ["-M", self.mode, "-c", str(self.clients), "-j", "2"]

    def warm(self, target):
        pgbench(self, target, self.arguments(), 1)

    def sample(self, target):
        done, tps, spent = pgbench(self, target, self.arguments(), self.options.seconds)
        figures = {"tps": tps, "latency_ms": 1000 * self.clients / tps}
        if spent is not None:
            figures["cpu_us"] = spent * 1e6 / done
        return figures


class Latency(Throughput):
    """One client: what a round trip costs."""

    clients = 1

    def arguments(self):
        return ["-M", self.mode, "-c", "1", "-j", "1"]

    def sample(self, target):
        _, tps, _ = pgbench(self, target, self.arguments(), min(self.options.seconds, 3))
        return {"latency_ms": 1000 / tps}


class Connect(Case):
    """Connect, log in, one query, close; four clients at a time.

    With SCRAM the clients are slow (they compute PBKDF2), so the proxy works from cold caches and
    wakes up for every message: that figure holds more than the cost of the login alone.
    """

    def __init__(self, server, options, scram):
        super().__init__(server, options)
        self.scram = scram

    def warm(self, target):
        pgbench(self, target, ["-C", "-M", "simple", "-c", "4", "-j", "2"], 1)

    def sample(self, target):
        arguments = ["-C", "-M", "simple", "-c", "4", "-j", "2"]
        done, tps, spent = pgbench(self, target, arguments, min(self.options.seconds, 3))
        figures = {"connects_s": tps}
        if spent is not None:
            figures["cpu_us"] = spent * 1e6 / done
        return figures


class Idle(Case):
    """Many clients that log in, run one query and rest."""

    fresh = True
    most_rounds = 2

    def suits(self, target):
        return target.pools

    def warm(self, target):
        wire.close(wire.open_clients(target.port, USER, DATABASE, 50))
        time.sleep(0.5)

    def sample(self, target):
        limit = proc.raise_open_files(IDLE_CLIENTS + 200)
        if limit < IDLE_CLIENTS + 200:
            raise Failed(f"{IDLE_CLIENTS} clients need more open files than {limit}")
        before = proc.memory_kib(target.pid, "VmRSS")
        clients = wire.open_clients(target.port, USER, DATABASE, IDLE_CLIENTS)
        try:
            time.sleep(2)
            after = proc.memory_kib(target.pid, "VmRSS")
            started, spent = time.monotonic(), proc.cpu_seconds(target.pid)
            time.sleep(self.options.rest)
            spent = proc.cpu_seconds(target.pid) - spent
            rested = time.monotonic() - started
            gone = wire.disturbed(clients)
            if gone:
                raise Failed(f"{gone} of {IDLE_CLIENTS} resting clients were closed or disturbed")
            wire.ask(clients[:: IDLE_CLIENTS // 100])
        finally:
            wire.close(clients)
        return {"kib_per_client": (after - before) / IDLE_CLIENTS, "cpu_percent": 100 * spent / rested}


class Stream(Case):
    """A COPY of 1 GB in small rows, and a single row of 900 MB."""

    fresh = True
    most_rounds = 2

    def warm(self, target):
        wire.close(wire.open_clients(target.port, USER, DATABASE, 4))

    def sample(self, target):
        figures = {}
        for name, size, action in (("copy", COPY_BYTES, self.copy), ("row", ROW_BYTES, self.row)):
            if target.pid:
                proc.reset_peak(target.pid)
            started = time.monotonic()
            action(target)
            figures[f"{name}_mb_s"] = size / 1e6 / (time.monotonic() - started)
            if target.pid:
                figures[f"{name}_peak_mb"] = proc.memory_kib(target.pid, "VmHWM") / 1024
        return figures

    def copy(self, target):
        with open("/dev/null", "wb") as sink:
            self.server.place.children.run(
                [f"{self.server.bin}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", COPY_SQL],
                timeout=180, stdout=sink, env=client_environment(target.port, USER),
            )

    def row(self, target):
        got = wire.discard(target.port, USER, DATABASE, ROW_SQL)
        if got < ROW_BYTES:
            raise Failed(f"the row had {got} bytes instead of {ROW_BYTES}")


class Statements(Case):
    """A million distinct prepared statements, each closed after one use: what is left in memory."""

    fresh = True
    most_rounds = 1

    def suits(self, target):
        return target.pools and target.name == "howdah"

    def warm(self, target):
        wire.close(wire.open_clients(target.port, USER, DATABASE, 4))

    def sample(self, target):
        wire.prepare_many(target.port, USER, DATABASE, STATEMENTS // 10)
        before = proc.memory_kib(target.pid, "VmRSS")
        started = time.monotonic()
        wire.prepare_many(target.port, USER, DATABASE, STATEMENTS)
        rate = STATEMENTS / (time.monotonic() - started)
        after = proc.memory_kib(target.pid, "VmRSS")
        return {"growth_mb": (after - before) / 1024, "per_second": rate}


CASES = {
    "simple32": lambda server, options: Throughput(server, options, "simple"),
    "prepared32": lambda server, options: Throughput(server, options, "prepared"),
    "latency1-simple": lambda server, options: Latency(server, options, "simple"),
    "latency1-prepared": lambda server, options: Latency(server, options, "prepared"),
    "connect-trust": lambda server, options: Connect(server, options, scram=False),
    "connect-scram": lambda server, options: Connect(server, options, scram=True),
    "idle5000": Idle,
    "stream": Stream,
    "statements": Statements,
    **tenants.CASES,
    **listen.CASES,
    **sessions.CASES,
    **cache.CASES,
    **observe.CASES,
}
GROUPS = {
    "latency1": ["latency1-simple", "latency1-prepared"],
    "connect": ["connect-trust", "connect-scram"],
    "tenants": list(tenants.CASES),
    "sessions": list(sessions.CASES),
    "cache": list(cache.CASES),
    "observe": list(observe.CASES),
}


def chosen(words):
    """The cases that --only names, in their usual order."""
    if not words:
        return list(CASES)
    wanted = set()
    for word in words.split(","):
        names = GROUPS.get(word.strip(), [word.strip()])
        unknown = [name for name in names if name not in CASES]
        if unknown:
            raise WrongUsage(f"no case {unknown[0]}; there are: " + ", ".join([*CASES, *GROUPS]))
        wanted.update(names)
    return [name for name in CASES if name in wanted]
