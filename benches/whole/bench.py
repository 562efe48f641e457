#!/usr/bin/env python3
"""Howdah as a whole against HAProxy, PgBouncer and no proxy at all, in front of one PostgreSQL.

Starts everything itself on loopback in a temporary folder and leaves nothing behind.
Exit code: 0 measured (whatever the figures are), 1 something could not run, 2 wrong usage.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time

import base
import cases
import proc
import report
import servers
from proc import Failed, WrongUsage

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILT = os.path.join(REPOSITORY, "target", "release", "howdah")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--howdah", metavar="PATH", help="default: target/release/howdah, else the PATH")
    parser.add_argument("--haproxy", metavar="PATH")
    parser.add_argument("--pgbouncer", metavar="PATH")
    parser.add_argument("--pgpool", metavar="PATH", help="for the cases of the cache")
    parser.add_argument("--pg-bin", metavar="FOLDER", help="where initdb, postgres, psql and pgbench are")
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 5")
    parser.add_argument("--seconds", type=int, metavar="N", help="of one run of pgbench; default: 5")
    parser.add_argument("--only", metavar="NAME,…", help=", ".join([*cases.CASES, *cases.GROUPS]))
    parser.add_argument("--targets", metavar="NAME,…", help="default: " + ",".join(report.TARGETS))
    parser.add_argument("--scale", type=int, default=10, help="of pgbench; default: 10")
    parser.add_argument("--workers", type=int, metavar="N", help="Howdah's worker_threads; default: its own choice")
    parser.add_argument("--quick", action="store_true", help="1 round of 2 s: does it run at all?")
    parser.add_argument("--json", metavar="FILE", help="every figure of every round")
    return parser.parse_args()


class Run:
    """The state of one benchmark run."""

    def __init__(self, given, children, folder):
        self.given = given
        self.options = base.Options(given.quick, given.seconds, given.rounds)
        self.samples, self.notes, self.problems = {}, [], []
        self.place = servers.Place(folder, children, proc.service_user())
        self.server = servers.Postgres(self.place, servers.find_postgres(given.pg_bin))
        self.verifier = servers.scram_verifier(servers.PASSWORD)
        self.targets = self.find_targets()

    def find_targets(self):
        given = self.given
        wanted = given.targets.split(",") if given.targets else list(report.TARGETS)
        unknown = [name for name in wanted if name not in report.TARGETS]
        if unknown:
            raise WrongUsage(f"no target {unknown[0]}; there are: " + ", ".join(report.TARGETS))
        servers.Howdah.workers = given.workers
        kinds = (
            (servers.Howdah, given.howdah, (BUILT, "howdah")),
            (servers.Haproxy, given.haproxy, ("haproxy", "/usr/sbin/haproxy")),
            (servers.Pgbouncer, given.pgbouncer, ("pgbouncer", "/usr/sbin/pgbouncer")),
            (servers.Pgpool, given.pgpool, ("pgpool", "/usr/sbin/pgpool")),
        )
        found = []
        for kind, path, names in kinds:
            if kind.name not in wanted:
                continue
            binary = servers.find_tool(path, *names)
            if binary:
                found.append(kind(self.place, self.server, binary, self.verifier))
            elif kind in (servers.Howdah, servers.Pgpool) and not path:
                self.notes.append(f"{kind.name}: no binary found, nothing measured")
            else:
                self.problem(f"{kind.name}: no program {path or names[0]}")
        if "direct" in wanted:
            found.append(servers.Direct(self.server))
        return found

    def problem(self, text):
        self.problems.append(text)
        print(f"  {text}", file=sys.stderr, flush=True)

    def measure(self, name):
        case = cases.CASES[name](self.server, self.options)
        samples = self.samples.setdefault(name, {})
        targets = [target for target in self.targets if self.suits(case, name, target)]
        rounds = min(self.options.rounds, case.most_rounds)
        try:
            if not case.fresh:
                targets = [target for target in targets if self.ready(case, name, target)]
            for turn in range(rounds):
                shift = turn % len(targets) if targets else 0
                for target in targets[shift:] + targets[:shift]:
                    self.sample(case, name, target, samples, turn)
                print(f"{name}: round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
        finally:
            for target in targets:
                target.stop()

    def suits(self, case, name, target):
        if not case.suits(target):
            return False
        if case.prepares and not target.can_prepare():
            self.notes.append(
                f"{target.name} {target.version} knows no prepared statements in transaction mode: not in {name}"
            )
            return False
        return True

    def ready(self, case, name, target):
        try:
            target.start(case)
            case.warm(target)
            return True
        except (Failed, OSError) as problem:
            self.problem(f"{name}, {target.name}: {self.cause(target, problem)}")
            target.stop()
            return False

    def cause(self, target, problem):
        """A proxy that ended by itself explains more than what its clients saw."""
        try:
            if target.pid:
                time.sleep(0.2)
                target.check()
        except Failed as better:
            return problem if "did not start" in str(problem) else f"{better}; {problem}"
        return problem

    def sample(self, case, name, target, samples, turn):
        if case.fresh and not self.ready(case, name, target):
            return
        try:
            figures = case.sample(target)
            target.check()
            samples.setdefault(target.name, []).append({"round": turn + 1, **figures})
        except (Failed, OSError) as problem:
            self.problem(f"{name}, {target.name}, round {turn + 1}: {self.cause(target, problem)}")
        finally:
            if case.fresh:
                target.stop()


def measured(run, names):
    """Runs the cases; returns what is worth keeping."""
    machine = proc.machine()
    if machine["load"] > 0.5:
        run.notes.append(f"the load was {machine['load']} at the start; the figures hold only on an idle machine")
    stolen, ticks = proc.stolen()
    started = time.monotonic()
    print("starting PostgreSQL", file=sys.stderr, flush=True)
    run.server.preload = any(getattr(cases.CASES[name], "preload", False) for name in names)
    run.server.start(run.given.scale, run.verifier)
    for name in names:
        run.measure(name)
    stolen_now, ticks_now = proc.stolen()
    machine["stolen_percent"] = round(100 * (stolen_now - stolen) / max(1, ticks_now - ticks), 1)
    return {
        "machine": machine,
        "versions": {"postgres": run.server.version}
        | {target.name: target.version for target in run.targets if target.name != "direct"},
        "settings": {
            "rounds": run.options.rounds, "seconds": run.options.seconds, "scale": run.given.scale,
            "pool": servers.POOL, "workers": run.given.workers, "took_s": round(time.monotonic() - started),
        },
        "samples": run.samples,
        "summary": report.summarise(run.samples),
        "notes": run.notes,
        "problems": run.problems,
    }


def show(result):
    machine, settings = result["machine"], result["settings"]
    print(f"{machine['date']}: {machine['cores']} cores ({machine['cpu']}), Linux {machine['kernel']}, "
          f"load {machine['load']} at the start, {machine['stolen_percent']} % stolen")
    print(", ".join(f"{name} {version}" for name, version in result["versions"].items()))
    print(f"pgbench -S, scale {settings['scale']}, pool of {settings['pool']}, loopback TCP; "
          f"medians of {settings['rounds']} alternating rounds of {settings['seconds']} s "
          f"(idle, stream: at most 2), min–max in brackets; {settings['took_s']} s in all")
    print()
    print(report.table(result["summary"]))
    for text in result["notes"]:
        print(f"\nNote: {text}.")
    for text in result["problems"]:
        print(f"\nCould not run: {text}")


def interrupt(_number, _frame):
    raise KeyboardInterrupt


def main():
    given = arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    proc.raise_open_files(2 * servers.MAX_CLIENTS)
    children = proc.Children()
    folder = tempfile.mkdtemp(prefix="howdah-bench-")
    os.chmod(folder, 0o711)
    try:
        names = cases.chosen(given.only)
        run = Run(given, children, folder)
        if run.place.user:
            run.place.hand_over(folder)
        result = measured(run, names)
        show(result)
        if given.json:
            with open(given.json, "w") as file:
                json.dump(result, file, indent=1, ensure_ascii=False)
                file.write("\n")
        return 1 if result["problems"] else 0
    except Failed as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2 if isinstance(problem, WrongUsage) else 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        children.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
