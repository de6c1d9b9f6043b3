# One command a purpose. `make setup` is idempotent and takes half a second when there is nothing to do.
# PYTHON chooses the interpreter (3.11 or newer) that the virtual environment is made of. Unless told, it is Debian's own where
# that is new enough: built with its optimizations on, it starts in two thirds of the time of one that a version manager compiled.

PYTHON ?= $(shell /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && echo /usr/bin/python3 || echo python3)
VENV   := .venv
BIN    := $(VENV)/bin
SHELL  := /bin/sh

.DEFAULT_GOAL := help
.PHONY: help setup check format lint types layers budget test test-unit test-integration demo bench fuzz kill real clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Debian packages that are missing, .venv with pinned tools, bytecode
	@PYTHON='$(PYTHON)' scripts/setup

check: setup format lint types layers budget ## everything that needs no kernel: format, lint, types, layers, start-up, house rules
	@echo "check: all good"

format:
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --diff --quiet . 2>&1 | head -40; \
	  echo "run: $(BIN)/ruff format ."; exit 1; }
lint:
	@$(BIN)/ruff check --quiet .
types:
	@$(BIN)/mypy
layers:
	@$(BIN)/lint-imports --no-logo --config pyproject.toml > .venv/layers.log 2>&1 || { cat .venv/layers.log; exit 1; }
budget:
	@$(BIN)/python -m pytest -q -p no:cacheprovider tests/unit/test_import_budget.py tests/unit/test_house_rules.py

test: setup ## every test: unit in parallel, then integration against the real kernel
	@$(BIN)/python scripts/run_tests.py unit integration
test-unit: setup
	@$(BIN)/python scripts/run_tests.py unit
test-integration: setup
	@$(BIN)/python scripts/run_tests.py integration

demo: setup ## from Debian packages to running pods, step by step
	@$(BIN)/python scripts/demo.py

bench: setup ## the comparison table; CASE=run-bridge,… N=rounds
	@$(BIN)/python -m benchmarks $(if $(CASE),--case '$(CASE)') $(if $(N),--rounds '$(N)')

fuzz: setup ## every property test, for longer
	@LADING_FUZZ=1 $(BIN)/python scripts/run_tests.py fuzz

kill: setup ## random kill -9s of our own processes, and what must be true after them; N=kills SEED=…
	@$(BIN)/python scripts/kill.py --kills '$(or $(N),500)' --seed '$(or $(SEED),1)'

real: setup ## the Dockerfiles of examples/dockerfiles that install much, built, run and asked: minutes
	@$(BIN)/python scripts/run_tests.py real

clean: ## what make made, and nothing else
	rm -rf $(VENV) .work build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +
