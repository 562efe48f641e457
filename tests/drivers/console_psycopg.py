"""The console by psycopg 3, with everything that a driver says by itself. Says what failed."""

import psycopg
from psycopg import errors
from psycopg.rows import dict_row


def check(condition, *what):
    if not condition:
        raise AssertionError(what)


# Without autocommit it says BEGIN ahead of each command.
with psycopg.connect("", row_factory=dict_row) as conn:
    check("howdah" in conn.execute("SHOW VERSION").fetchone()["version"])
    for binary in (False, True):
        cursor = conn.cursor(binary=binary)
        row = cursor.execute("SHOW CACHE", prepare=True).fetchone()
        check(row is None or isinstance(row["hits"], int), row)
        check([c.name for c in cursor.description][:3] == ["database", "state", "entries"], cursor.description)
    conn.commit()
    try:
        conn.execute("SELECT 1")
        check(False, "a query was answered")
    except errors.SyntaxError as error:
        check("SHOW HELP" in error.diag.message_hint, error.diag)
    conn.rollback()
    check(len(conn.execute("SHOW HELP").fetchall()) > 3)
    check(conn.execute("CACHE PURGE").statusmessage == "CACHE PURGE 0")
print("console: ok")
