"""Transactions that carry a tenant: what that costs, and what one tenant's load does to another."""

import glob
import os
import re
import time

import proc
from base import Case, pgbench_result
from proc import Failed
from servers import DATABASE, ORDERS_EACH, TENANT_USER, TENANTS, USER, client_environment

BY_HAND = """\\set aid random(1, 100000 * :scale)
BEGIN;
SELECT set_config('app.tenant_id', '{tenant}', true);
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
COMMIT;
"""
# Every order that is asked for belongs to the tenant.
OF_TENANT = "\\set id 4 * random(0, {most}) + {number}\nSELECT total FROM orders WHERE id = :id;\n"
FILTERED = (
    "\\set id 4 * random(0, {most}) + {number}\n"
    "SELECT total FROM orders_plain WHERE id = :id AND tenant_id = '{tenant}';\n"
)


class TenantCase(Case):
    """Runs as four processes of eight clients, for pgbench has one user per process."""

    tenancy = True

    def suits(self, target):
        return target.name == "howdah"

    def script(self, stem, text):
        """One file for each tenant."""
        return [
            self.server.place.write(
                f"{stem}-{tenant}.sql", text.format(tenant=tenant, number=number, most=ORDERS_EACH - 1)
            )
            for number, tenant in enumerate(TENANTS)
        ]

    def load(self, target, users, mode, scripts=None, seconds=None):
        """All four at the same time; transactions, transactions/s, the proxy's CPU in µs for each."""
        seconds = seconds or self.options.seconds
        jobs = []
        for number, user in enumerate(users):
            what = ["-f", scripts[number], "-s", str(self.server.scale)] if scripts else ["-S"]
            command = [f"{self.server.bin}/pgbench", "-n", *what, "-M", mode, "-c", "8", "-j", "1"]
            command += ["-T", str(seconds), DATABASE]
            jobs.append((command, {"env": client_environment(target.port, user)}))
        before = proc.cpu_seconds(target.pid)
        outputs = self.server.place.children.run_together(jobs, timeout=seconds + 60)
        spent = proc.cpu_seconds(target.pid) - before
        results = [pgbench_result(output) for output in outputs]
        done, tps = (sum(figures) for figures in zip(*results))
        return tps, spent * 1e6 / done


NOBODY = [USER] * len(TENANTS)
EVERYBODY = [f"{TENANT_USER}.{tenant}" for tenant in TENANTS]


class Compared(TenantCase):
    """A load with tenants and the one that it is compared with, one after the other in one sample."""

    injected = other = None  # texts of scripts; none: pgbench -S

    def __init__(self, server, options, mode):
        super().__init__(server, options)
        self.mode, self.prepares, self.turns = mode, mode == "prepared", 0

    def warm(self, target):
        stem = type(self).__name__.lower()
        texts = (self.injected, self.other)
        files = [self.script(f"{stem}-{n}", text) if text else None for n, text in enumerate(texts)]
        self.runs = [(EVERYBODY, self.mode, files[0]), (NOBODY, self.mode, files[1])]
        for run in self.runs:
            self.load(target, *run, seconds=1)

    def sample(self, target):
        """In turn one or the other is first."""
        order = (0, 1) if self.turns % 2 else (1, 0)
        self.turns += 1
        figures = {}
        for which in order:
            figures[which] = self.load(target, *self.runs[which])
        (tps, cpu), (other_tps, other_cpu) = figures[0], figures[1]
        return {
            "tps": tps, "other_tps": other_tps, "ratio": tps / other_tps,
            "cpu_us": cpu, "other_cpu_us": other_cpu, "cpu_added_us": cpu - other_cpu,
        }


class Plain(Compared):
    """With a tenant and without. The tables have no policy: the injection's cost alone."""


class Rls(Compared):
    """With a tenant on a table under a policy; without, on a table where the query says whose rows."""

    injected, other = OF_TENANT, FILTERED


class ByHand(Compared):
    """With a tenant, and the same by hand through the same Howdah."""

    # pgbench prepares a statement without letting its thread's other clients go on. If one waits there for a
    # connection that another one's open transaction holds, neither ends: so there is one for each client.
    pool = 32
    other = BY_HAND


class Noisy(Case):
    """A tenant of few small queries, alone and beside one that would use the pool five times over."""

    tenancy = True

    def suits(self, target):
        return target.pools

    def users(self, target):
        """PgBouncer has a pool for each user, so both are one user there."""
        return [f"{TENANT_USER}.{name}" for name in "ab"] if target.name == "howdah" else [USER, USER]

    def warm(self, target):
        sleep = self.server.place.write("sleep.sql", "SELECT pg_sleep(0.05);\n")
        self.noise = [f"{self.server.bin}/pgbench", "-n", "-f", sleep, "-c", "100", "-j", "1", "-T"]
        user = self.users(target)[0]
        self.server.place.children.run(
            [*self.noise, "1", DATABASE], timeout=60, env=client_environment(target.port, user)
        )

    def quiet(self, target, user, seconds):
        """Latencies in ms, in order. What pgbench logs with -R counts from when a transaction was due."""
        prefix = os.path.join(self.server.place.folder, "quiet")
        self.server.place.children.run(
            [f"{self.server.bin}/pgbench", "-n", "-S", "-M", "simple", "-c", "4", "-j", "1", "-R", "200",
             "-l", f"--log-prefix={prefix}", "-T", str(seconds), DATABASE],
            timeout=seconds + 60, env=client_environment(target.port, user),
        )
        latencies = []
        for path in glob.glob(f"{prefix}.*"):
            with open(path) as file:
                latencies += [int(line.split()[2]) / 1000 for line in file if line.split()[2].isdigit()]
            os.remove(path)
        if len(latencies) < 50:
            raise Failed(f"{len(latencies)} transactions in {seconds} s: too few for a p99")
        return sorted(latencies)

    def sample(self, target):
        seconds = max(self.options.seconds, 5)
        noisy, quiet = self.users(target)
        alone = self.p99(self.quiet(target, quiet, seconds))
        children = self.server.place.children
        log = os.path.join(self.server.place.folder, "noise.log")
        with open(log, "w+") as out:
            noise = children.spawn(
                [*self.noise, str(seconds + 60), DATABASE], stdout=out, stderr=out,
                env=client_environment(target.port, noisy),
            )
            try:
                time.sleep(0.5)
                beside = self.p99(self.quiet(target, quiet, seconds))
                if noise.poll() is not None:
                    out.seek(0)
                    raise Failed(f"the noise ended by itself: {re.sub(chr(10), ' | ', out.read()[-400:])}")
            finally:
                children.stop(noise)
        return {"quiet_ms": alone, "beside_ms": beside, "growth": beside / alone}

    @staticmethod
    def p99(latencies):
        return latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)]


CASES = {
    "tenant-simple": lambda server, options: Plain(server, options, "simple"),
    "tenant-prepared": lambda server, options: Plain(server, options, "prepared"),
    "tenant-rls": lambda server, options: Rls(server, options, "prepared"),
    "tenant-by-hand": lambda server, options: ByHand(server, options, "prepared"),
    "tenant-by-hand-simple": lambda server, options: ByHand(server, options, "simple"),
    "noisy": Noisy,
}
