# One target an intention; `make` alone tells them. Needs git, make and Python 3.11 or 3.12.
#
# Everything is installed into .venv and nowhere else. Versions and hashes come from the lock files,
# which name no download host: pip and uv use the package index that this machine is set up for.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Byte code is written once at installation; without it every process compiles its imports again.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv --quiet
COMPILE := $(UV) pip compile --universal --generate-hashes --no-annotate --python-version 3.11 \
	--custom-compile-command 'make lock'

# sqlfluff runs dbt, which would write its files into the project.
SQLFLUFF := DBT_TARGET_PATH=$(CURDIR)/.sqlfluff_cache DBT_LOG_PATH=$(CURDIR)/.sqlfluff_cache \
	DBT_SEND_ANONYMOUS_USAGE_STATS=false $(BIN)/sqlfluff
SQL := --disable-progress-bar dbt_project/models dbt_project/tests

# Tests wait for the disk at each of thousands of synced files; in memory they do not. A gigabyte is needed at most.
IN_MEMORY := $(shell [ "$$(df --output=avail -B1M /dev/shm 2>/dev/null | tail -n 1)" -gt 4000 ] 2>/dev/null \
	&& [ -w /dev/shm ] && echo TMPDIR=/dev/shm)

# Options for `iot up`, e.g. `make up ARGS="--for 180 --dagster-port 3001"`.
ARGS ?=

.PHONY: help
help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: $(VENV)/.runtime ## Prepare the environment and run everything until Ctrl-C; options in ARGS="..."
	@exec $(BIN)/iot up $(ARGS)

.PHONY: test
test: lint ## Check style, types and layers, then run all tests
	@# Folders of long stories come first, so that no worker is left alone with one; the rest waits for brokers and servers.
	$(IN_MEMORY) $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -o tmp_path_retention_policy=failed \
		tests/faults tests/pipeline tests/stats tests --ignore tests/product
	@# One live product for all its tests.
	$(BIN)/pytest tests/product

.PHONY: lint
lint: $(VENV)/.dev ## Check style, types, layers and SQL
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@$(MAKE) --no-print-directory --jobs 2 --output-sync types layers-and-sql

.PHONY: types
types:
	$(BIN)/mypy

.PHONY: layers-and-sql
layers-and-sql:
	$(BIN)/lint-imports
	$(SQLFLUFF) lint $(SQL)

.PHONY: fix
fix: $(VENV)/.dev ## Mend what can be mended by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(SQLFLUFF) fix $(SQL)

.PHONY: bench
bench: $(VENV)/.dev ## Measure; prints one line a case
	$(BIN)/python -m tests.bench

.PHONY: docs
docs: $(VENV)/.runtime ## Write the documents of all dbt models as one page, data/docs/dbt.html
	$(BIN)/python -m iot_pipeline.stats.dbt_docs

.PHONY: lock
lock: $(VENV)/.uv ## Write the lock files again from pyproject.toml
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	version=$$($(BIN)/uv --version | cut -d' ' -f2); \
		echo "uv==$$version" | $(COMPILE) - -o requirements-uv.lock

.PHONY: clean
clean: ## Remove the environment and caches; data stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .sqlfluff_cache
	rm -rf dbt_project/target dbt_project/logs
	find iot_pipeline sensors_sim tests -name __pycache__ -prune -exec rm -rf {} +

# --- the environment, a stamp file for each step -------------------------------------------------

$(VENV)/.runtime: requirements.lock requirements-dev.lock pyproject.toml $(VENV)/.uv
	@echo "installing what runs (once, about a minute)"
	$(UV) pip install --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	$(editable)
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "installing what tests"
	$(UV) pip install --python $(BIN)/python --require-hashes --compile-bytecode -r requirements-dev.lock
	@touch $@

# The build backend is taken from the lock by hash, into a throw-away environment of uv's.
editable = $(UV) pip install --python $(BIN)/python --no-deps --build-constraints requirements-dev.lock --editable .

$(VENV)/.uv: requirements-uv.lock
	@python=; for name in python3.12 python3.11 python3 python; do \
		if command -v $$name >/dev/null \
			&& $$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; \
		then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "make: no Python 3.11 or 3.12 on PATH; install one, e.g. the package python3.11" >&2; exit 1; \
	fi; \
	[ -x $(BIN)/python ] || why=$$($$python -m venv $(VENV) 2>&1) || { \
		rm -rf $(VENV); \
		package=$$($$python -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))'); \
		echo "make: $$python cannot make an environment; on Debian install the package $$package" >&2; \
		exit 1; }
	$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements-uv.lock
	@touch $@
