"""Marked reads from memory: what a hit costs, how many ask the server, and what the others pay for it."""

import time

import proc
import servers
from base import Case, pgbench_result
from proc import Failed
from servers import DATABASE, USER, client_environment

# So many answers are asked for again and again.
KEYS = 1_000
SELECT = "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
PLAIN = f"\\set aid random(1, {KEYS})\n{SELECT}"
MARKED = f"\\set aid random(1, {KEYS})\n/* howdah.cache='1h' */ {SELECT}"
# pgpool-II keeps every answer, and drops those of texts with this comment.
PASSED = f"\\set aid random(1, {KEYS})\n/*NO QUERY CACHE*/ {SELECT}"
# No index on `n`, so that each run is one scan, which the server counts.
COUNTED = (
    "CREATE TABLE counted AS SELECT n FROM generate_series(1, 1000) n",
    "GRANT SELECT ON counted TO PUBLIC",
)
SLOW = (
    "/* howdah.cache='1s', howdah.cache_volatile='yes' */ "
    "SELECT count(*), (SELECT pg_sleep(0.05)::text) FROM counted;\n"
)
WANTERS = 200


class CacheCase(Case):
    cache = True

    def write(self, name, text):
        return self.server.place.write(name, text)

    def load(self, target, script, mode, seconds, clients=32):
        """Transactions, transactions/s and the proxy's CPU in µs for each."""
        command = [f"{self.server.bin}/pgbench", "-n", "-f", script, "-M", mode]
        command += ["-c", str(clients), "-j", "2", "-T", str(seconds), DATABASE]
        before = proc.cpu_seconds(target.pid) if target.pid else 0
        output = self.server.place.children.run(
            command, timeout=seconds + 60, env=client_environment(target.port, USER)
        )
        spent = proc.cpu_seconds(target.pid) - before if target.pid else 0
        done, tps = pgbench_result(output)
        return done, tps, spent * 1e6 / done


class Hit(CacheCase):
    """The same primary-key SELECT from memory and from the server, in turn."""

    def __init__(self, server, options, mode):
        super().__init__(server, options)
        self.mode, self.prepares, self.turns = mode, mode == "prepared", 0

    def suits(self, target):
        return target.name in ("howdah", "pgpool", "direct")

    def warm(self, target):
        names = (("plain", PLAIN), ("marked", MARKED), ("passed", PASSED))
        self.scripts = {name: self.write(f"cache-{name}.sql", text) for name, text in names}
        for name in self.kinds(target):
            self.load(target, self.scripts[name], self.mode, 3)

    @staticmethod
    def kinds(target):
        """From memory, and from the server."""
        return {"howdah": ("marked", "plain"), "pgpool": ("plain", "passed"), "direct": ("plain",)}[target.name]

    def sample(self, target):
        kinds, figures = self.kinds(target), {}
        part = max(1, self.options.seconds // 2)
        for turn in range(4):
            for kind in kinds if (turn + self.turns) % 2 else reversed(kinds):
                before = hits(target)
                run = self.load(target, self.scripts[kind], self.mode, part)
                if kind == "marked" and hits(target) - before < 0.99 * run[0]:
                    raise Failed(f"only {hits(target) - before} of {run[0]} were hits")
                figures.setdefault(kind, []).append(run)
        self.turns += 1
        means = [[sum(x) / len(x) for x in zip(*figures[kind])] for kind in kinds]
        found = {"tps": means[0][1]}
        if len(means) == 2:
            found |= {
                "cpu_us": means[0][2], "passed_tps": means[1][1], "passed_cpu_us": means[1][2],
                "cpu_ratio": means[0][2] / means[1][2],
            }
        return found


class Wanted(CacheCase):
    """An aggregate of 50 ms that 200 clients want all the time, kept for a second."""

    most_rounds = 1
    pool = 20

    def suits(self, target):
        return target.name == "howdah"

    def warm(self, target):
        for statement in ("DROP TABLE IF EXISTS counted", *COUNTED):
            self.server.psql(DATABASE, statement)
        self.script = self.write("cache-slow.sql", SLOW)
        # Its text is known from then on.
        self.load(target, self.script, "simple", 1, 4)

    def scans(self):
        """The server's processes that rest tell of their scans after ten seconds at the latest."""
        time.sleep(11)
        return int(self.server.ask(DATABASE, "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'counted'"))

    def sample(self, target):
        seconds = 5 if self.options.quick else 30
        before = self.scans()
        done, tps, _ = self.load(target, self.script, "simple", seconds, WANTERS)
        return {"asked": self.scans() - before, "tps": tps, "seconds": seconds}


class Unmarked(CacheCase):
    """Statements that nobody marked: with a cache in the configuration, and without."""

    def __init__(self, server, options, mode):
        super().__init__(server, options)
        self.mode, self.prepares, self.turns, self.other = mode, mode == "prepared", 0, None

    def suits(self, target):
        return target.name == "howdah"

    def warm(self, target):
        self.script = self.write("cache-plain.sql", PLAIN)
        if self.other is None:
            # It lives as long as the benchmark: a process that rests.
            self.other = servers.Howdah(target.place, target.server, target.binary, target.verifier)
            self.other.start(Case(self.server, self.options))
        for one in (target, self.other):
            self.load(one, self.script, self.mode, 1)

    def sample(self, target):
        both, figures = (target, self.other), {0: [], 1: []}
        part = max(1, self.options.seconds // 2)
        for turn in range(4):
            for which in ((0, 1), (1, 0))[(turn + self.turns) % 2]:
                figures[which].append(self.load(both[which], self.script, self.mode, part))
        self.turns += 1
        means = [[sum(x) / len(x) for x in zip(*figures[which])] for which in (0, 1)]
        return {
            "tps": means[0][1], "cpu_us": means[0][2], "other_tps": means[1][1], "other_cpu_us": means[1][2],
            "cpu_ratio": means[0][2] / means[1][2],
        }


def hits(target):
    """Answers from memory so far, as the proxy counts them."""
    if target.name != "howdah":
        return 0
    lines = target.metrics().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("howdah_cache_hits_total"))


CASES = {
    "cache-hit-simple": lambda server, options: Hit(server, options, "simple"),
    "cache-hit-prepared": lambda server, options: Hit(server, options, "prepared"),
    "cache-wanted": Wanted,
    "cache-unmarked-simple": lambda server, options: Unmarked(server, options, "simple"),
    "cache-unmarked-prepared": lambda server, options: Unmarked(server, options, "prepared"),
}
