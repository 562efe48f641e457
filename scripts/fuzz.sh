#!/usr/bin/env bash
# Runs every fuzz target for SECONDS each (60 by default), beginning with its kept corpus.
# What is new goes to a scratch folder; a finding stays in fuzz/artifacts and fails the run.
#
#   scripts/fuzz.sh [SECONDS] [TARGET…]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true

fail() { printf 'fuzz: %s\n' "$*" >&2; exit 1; }

if ! compgen -G 'fuzz/fuzz_targets/*.rs' >/dev/null; then
  fail 'no targets in fuzz/fuzz_targets'
fi
cargo +nightly --version >/dev/null 2>&1 || fail 'nightly Rust is missing: rustup toolchain install nightly --profile minimal'
if ! cargo fuzz --version >/dev/null 2>&1; then
  echo 'fuzz: installing cargo-fuzz'
  cargo install --locked --quiet cargo-fuzz || fail 'cargo-fuzz is missing, and cargo install cargo-fuzz failed'
fi
command -v c++ >/dev/null 2>&1 || command -v clang++ >/dev/null 2>&1 || fail 'a C++ compiler is missing: apt-get install g++'

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in fuzz/fuzz_targets/*.rs; do
    targets+=("$(basename "$file" .rs)")
  done
fi

unset CARGO_TARGET_DIR
cargo +nightly fuzz build
for target in "${targets[@]}"; do
  scratch=fuzz/target/corpus/$target
  mkdir -p "$scratch" "fuzz/corpus/$target"
  printf 'fuzz: %s for %s s\n' "$target" "$seconds"
  log=fuzz/target/$target.log
  if ! cargo +nightly fuzz run "$target" "$scratch" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    fail "$target found something: see fuzz/artifacts/$target"
  fi
  grep -E 'number_of_executed_units|average_exec_per_sec' "$log" || true
done
