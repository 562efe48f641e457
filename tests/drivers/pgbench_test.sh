#!/usr/bin/env bash
# pgbench in its three modes, with and without a connection for each transaction, by PGHOST and so on.
# The database gets pgbench's tables at scale 1.
set -euo pipefail

run() {
  local out
  out=$(pgbench -n "$@" 2>&1) || { printf 'pgbench %s failed:\n%s\n' "$*" "$out" >&2; exit 1; }
  if ! grep -q 'number of failed transactions: 0 ' <<<"$out"; then
    printf 'pgbench %s had failures:\n%s\n' "$*" "$out" >&2
    exit 1
  fi
}

pgbench -q -i -s 1 >/dev/null 2>&1 || { echo 'pgbench -i failed' >&2; exit 1; }
for mode in simple extended prepared; do
  run -M "$mode" -S -c 8 -j 2 -t 200
  run -M "$mode" -c 8 -j 2 -t 25
  run -M "$mode" -S -C -c 4 -j 2 -t 10
done
script=$(mktemp)
trap 'rm -f "$script"' EXIT
cat >"$script" <<'SQL'
\set aid random(1, 100000)
\startpipeline
BEGIN;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
SELECT count(*) FROM pgbench_branches;
COMMIT;
\endpipeline
SQL
run -M extended -c 8 -j 2 -t 50 -f "$script"
run -M prepared -c 8 -j 2 -t 50 -f "$script"
sum=$(psql -X -A -t -c 'SELECT (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history)')
[ "$sum" = t ] || { echo 'the books do not balance' >&2; exit 1; }
echo 'pgbench: ok'
