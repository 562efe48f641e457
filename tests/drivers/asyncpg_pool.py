"""asyncpg's pool: what one user of a connection sets, locks and listens to is gone for the next one, by the pool's own
reset query; what the pool asked for when it connected is there again."""

import asyncio
import os
import sys
import traceback

import asyncpg

CHANNEL = f"asyncpg_{os.getpid()}"
SETTINGS = [
    {"application_name": "pool 0", "TimeZone": "Asia/Tokyo", "work_mem": "5MB"},
    {"application_name": "pool 1", "TimeZone": "UTC", "search_path": "pg_catalog"},
    {},
]
SHOWN = ["application_name", "TimeZone", "work_mem", "search_path", "statement_timeout"]


def check(condition, *what):
    if not condition:
        raise AssertionError(what)


async def show(conn):
    return {name: await conn.fetchval("SELECT current_setting($1)", name) for name in SHOWN}


async def use(pool, fresh, number):
    async with pool.acquire() as conn:
        got = await show(conn)
        check(got == fresh, number, got, fresh)
        # pg_locks by the process that asks: nothing is left of others.
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        check(await conn.fetchval(locks) == 0, "locks of others", number)
        await conn.execute(f"SET work_mem = '{number + 10}MB'; SET TimeZone = 'Europe/Berlin'")
        await conn.execute("SELECT set_config('statement_timeout', $1, false)", f"{number + 90001}ms")
        await conn.execute("SELECT pg_advisory_lock($1, $2)", os.getpid(), number)
        heard = asyncio.Queue()
        hear = lambda _conn, _pid, _channel, payload: heard.put_nowait(payload)
        await conn.add_listener(CHANNEL + str(number), hear)
        async with conn.transaction():
            changed = await show(conn)
            check(changed == {**fresh, "work_mem": f"{number + 10}MB", "TimeZone": "Europe/Berlin",
                              "statement_timeout": f"{number + 90001}ms"}, number, changed)
        check(await conn.fetchval(locks) == 1, "my lock", number)
        await conn.execute(f"NOTIFY {CHANNEL + str(number)}, 'for {number}'")
        # The end of waiting, no assertion about speed.
        check(await asyncio.wait_for(heard.get(), 60) == f"for {number}")
        check(await conn.fetchval("SELECT $1::int + 1", number) == number + 1)
        await conn.remove_listener(CHANNEL + str(number), hear)


async def one_pool(settings, base):
    conn = await asyncpg.connect(server_settings=settings)
    fresh = await show(conn)
    await conn.close()
    for name, value in settings.items():
        check(fresh[name] == value, name, fresh)
    async with asyncpg.create_pool(min_size=2, max_size=3, server_settings=settings) as pool:
        for turn in range(3):
            await asyncio.gather(*(use(pool, fresh, base + 10 * turn + n) for n in range(6)))


async def main():
    try:
        await asyncio.gather(*(one_pool(settings, 100 * n) for n, settings in enumerate(SETTINGS)))
    except BaseException:
        # Not by way of the pools, which would wait for connections that others still use.
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    print(f"asyncpg {asyncpg.__version__}, its pool: ok")


asyncio.run(main())
