# Every target builds its own .venv from requirements.lock. Needed: Python 3.11 or newer (or PYTHON=...), venv, make, network.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help venv demo dev test lint format unit soak bench bench-postgres bench-stores bench-state lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: ## build .venv from requirements.lock, when either changed
	@$(PYTHON) scripts/make_venv.py

demo: venv ## back up, prove, damage and restore an example, in .demo/
	@$(BIN)/python demo/run.py $(ARGS)

dev: venv ## the Dagster UI on the demo's state (ARGS="-p 3001" for another port)
	@$(BIN)/python demo/dev.py $(ARGS)

test: venv ## everything that CI runs
	@$(MAKE) --no-print-directory -j 2 lint unit

lint: venv ## ruff, mypy, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: venv ## let ruff repair what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

unit: venv ## the tests alone (ARGS="-k name -x")
	MAKEFLAGS= $(BIN)/python -m pytest -n 3 --dist loadgroup $(ARGS)

soak: venv ## the long tests
	$(BIN)/python -m pytest -m soak --timeout 3600 --hypothesis-profile soak $(ARGS)

bench: venv ## compare with restic and borg (benchmarks/README.md)
	@$(BIN)/python -m benchmarks.files $(ARGS)

bench-postgres: venv ## compare with pg_dump, restic and pgBackRest (benchmarks/README.md)
	@$(BIN)/python -m benchmarks.postgres $(ARGS)

bench-stores: venv ## compare with restic over S3 on the loopback (benchmarks/README.md)
	@$(BIN)/python -m benchmarks.stores $(ARGS)

bench-state: venv ## look at 500 sources with five years of hourly windows (benchmarks/README.md)
	@$(BIN)/python -m benchmarks.state $(ARGS)

lock: venv ## write requirements.lock anew (ARGS=--upgrade for newer releases)
	$(BIN)/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes --all-extras \
		--group dev --no-header --no-emit-index-url --output-file requirements.lock $(ARGS)

clean: ## remove what the other targets made
	$(PYTHON) demo/clean.py
	rm -rf .venv .venv.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
