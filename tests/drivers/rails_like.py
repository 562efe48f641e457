"""What Rails sends by libpq: settings on connect, statements a1, a2, … by name, savepoints, an advisory lock.

Each client has other settings than its neighbours; its transactions must run with them, and no others."""

from psycopg import pq
from together import check, connect, same, table, together

TABLE = table("rails")
ZONES = ["UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York"]
NOON = {"UTC": "12:00", "Asia/Tokyo": "21:00", "Europe/Berlin": "14:00", "America/New_York": "08:00"}


class Rails:
    def __init__(self, number):
        self.conn = connect(autocommit=True)
        self.pg = self.conn.pgconn
        self.notices = []
        self.pg.notice_handler = lambda result: self.notices.append(result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY))
        self.statements = {}
        self.zone = ZONES[number % len(ZONES)]
        self.messages = ["warning", "notice"][number % 2]
        self.timeout = f"{number + 11}min"
        self.path = ["public", f'"{TABLE}_own", public'][number // 2 % 2]
        self.execute("SET standard_conforming_strings = on")
        self.execute(f"SET client_min_messages TO '{self.messages}'")
        self.execute("SET SESSION intervalstyle TO 'iso_8601'")
        self.execute(f"SET SESSION timezone TO '{self.zone}'")
        self.execute(f"SET SESSION statement_timeout TO '{self.timeout}'")
        self.execute(f"SET search_path TO {self.path}")

    def rows(self, result):
        good = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY)
        check(result.status in good, result.error_message)
        value = lambda row, column: (result.get_value(row, column) or b"").decode()
        return [tuple(value(row, column) for column in range(result.nfields)) for row in range(result.ntuples)]

    def execute(self, sql):
        return self.rows(self.pg.exec_(sql.encode()))

    def prepared(self, sql, *values):
        """A statement that is prepared when it is first used, under the next name."""
        if sql not in self.statements:
            name = f"a{len(self.statements) + 1}"
            self.rows(self.pg.prepare(name.encode(), sql.encode()))
            self.statements[sql] = name
        values = [str(value).encode() for value in values]
        return self.rows(self.pg.exec_prepared(self.statements[sql].encode(), values))

    def look(self):
        same(self.prepared("SELECT current_setting('statement_timeout'), $1::interval::text", "26 hours"),
             [(self.timeout, "PT26H")])
        same(self.execute("SHOW client_min_messages"), [(self.messages,)])
        (when,), = self.execute("SELECT to_char('2024-07-01 12:00+00'::timestamptz, 'HH24:MI')")
        same(when, NOON[self.zone])
        same(self.pg.parameter_status(b"TimeZone"), self.zone.encode())
        same(self.prepared("SELECT whose FROM " + TABLE + "_place"), [("own" if "own" in self.path else "public",)])
        self.notices.clear()
        self.execute("DO $$ BEGIN RAISE NOTICE 'hear'; END $$")
        same(self.notices, [b"hear"] if self.messages == "notice" else [])

    def transaction(self, number, keep):
        self.execute("BEGIN")
        self.prepared(f"INSERT INTO {TABLE} VALUES ($1, $2)", number, "first")
        self.execute("SAVEPOINT active_record_1")
        check(self.pg.exec_(b"SELECT 1/0").status == pq.ExecStatus.FATAL_ERROR)
        self.execute("ROLLBACK TO SAVEPOINT active_record_1")
        self.execute("RELEASE SAVEPOINT active_record_1")
        self.look()
        self.execute("COMMIT" if keep else "ROLLBACK")


def client(number):
    rails = Rails(number)
    for turn in range(8):
        rails.look()
        rails.transaction(number, turn % 2 == 0)
        if turn == 3:
            # As its migrations do, but that everybody has a lock of its own.
            same(rails.execute(f"SELECT pg_try_advisory_lock(42, {number})"), [("t",)])
            rails.look()
            same(rails.execute(f"SELECT pg_advisory_unlock(42, {number})"), [("t",)])
        if turn == 5:
            # As it does around what would warn; undone with what was there before.
            rails.execute("SET client_min_messages TO 'error'")
            same(rails.execute("SHOW client_min_messages"), [("error",)])
            rails.execute(f"SET client_min_messages TO '{rails.messages}'")
    same(rails.prepared(f"SELECT count(*) FROM {TABLE} WHERE n = $1", number), [("4",)])
    rails.conn.close()


def main():
    with connect(autocommit=True) as conn:
        conn.execute(f"CREATE TABLE {TABLE} (n int, what text); CREATE SCHEMA {TABLE}_own")
        for schema, whose in (("public", "public"), (f"{TABLE}_own", "own")):
            conn.execute(f"CREATE TABLE {schema}.{TABLE}_place AS SELECT '{whose}' AS whose")
    together(8, client)
    with connect(autocommit=True) as conn:
        conn.execute(f"DROP TABLE {TABLE}, {TABLE}_place; DROP SCHEMA {TABLE}_own CASCADE")
    print("like Rails: ok")


main()
