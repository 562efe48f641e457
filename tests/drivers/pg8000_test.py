"""pg8000 (its own protocol code, extended protocol with a Flush after each step) by PGHOST and so on."""

import os
import threading

import pg8000.native
from pg8000.exceptions import DatabaseError


def connect():
    env = os.environ
    return pg8000.native.Connection(
        env["PGUSER"], host=env["PGHOST"], port=int(env["PGPORT"]), password=env["PGPASSWORD"],
        database=env["PGDATABASE"],
    )


def check(condition, *what):
    if not condition:
        raise AssertionError(what)


def everything():
    conn = connect()
    for n in range(20):
        check(conn.run("SELECT CAST(:n AS int) + 1, CAST(:t AS text)", n=n, t=f"é{n}") == [[n + 1, f"é{n}"]])
    statement = conn.prepare("SELECT CAST(:n AS int) * 2")
    for n in range(20):
        check(statement.run(n=n) == [[2 * n]])
    statement.close()
    conn.run("BEGIN")
    try:
        conn.run("SELECT 1 / CAST(:n AS int)", n=0)
        raise AssertionError("no error")
    except DatabaseError as error:
        check(error.args[0]["C"] == "22012", error)
    conn.run("ROLLBACK")
    check(len(conn.run("SELECT n FROM generate_series(1, 1000) n")) == 1000)
    conn.close()


def main():
    failures = []

    def guarded():
        try:
            everything()
        except BaseException as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=guarded) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit("\n".join(failures))
    print("pg8000: ok")


main()
