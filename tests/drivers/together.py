"""What the programs that act like frameworks share: many clients at once, each with state that is its own."""

import os
import threading
import traceback

import psycopg


def connect(**options):
    return psycopg.connect("", **options)


def check(condition, *what):
    if not condition:
        raise AssertionError(what)


def same(got, wanted):
    check(got == wanted, f"got {got!r}, wanted {wanted!r}")


def table(prefix):
    return f"{prefix}_{os.getpid()}"


def together(count, client):
    """Runs client(0) to client(count - 1) at the same time; the program fails when one of them does."""
    failures = []

    def guarded(number):
        try:
            client(number)
        except BaseException as error:  # reported below, from the main thread
            failures.append(f"client {number}: {error!r}\n{traceback.format_exc()}")

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit("\n".join(failures))
