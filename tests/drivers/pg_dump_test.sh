#!/usr/bin/env bash
# pg_dump of PGDATABASE (with pgbench's tables in it) and pg_restore into DUMP_TARGET, an empty database
# of the same server; then both must hold the same.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

summary() {
  psql -X -A -t -d "$1" -c "SELECT count(*), sum(aid), sum(abalance), min(md5(filler)) FROM pgbench_accounts" \
    -c "SELECT string_agg(conname, ',' ORDER BY conname) FROM pg_constraint WHERE contype = 'p'"
}

pgbench -q -i -s 1 >/dev/null 2>&1 || { echo 'pgbench -i failed' >&2; exit 1; }
pg_dump -Fc -f "$dir/custom" || { echo 'pg_dump -Fc failed' >&2; exit 1; }
pg_restore --no-owner -d "$DUMP_TARGET" "$dir/custom" || { echo 'pg_restore failed' >&2; exit 1; }
[ "$(summary "$PGDATABASE")" = "$(summary "$DUMP_TARGET")" ] || { echo 'the copy differs' >&2; exit 1; }
pg_dump -Fd -j 2 -f "$dir/folder" || { echo 'pg_dump -Fd -j 2 failed' >&2; exit 1; }
pg_restore --no-owner --clean -j 2 -d "$DUMP_TARGET" "$dir/folder" || { echo 'pg_restore -j 2 failed' >&2; exit 1; }
[ "$(summary "$PGDATABASE")" = "$(summary "$DUMP_TARGET")" ] || { echo 'the second copy differs' >&2; exit 1; }
pg_dump --inserts -t pgbench_branches -t pgbench_tellers | psql -X -q -v ON_ERROR_STOP=1 -1 -d "$DUMP_TARGET" \
  -c 'DROP TABLE pgbench_branches, pgbench_tellers CASCADE' -f - >/dev/null || { echo 'a plain dump failed' >&2; exit 1; }
[ "$(summary "$PGDATABASE")" = "$(summary "$DUMP_TARGET")" ] || { echo 'the third copy differs' >&2; exit 1; }
echo 'pg_dump: ok'
