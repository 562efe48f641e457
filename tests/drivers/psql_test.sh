#!/usr/bin/env bash
# psql against the server of PGHOST, PGPORT and so on. Says what failed.
set -euo pipefail
table=psql_$$
psql=(psql -X -q -A -t -v ON_ERROR_STOP=1)

same() { # WHAT EXPECTED GOT
  [ "$2" = "$3" ] || { printf '%s: expected <%s>, got <%s>\n' "$1" "$2" "$3" >&2; exit 1; }
}

same 'one row' '42' "$("${psql[@]}" -c 'SELECT 42')"
same 'several commands' $'1\n2' "$("${psql[@]}" -c 'SELECT 1' -c 'SELECT 2')"
same 'one transaction' $'1\n2' "$("${psql[@]}" -1 -c 'SELECT 1' -c 'SELECT 2')"
same 'script' $'3\n7' "$("${psql[@]}" <<SQL
CREATE TABLE $table (n int, t text);
\\copy $table FROM pstdin WITH (FORMAT csv)
1,one
2,two
3,three
\\.
SELECT count(*) FROM $table;
BEGIN;
INSERT INTO $table VALUES (4, 'four');
ROLLBACK;
SELECT sum(n) + 1 FROM $table;
SQL
)"
same 'copy out' $'1,one\n2,two\n3,three' "$("${psql[@]}" -c "\\copy (SELECT * FROM $table ORDER BY n) TO STDOUT CSV")"
same 'cursor by FETCH_COUNT' '5050' \
  "$("${psql[@]}" -v FETCH_COUNT=7 -c 'SELECT n FROM generate_series(1, 100) n' | awk '{ s += $1 } END { print s }')"
same 'describe' "$table" "$("${psql[@]}" -c "\\dt $table" | cut -d '|' -f 2)"
same 'gexec' $'1\n2' "$("${psql[@]}" <<'SQL'
SELECT 'SELECT ' || n FROM generate_series(1, 2) n \gexec
SQL
)"
error=$("${psql[@]}" -v VERBOSITY=sqlstate -c 'SELECT 1/0' 2>&1) && { echo 'an error was not one' >&2; exit 1; }
same 'error' 'ERROR:  22012' "$error"
same 'error rollback' $'1\n2' "$("${psql[@]}" -v ON_ERROR_STOP=0 -v ON_ERROR_ROLLBACK=on 2>/dev/null <<'SQL'
BEGIN;
SELECT 1;
SELECT 1/0;
SELECT 2;
COMMIT;
SQL
)"
heard=$("${psql[@]}" <<SQL
LISTEN $table;
BEGIN;
NOTIFY $table, 'hear this';
COMMIT;
SQL
)
same 'notification' "Asynchronous notification \"$table\" with payload \"hear this\" received from server process with" \
  "${heard% PID *}"
"${psql[@]}" -c "DROP TABLE $table"
echo 'psql: ok'
