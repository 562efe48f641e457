"""What Django does with psycopg: the time zone by set_config on connect, server-side cursors inside of transactions
and, in autocommit, WITH HOLD; savepoints around blocks; roles assumed on connect."""

import psycopg
from together import check, connect, same, table, together

TABLE = table("django")
ROWS = 300
ZONES = {"UTC": 12, "Asia/Tokyo": 21, "Europe/Berlin": 14}


def hour(conn):
    return conn.execute("SELECT extract(hour FROM '2024-07-01 12:00+00'::timestamptz::timestamp)::int").fetchone()[0]


def names(number):
    return [(f"client {number}, row {n}",) for n in range(ROWS)]


def rows_of(number):
    return f"SELECT name FROM {TABLE} WHERE client = {number} ORDER BY n"


def in_a_transaction(conn, number):
    with conn.transaction():
        with conn.cursor(name=f"_django_curs_{number % 2}_sync_1") as cursor:
            cursor.itersize = 50
            cursor.execute(rows_of(number))
            first = cursor.fetchmany(60)
            # Others get on while this one is half-way.
            with conn.transaction():
                same(conn.execute("SELECT count(*) FROM " + TABLE + " WHERE client = %s", (number,)).fetchone(), (ROWS,))
            same(first + cursor.fetchall(), names(number))


def with_hold(conn, number):
    """As `.iterator()` outside of a transaction; the name is the same for all clients on purpose."""
    check(conn.autocommit)
    with conn.cursor(name="_django_curs_held", withhold=True, scrollable=False) as cursor:
        cursor.itersize = 40
        cursor.execute(rows_of(number))
        got = []
        while part := cursor.fetchmany(70):
            got += part
            with conn.transaction():
                conn.execute("SELECT 1")
        same(got, names(number))
    # Closed: the name is nobody's again.
    try:
        conn.execute("FETCH 1 FROM _django_curs_held")
        raise AssertionError("the cursor is still there")
    except psycopg.errors.InvalidCursorName:
        pass


def atomic(conn, number):
    try:
        with conn.transaction():
            conn.execute("SELECT set_config('TimeZone', 'Asia/Kolkata', false)")
            same(hour(conn), 17)
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    with conn.transaction():
        try:
            with conn.transaction():
                conn.execute("SET TIME ZONE 'Asia/Kolkata'")
                conn.execute("SELECT no_such_column")
        except psycopg.errors.UndefinedColumn:
            pass
        check(hour(conn) != 17)
        conn.execute(f"UPDATE {TABLE} SET touched = touched + 1 WHERE client = %s", (number,))


def client(number):
    zone = list(ZONES)[number % 3]
    with connect(autocommit=True) as conn:
        conn.prepare_threshold = None if number % 2 else 0
        conn.execute("SELECT set_config('TimeZone', %s, false)", (zone,))
        for _ in range(4):
            same(hour(conn), ZONES[zone])
            in_a_transaction(conn, number)
            with_hold(conn, number)
            atomic(conn, number)
            same(hour(conn), ZONES[zone])
        touched = conn.execute(f"SELECT DISTINCT touched FROM {TABLE} WHERE client = %s", (number,)).fetchall()
        same(touched, [(4,)])


def main():
    with connect(autocommit=True) as conn:
        conn.execute(f"CREATE TABLE {TABLE} (client int, n int, name text, touched int DEFAULT 0)")
        conn.execute(f"INSERT INTO {TABLE} SELECT c, n, 'client ' || c || ', row ' || n "
                     f"FROM generate_series(0, 6) c, generate_series(0, {ROWS - 1}) n")
    together(7, client)
    with connect(autocommit=True) as conn:
        conn.execute(f"DROP TABLE {TABLE}")
    print("like Django: ok")


main()
