# make demo    a Postgres with sample tenants, and Howdah in front of it; Ctrl-C ends both
# make test    everything CI checks
# make bench   Howdah against HAProxy and PgBouncer, a table of figures
# make soak    100,000 random sessions, each on Postgres and through Howdah, compared message by message; then half
#              an hour of marked reads beside writes of every kind: reads older than promised must be 0
# make storm   a million transactions of a thousand tenants with everything going wrong: rows of others must be 0

SHELL := /bin/bash
CARGO ?= cargo
# A shared target folder is honoured, as cargo does.
TARGET := $(or $(CARGO_TARGET_DIR),target)
FUZZ_SECONDS ?= 60

.PHONY: demo test bench lint fmt clean deps fmt-check unit e2e architecture fuzz release storm soak

demo:
	scripts/install-deps.sh --demo
	$(CARGO) build --release
	exec $(TARGET)/release/howdah demo

test: deps fmt-check lint architecture unit e2e fuzz

deps:
	scripts/install-deps.sh

fmt:
	$(CARGO) fmt

fmt-check:
	$(CARGO) fmt --check

lint:
	$(CARGO) clippy --all-targets -- -D warnings

architecture:
	$(CARGO) test --quiet --test architecture

# nextest where it is installed; doc tests are cargo test's in any case.
unit:
	if $(CARGO) nextest --version >/dev/null 2>&1; \
	then $(CARGO) nextest run --lib --bins --no-tests=pass; \
	else $(CARGO) test --lib --bins; fi
	$(CARGO) test --quiet --test cli
	$(CARGO) test --quiet --test memory
	$(CARGO) test --quiet --doc

# One process, so that its tests share one cluster of each version. Few threads: each test is many
# processes already.
e2e:
	$(CARGO) test --test e2e -- --test-threads=3

fuzz:
	scripts/fuzz.sh $(FUZZ_SECONDS)

release:
	$(CARGO) build --release

bench: deps release
	$(CARGO) bench --bench parts -- --quick --noplot
	python3 benches/whole/bench.py --howdah $(TARGET)/release/howdah

storm: deps release
	HOWDAH_BIN=$(abspath $(TARGET))/release/howdah HOWDAH_STORM=$(or $(HOWDAH_STORM),1000000) \
		$(CARGO) test --test e2e tenants::storm -- --nocapture

soak: deps release
	HOWDAH_BIN=$(abspath $(TARGET))/release/howdah HOWDAH_SOAK=$(or $(HOWDAH_SOAK),100000) \
		$(CARGO) test --test e2e sessions::random_sessions_are_the_same_through -- --nocapture --test-threads=1
	HOWDAH_BIN=$(abspath $(TARGET))/release/howdah HOWDAH_CACHE_SOAK=$(or $(HOWDAH_CACHE_SOAK),1800) \
		$(CARGO) test --test e2e cache::soak -- --nocapture

clean:
	$(CARGO) clean
	rm -rf fuzz/target
