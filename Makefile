# Python >= 3.11 and make are enough; uv is brought along where it is missing.
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN = $(UV) run --frozen --no-sync
export UV_PROJECT_ENVIRONMENT ?= .venv
export UV_SYSTEM_CERTS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo setup dev check test services bench-daily clean

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
	@$(UV) sync --frozen --quiet --extra embedded --group dev

check: dev  ## lint, format, types, import ranks, unit tests
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) pytest -q -m unit -n 2 --ignore tests/benchmarks

test: dev  ## everything, on real services; what this machine lacks is skipped with the reason
	@# the benchmarks' peer needs pandas, which slows every start of Python where it is installed
	$(UV) run --frozen --isolated --extra embedded --group test --group bench pytest -q tests/benchmarks
	$(RUN) pytest -q -n 2 --dist worksteal --ignore tests/benchmarks

services:  ## what the tests can use beyond wheels (needs the system's package manager); nothing yet
	@echo "Nothing to install: the tests' MongoDB comes as a wheel."

bench-daily: setup  ## the daily batch beside plain PyMongo and pandas, a million transactions
	@$(UV) sync --frozen --quiet --inexact --extra embedded --group bench
	$(RUN) python benchmarks/daily_batch/run.py

clean:  ## remove the environment and what demos and tests left
	rm -rf .venv .tools .levada examples/shop/.levada
