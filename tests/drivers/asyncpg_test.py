"""asyncpg, with its cache of prepared statements on, against the server of PGHOST, PGPORT and so on."""

import asyncio
import datetime
import io
import os

import asyncpg

TABLE = f"asyncpg_{os.getpid()}"


def check(condition, *what):
    if not condition:
        raise AssertionError(what)


async def statements(conn, number):
    for n in range(20):
        check(await conn.fetchval("SELECT $1::int + $2::int", n, number) == n + number)
        row = await conn.fetchrow("SELECT $1::text AS t, $2::timestamptz AS at, $3::int[] AS ns", f"é{n}",
                                  datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc), [n, None])
        check(row["t"] == f"é{n}" and row["ns"] == [n, None], row)
    statement = await conn.prepare("SELECT $1::int * 2")
    check(statement.get_attributes()[0].type.name == "int4")
    for n in range(10):
        check(await statement.fetchval(n) == 2 * n)
    try:
        await conn.fetchval("SELECT 1 / $1::int", 0)
        raise AssertionError("no error")
    except asyncpg.DivisionByZeroError:
        pass
    check(await conn.fetchval("SELECT 1 / $1::int", 1) == 1)
    check(await conn.execute("SELECT 1; SELECT 2") == "SELECT 1")


async def transactions(conn, who):
    async with conn.transaction():
        await conn.execute(f"INSERT INTO {TABLE} VALUES ($1, $2)", 1, who)
        try:
            async with conn.transaction():
                await conn.execute(f"INSERT INTO {TABLE} VALUES ($1, $2)", 2, who)
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    check(await conn.fetch(f"SELECT n FROM {TABLE} WHERE who = $1", who) == [(1,)])
    async with conn.transaction(isolation="serializable", readonly=True, deferrable=True):
        check(await conn.fetchval("SHOW transaction_isolation") == "serializable")
    try:
        async with conn.transaction():
            await conn.execute("SELECT * FROM no_such_table")
        raise AssertionError("no error")
    except asyncpg.UndefinedTableError:
        pass
    await conn.execute(f"DELETE FROM {TABLE} WHERE who = $1", who)


async def cursors(conn):
    async with conn.transaction():
        seen = [row["n"] async for row in conn.cursor("SELECT n FROM generate_series(1, $1::int) n", 100, prefetch=7)]
        check(seen == list(range(1, 101)))
        cursor = await conn.cursor("SELECT n FROM generate_series(1, 10) n")
        await cursor.forward(3)
        check((await cursor.fetchrow())["n"] == 4)
        check(len(await cursor.fetch(100)) == 6)


async def copies(conn, who):
    records = [(n, who) for n in range(3000)]
    check(await conn.copy_records_to_table(TABLE, records=records) == "COPY 3000")
    out = io.BytesIO()
    result = await conn.copy_from_query(f"SELECT n FROM {TABLE} WHERE who = $1 ORDER BY n", who, output=out)
    check(result == "COPY 3000" and out.getvalue().startswith(b"0\n1\n2\n"), result)
    bad = io.BytesIO(b"not a number\tx\n")
    try:
        await conn.copy_to_table(TABLE, source=bad)
        raise AssertionError("no error")
    except asyncpg.InvalidTextRepresentationError:
        pass
    check(await conn.fetchval(f"SELECT count(*) FROM {TABLE} WHERE who = $1", who) == 3000)
    await conn.executemany(f"INSERT INTO {TABLE} VALUES ($1, $2)", records[:500])
    await conn.execute(f"DELETE FROM {TABLE} WHERE who = $1", who)


async def timeouts(conn):
    # A timeout makes asyncpg send a CancelRequest, and wait for what comes of it.
    try:
        await conn.fetchval("SELECT pg_sleep(60)", timeout=0.3)
        raise AssertionError("no timeout")
    except (asyncio.TimeoutError, asyncpg.QueryCanceledError):
        pass
    check(await conn.fetchval("SELECT 1") == 1)


async def task(pool, number):
    for _ in range(5):
        async with pool.acquire() as conn:
            await statements(conn, number)
            await transactions(conn, f"task {number}")
            await cursors(conn)
    async with pool.acquire() as conn:
        await copies(conn, f"task {number}")
    async with pool.acquire() as conn:
        await timeouts(conn)


async def main():
    conn = await asyncpg.connect()
    await conn.execute(f"CREATE TABLE {TABLE} (n int, who text)")
    try:
        async with asyncpg.create_pool(min_size=2, max_size=6) as pool:
            await asyncio.gather(*(task(pool, number) for number in range(8)))
    finally:
        await conn.execute(f"DROP TABLE {TABLE}")
        await conn.close()
    print(f"asyncpg {asyncpg.__version__}: ok")


asyncio.run(main())
