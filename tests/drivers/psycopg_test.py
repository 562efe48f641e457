"""psycopg 3 against the server that PGHOST, PGPORT and so on name. Fit for a pool in transaction mode."""

import os
import threading

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

TABLE = f"psycopg_{os.getpid()}"


def connect(**options):
    return psycopg.connect("", **options)


def check(condition, *what):
    if not condition:
        raise AssertionError(what)


def prepared_statements(threshold, binary):
    with connect(prepare_threshold=threshold, autocommit=True) as conn:
        for number in range(20):
            cursor = conn.cursor(binary=binary)
            got = cursor.execute("SELECT %s::int + 1, %s::text", (number, f"é{number}")).fetchone()
            check(got == (number + 1, f"é{number}"), got)
        try:
            conn.execute("SELECT 1 / %s::int", (0,))
        except errors.DivisionByZero:
            pass
        check(conn.execute("SELECT 1 / %s::int", (1,)).fetchone() == (1,))


def transactions(name):
    with connect() as conn:
        with conn.transaction():
            conn.execute(f"INSERT INTO {TABLE} VALUES (1, %s, 'kept')", (name,))
            try:
                with conn.transaction():
                    conn.execute(f"INSERT INTO {TABLE} VALUES (2, %s, 'gone')", (name,))
                    raise ZeroDivisionError
            except ZeroDivisionError:
                pass
        rows = conn.execute(f"SELECT n FROM {TABLE} WHERE who = %s", (name,)).fetchall()
        check(rows == [(1,)], rows)
        conn.execute(f"DELETE FROM {TABLE} WHERE who = %s", (name,))
        conn.commit()
        try:
            conn.execute("SELECT * FROM no_such_table")
        except errors.UndefinedTable:
            check(conn.info.transaction_status == psycopg.pq.TransactionStatus.INERROR)
        conn.rollback()
        conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        conn.read_only = True
        check(conn.execute("SHOW transaction_isolation").fetchone() == ("serializable",))
        check(conn.execute("SHOW transaction_read_only").fetchone() == ("on",))
        conn.rollback()


def pipelines():
    with connect(autocommit=True) as conn:
        with conn.pipeline() as pipeline:
            cursors = [conn.execute("SELECT %s::int", (number,)) for number in range(100)]
            pipeline.sync()
            check([cursor.fetchone()[0] for cursor in cursors] == list(range(100)))
        try:
            with conn.pipeline() as pipeline:
                first = conn.execute("SELECT 1")
                pipeline.sync()
                conn.execute("SELECT 1 / %s::int", (0,))
                conn.execute("SELECT 2")
            raise AssertionError("no error")
        except errors.DivisionByZero:
            check(first.fetchone() == (1,))
        check(conn.execute("SELECT 3").fetchone() == (3,))
        with conn.pipeline(), conn.transaction():
            cursors = [conn.execute("SELECT %s::int", (number,), prepare=True) for number in range(10)]
            check([cursor.fetchone()[0] for cursor in cursors] == list(range(10)))


def server_side_cursors():
    with connect() as conn:
        with conn.cursor(name="mine") as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT n FROM generate_series(1, 100) n")
            check(cursor.fetchmany(3) == [(1,), (2,), (3,)])
            check(sum(row[0] for row in cursor) == 5050 - 6)
        with conn.cursor(name="scrolls", scrollable=True) as cursor:
            cursor.execute("SELECT n FROM generate_series(1, 10) n")
            cursor.scroll(5)
            check(cursor.fetchone() == (6,))
            cursor.scroll(0, mode="absolute")
            check(cursor.fetchone() == (1,))


def copy_both_ways(name):
    with connect() as conn, conn.cursor() as cursor:
        with cursor.copy(f"COPY {TABLE} FROM STDIN") as copy:
            for number in range(2000):
                copy.write_row((number, name, "text\twith\nall\\sorts"))
        conn.commit()
        with cursor.copy(f"COPY (SELECT * FROM {TABLE} WHERE who = %s ORDER BY n) TO STDOUT", (name,)) as copy:
            rows = list(copy.rows())
        check(len(rows) == 2000 and rows[7] == ("7", name, "text\twith\nall\\sorts"), len(rows), rows[:8])
        with cursor.copy(f"COPY (SELECT n FROM {TABLE} WHERE who = %s) TO STDOUT (FORMAT BINARY)", (name,)) as copy:
            copy.set_types(["int4"])
            check(sum(row[0] for row in copy.rows()) == 1999000)
        conn.commit()
        try:
            with cursor.copy(f"COPY {TABLE} FROM STDIN") as copy:
                copy.write_row((1, name, "never"))
                raise ZeroDivisionError
        except ZeroDivisionError:
            conn.rollback()
        try:
            with cursor.copy(f"COPY {TABLE} FROM STDIN") as copy:
                copy.write("not a number\tx\ty\n")
            raise AssertionError("no error")
        except errors.InvalidTextRepresentation:
            conn.rollback()
        count = cursor.execute(f"SELECT count(*) FROM {TABLE} WHERE who = %s", (name,)).fetchone()
        check(count == (2000,), count)
        conn.execute(f"DELETE FROM {TABLE} WHERE who = %s", (name,))


def cancelling():
    with connect(autocommit=True) as conn:
        timer = threading.Timer(0.3, conn.cancel)
        timer.start()
        try:
            conn.execute("SELECT pg_sleep(60)")
            raise AssertionError("not cancelled")
        except errors.QueryCanceled:
            pass
        timer.join()
        check(conn.execute("SELECT 1").fetchone() == (1,))


def notifications(name):
    channel = f"{TABLE} {name}"
    with connect(autocommit=True) as conn, connect() as other:
        conn.execute(f'LISTEN "{channel}"')
        for number in range(20):
            other.execute("SELECT pg_notify(%s, %s)", (channel, f"é{number}"))
            if number % 3 == 0:
                other.rollback()
            other.commit()
        heard = [notify.payload for notify in conn.notifies(timeout=60, stop_after=13)]
        check(heard == [f"é{number}" for number in range(20) if number % 3], heard)
        own = []
        conn.add_notify_handler(own.append)
        conn.execute(f'NOTIFY "{channel}", \'own\'')
        check([(notify.payload, notify.pid) for notify in own] == [("own", conn.info.backend_pid)], own)
        conn.execute("UNLISTEN *")


def many_rows_and_types():
    with connect(autocommit=True, row_factory=dict_row) as conn:
        rows = conn.execute("SELECT n, repeat('x', 1000) AS x FROM generate_series(1, 5000) n").fetchall()
        check(len(rows) == 5000 and rows[4999]["n"] == 5000)
        conn.cursor().executemany(f"INSERT INTO {TABLE} VALUES (%s, 'many', 'x')", [(n,) for n in range(300)])
        row = conn.execute(f"SELECT count(*) AS c, sum(n) AS s FROM {TABLE} WHERE who = 'many'").fetchone()
        check(row["c"] % 300 == 0 and row["c"] > 0, row)


def everything(name):
    for threshold in (0, 1, None):
        for binary in (False, True):
            prepared_statements(threshold, binary)
    transactions(name)
    pipelines()
    server_side_cursors()
    copy_both_ways(name)
    notifications(name)
    cancelling()


def main():
    with connect(autocommit=True) as conn:
        conn.execute(f"CREATE TABLE {TABLE} (n int, who text, t text)")
    failures = []

    def guarded(name):
        try:
            everything(name)
        except BaseException as error:  # reported below, from the main thread
            import traceback

            failures.append(f"{name}: {error!r}\n{traceback.format_exc()}")

    threads = [threading.Thread(target=guarded, args=(f"thread {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not failures:
        many_rows_and_types()
    with connect(autocommit=True) as conn:
        conn.execute(f"DROP TABLE {TABLE}")
    if failures:
        raise SystemExit("\n".join(failures))
    print(f"psycopg {psycopg.__version__}: ok")


main()
