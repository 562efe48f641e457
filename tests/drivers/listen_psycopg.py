"""LISTEN with psycopg: more listeners than server connections, channels of their own and one for all, notifications
inside of transactions, and listeners that also do other work."""

import threading

from together import connect, same, table, together

LISTENERS = 6
ROUNDS = 5
COMMON = table("common")
# The end of waiting, no assertion about speed.
PATIENCE = 60
ready = threading.Barrier(LISTENERS + 1)
silent = threading.Barrier(LISTENERS)


def take(conn, count):
    got = []
    for notification in conn.notifies(timeout=PATIENCE, stop_after=count):
        got.append((notification.channel, notification.payload))
    return got


def listener(number):
    own = table(f"own_{number}")
    with connect(autocommit=True) as conn:
        conn.execute(f"LISTEN {COMMON}")
        conn.execute(f"LISTEN {own}")
        conn.execute("SELECT set_config('application_name', %s, false)", (own,))
        ready.wait(PATIENCE)
        wanted = []
        for n in range(ROUNDS):
            wanted += [(COMMON, f"round {n}, a"), (COMMON, f"round {n}, b"), (own, str(n))]
        same(take(conn, len(wanted)), wanted)
        same(conn.execute("SHOW application_name").fetchone(), (own,))
        conn.execute(f"UNLISTEN {COMMON}")
        silent.wait(PATIENCE)
        # Its own, in a transaction, after the commit.
        with conn.transaction():
            conn.execute(f"NOTIFY {own}, 'to myself'")
            conn.execute(f"NOTIFY {COMMON}, 'not heard'")
        same(take(conn, 1), [(own, "to myself")])
        conn.execute("UNLISTEN *")
        same(conn.execute("SELECT 1").fetchone(), (1,))


def notifier():
    with connect() as conn:
        ready.wait(PATIENCE)
        for n in range(ROUNDS):
            with conn.transaction():
                conn.execute("SELECT pg_notify(%s, %s)", (COMMON, f"round {n}, a"))
                conn.execute("SELECT pg_notify(%s, %s)", (COMMON, f"round {n}, b"))
                for number in range(LISTENERS):
                    conn.execute(f"NOTIFY {table(f'own_{number}')}, '{n}'")
            conn.execute(f"NOTIFY {COMMON}, 'rolled back'")
            conn.rollback()


def main():
    together(LISTENERS + 1, lambda number: notifier() if number == LISTENERS else listener(number))
    print("LISTEN with psycopg: ok")


main()
