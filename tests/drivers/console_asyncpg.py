"""The console by asyncpg, which prepares everything and takes every value in binary. Says what failed."""

import asyncio
from decimal import Decimal

import asyncpg


def check(condition, *what):
    if not condition:
        raise AssertionError(what)


async def main():
    conn = await asyncpg.connect()
    check("howdah" in await conn.fetchval("SHOW VERSION"))
    for view in ("POOLS", "DATABASES", "STATS", "TOTALS", "CLIENTS", "SERVERS", "LISTS", "CONFIG", "QUERIES", "TENANTS"):
        await conn.fetch(f"SHOW {view}")
    lists = {row["list"]: row["items"] for row in await conn.fetch("SHOW LISTS")}
    check(lists["databases"] == 1 and lists["used_clients"] == 0, lists)
    totals = {row["name"]: row["value"] for row in await conn.fetch("SHOW TOTALS")}
    check(totals["total_xact_count"] == Decimal(0), totals)
    statement = await conn.prepare("SHOW DATABASES WHERE name = 'app' LIMIT 5")
    check([column.type.name for column in statement.get_attributes()][:3] == ["text", "text", "int4"])
    (row,) = await statement.fetch()
    check((row["name"], row["port"], row["pool_size"], row["paused"]) == ("app", 1, 2, 0), row)
    try:
        await conn.fetch("SHOW NOTHING")
        check(False, "it was answered")
    except asyncpg.PostgresSyntaxError as error:
        check("SHOW HELP" in error.hint, error)
    # Simple queries, several in one text; and what it says by itself.
    check(await conn.execute("SHOW STATE; SET application_name = 'x'; SHOW MEM") == "SHOW")
    await conn.set_type_codec("int4", encoder=str, decoder=int, schema="pg_catalog", format="text")
    check((await conn.fetchrow("SHOW LISTS LIMIT 1"))["items"] == 1)
    await conn.close()


asyncio.run(main())
print("console: ok")
