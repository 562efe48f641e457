"""What SQLAlchemy does with psycopg and psycopg2: isolation levels of sessions and of transactions, autocommit and back,
streams of results, and a connection that is handed to the next user by ROLLBACK and a reset of its level."""

import psycopg
from psycopg import IsolationLevel
from together import connect, same, table, together

TABLE = table("sqlalchemy")
LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE", "READ UNCOMMITTED"]


def shown(conn, setting):
    return conn.execute(f"SHOW {setting}").fetchone()[0]


def by_characteristics(conn, level, read_only):
    """As psycopg2 and the `isolation_level` of an engine: for the session."""
    conn.rollback()
    conn.autocommit = True
    access = "READ ONLY" if read_only else "READ WRITE"
    conn.execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}, {access}")
    conn.autocommit = False
    for _ in range(4):
        same(shown(conn, "transaction_isolation"), level.lower())
        same(shown(conn, "transaction_read_only"), "on" if read_only else "off")
        try:
            conn.execute(f"INSERT INTO {TABLE} VALUES (-1)")
            same(read_only, False)
        except psycopg.errors.ReadOnlySqlTransaction:
            same(read_only, True)
        conn.rollback()
    conn.autocommit = True
    same(shown(conn, "transaction_isolation"), level.lower())
    same(shown(conn, "default_transaction_isolation"), level.lower())
    conn.execute("RESET default_transaction_isolation")
    conn.execute("RESET default_transaction_read_only")
    same(shown(conn, "default_transaction_isolation"), "read committed")
    conn.autocommit = False


def by_psycopg(conn, level):
    """As `execution_options(isolation_level=…)`: psycopg sends it with BEGIN."""
    conn.rollback()
    conn.isolation_level = IsolationLevel[level.replace(" ", "_")]
    conn.read_only = True
    same(shown(conn, "transaction_isolation"), level.lower())
    same(shown(conn, "transaction_read_only"), "on")
    conn.rollback()
    conn.isolation_level = None
    conn.read_only = None
    same(shown(conn, "transaction_isolation"), "read committed")
    same(shown(conn, "transaction_read_only"), "off")
    conn.rollback()


def by_set_transaction(conn, level):
    conn.rollback()
    conn.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
    same(shown(conn, "transaction_isolation"), level.lower())
    conn.commit()
    same(shown(conn, "transaction_isolation"), "read committed")
    conn.rollback()


def autocommit(conn, number):
    conn.rollback()
    conn.autocommit = True
    conn.execute(f"INSERT INTO {TABLE} VALUES ({number})")
    conn.autocommit = False
    conn.execute(f"INSERT INTO {TABLE} VALUES ({number})")
    conn.rollback()


def stream(conn, number):
    with conn.cursor() as cursor:
        got = [row[0] for row in cursor.stream("SELECT n + %s FROM generate_series(1, 500) n", (number,))]
    same(got, [n + number for n in range(1, 501)])
    conn.commit()


def client(number):
    level = LEVELS[number % len(LEVELS)]
    with connect() as conn:
        conn.prepare_threshold = number % 3
        for _ in range(4):
            by_characteristics(conn, level, number % 2 == 1)
            by_psycopg(conn, level)
            by_set_transaction(conn, level)
            autocommit(conn, number)
            stream(conn, number)
        same(conn.execute(f"SELECT count(*) FROM {TABLE} WHERE n = %s", (number,)).fetchone(), (4,))


def main():
    with connect(autocommit=True) as conn:
        conn.execute(f"CREATE TABLE {TABLE} (n int)")
    together(8, client)
    with connect(autocommit=True) as conn:
        conn.execute(f"DROP TABLE {TABLE}")
    print("like SQLAlchemy: ok")


main()
