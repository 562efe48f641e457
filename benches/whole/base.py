"""What every case is made of."""

import re

import proc
from proc import Failed
from servers import DATABASE, POOL, SCRAM_USER, USER, client_environment


class Options:
    """How long and how often."""

    def __init__(self, quick, seconds, rounds):
        self.quick = quick
        self.seconds = seconds or (2 if quick else 5)
        self.rounds = rounds or (1 if quick else 5)
        self.rest = 5 if quick else 20


class Case:
    scram = False  # clients log in with SCRAM instead of trust
    pool = POOL
    tenancy = False  # Howdah knows tenants
    cache = False  # answers may be kept
    extra = ""  # more of Howdah's configuration
    preload = False  # PostgreSQL has pg_stat_statements
    prepares = False
    most_rounds = 99
    fresh = False  # a fresh proxy process for every sample

    def __init__(self, server, options):
        self.server, self.options = server, options

    def suits(self, target):
        return target.name != "pgpool"

    def warm(self, target):
        """Opens the pool and fills the caches before the first sample."""

    def sample(self, target):
        raise NotImplementedError


def pgbench(case, target, arguments, seconds):
    """One run of pgbench -S; returns transactions, tps and the proxy's CPU seconds."""
    user = SCRAM_USER if case.scram else USER
    command = [f"{case.server.bin}/pgbench", "-n", "-S", *arguments, "-T", str(seconds), DATABASE]
    before = proc.cpu_seconds(target.pid) if target.pid else 0
    output = case.server.place.children.run(
        command, timeout=seconds + 60, env=client_environment(target.port, user)
    )
    spent = proc.cpu_seconds(target.pid) - before if target.pid else None
    return *pgbench_result(output), spent


def pgbench_result(output):
    """Transactions and transactions/s."""
    done = re.search(r"actually processed: (\d+)", output)
    tps = re.search(r"tps = ([\d.]+)", output)
    failed = re.search(r"failed transactions: (\d+)", output)
    if not done or not tps or int(done.group(1)) == 0 or (failed and int(failed.group(1))):
        raise Failed("pgbench says: " + " | ".join(output.strip().splitlines()[-6:]))
    return int(done.group(1)), float(tps.group(1))
