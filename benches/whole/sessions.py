"""Sessions with settings of their own: what they cost, and what it costs that they differ."""

import time

import proc
import wire
from base import Case, pgbench_result
from proc import Failed
from servers import DATABASE, USER, client_environment

# As drivers and frameworks set at connect.
SETTINGS = ("statement_timeout = '30s'", "search_path = public, pg_catalog", "application_name = 'mine'")
# One that PgBouncer tracks too.
ZONES = ("Europe/Berlin", "Asia/Tokyo")


def script(settings):
    """For pgbench: each client sets these in its first transaction, by a variable that the command line makes."""
    sets = "\n".join(f"SET {setting};" for setting in settings)
    return (
        f"\\if :fresh\n{sets}\n\\set fresh 0\n\\endif\n"
        "\\set aid random(1, 100000 * :scale)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
    )


class Kept(Case):
    """Clients that set three settings at connect, against clients that set none: the same pgbench SELECT."""

    def __init__(self, server, options, mode):
        super().__init__(server, options)
        self.mode, self.prepares, self.turns = mode, mode == "prepared", 0

    def suits(self, target):
        return target.name == "howdah"

    def warm(self, target):
        stem = f"sessions-{self.mode}"
        self.scripts = [
            self.server.place.write(f"{stem}-{n}.sql", script(settings)) for n, settings in enumerate(((), SETTINGS))
        ]
        for which in (0, 1):
            self.load(target, which, 1)

    def load(self, target, which, seconds):
        """Transactions/s and the proxy's CPU in µs for each."""
        command = [f"{self.server.bin}/pgbench", "-n", "-f", self.scripts[which], "-D", "fresh=1"]
        command += ["-s", str(self.server.scale), "-M", self.mode, "-c", "32", "-j", "2", "-T", str(seconds), DATABASE]
        before = proc.cpu_seconds(target.pid)
        output = self.server.place.children.run(
            command, timeout=seconds + 60, env=client_environment(target.port, USER)
        )
        spent = proc.cpu_seconds(target.pid) - before
        done, tps = pgbench_result(output)
        return tps, spent * 1e6 / done

    def sample(self, target):
        """Four short runs of each in turn, so that what the machine does meanwhile meets both."""
        figures, part = {0: [], 1: []}, max(1, self.options.seconds // 2)
        for turn in range(4):
            for which in ((0, 1), (1, 0))[(turn + self.turns) % 2]:
                figures[which].append(self.load(target, which, part))
        self.turns += 1
        (none, none_cpu), (three, three_cpu) = ([sum(x) / len(x) for x in zip(*figures[w])] for w in (0, 1))
        return {
            "other_tps": none, "tps": three, "other_cpu_us": none_cpu, "cpu_us": three_cpu,
            "cpu_ratio": three_cpu / none_cpu,
        }


class Turns(Case):
    """Two clients that take turns on one server connection, with the same settings and with different ones."""

    pool = 1

    def suits(self, target):
        return target.pools

    def rate(self, target, zones, seconds):
        """Transactions/s of two clients, one after the other; each sees its own setting at the end."""
        clients = wire.open_clients(target.port, USER, DATABASE, 2)
        try:
            for sock, zone in zip(clients, zones):
                wire.send_query(sock, f"SET TimeZone = '{zone}'")
                wire.until_ready(sock)
            # A few turns first: what the SETs have set off is over then.
            for _ in range(20):
                self.turn(clients)
            before, done, started = proc.cpu_seconds(target.pid), 0, time.monotonic()
            while time.monotonic() - started < seconds:
                for _ in range(50):
                    self.turn(clients)
                done += 100
            took = time.monotonic() - started
            spent = proc.cpu_seconds(target.pid) - before
            for sock, zone in zip(clients, zones):
                wire.send_query(sock, f"SELECT 1 WHERE current_setting('TimeZone') = '{zone}'")
                if wire.until_ready(sock) != 1:
                    raise Failed(f"a client has lost its setting {zone}")
        finally:
            wire.close(clients)
        return done / took, spent * 1e6 / done

    @staticmethod
    def turn(clients):
        for sock in clients:
            wire.send_query(sock, "SELECT 1")
            if wire.until_ready(sock) != 1:
                raise Failed("SELECT 1 did not answer with one row")

    def warm(self, target):
        self.rate(target, ZONES, 0.5)

    def sample(self, target):
        part = max(1, self.options.seconds // 2)
        same, different = [], []
        for _ in range(2):
            same.append(self.rate(target, (ZONES[0], ZONES[0]), part))
            different.append(self.rate(target, ZONES, part))
        (same_tps, same_cpu), (tps, cpu) = ([sum(x) / len(x) for x in zip(*runs)] for runs in (same, different))
        return {"same_tps": same_tps, "tps": tps, "ratio": tps / same_tps, "same_cpu_us": same_cpu, "cpu_us": cpu}


CASES = {
    "settings-simple": lambda server, options: Kept(server, options, "simple"),
    "settings-prepared": lambda server, options: Kept(server, options, "prepared"),
    "settings-turns": Turns,
}
