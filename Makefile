# make serve   start a cluster on this machine and talk to it
# make test    all tests, then a short simulation (SEEDS=20; more by itself: make sim, make soak)
# make chaos   kill and freeze the processes of a real cluster under load, and check every token
# make check   lint, types, import directions, size of files and functions
# make model   train the model that ships with Baton
# Each does its own set-up in .venv; it needs Python 3.11 or later, make and a C++ compiler.

PY := .venv/bin/python
BIN := .venv/bin
SEEDS ?= 20
SEED_START ?= 0
PROFILE ?= swarm
BUG ?=
PROCESSES ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install serve test test-cuda sim soak chaos check lint types imports shape format model clean

help:
	@sed -n '1,/^$$/s/^# //p' Makefile

.venv/.installed: pyproject.toml constraints.txt scripts/install.sh
	@bash scripts/install.sh
	@touch $@

install: .venv/.installed

serve: .venv/.installed
	@$(BIN)/baton up $(ARGS)

test: .venv/.installed
	@bash scripts/ensure_redis.sh
	$(PY) -m pytest $(ARGS)
	@$(MAKE) --no-print-directory sim

# Needs a CUDA device and a CUDA build of torch.
test-cuda: .venv/.installed
	$(PY) -m pytest tests/cuda $(ARGS)

# PROFILE: swarm, mixed or kill_only; a planted bug with BUG=name.
sim: .venv/.installed
	$(PY) -m tests.simulation --seeds $(SEEDS) --start $(SEED_START) --profile $(PROFILE) $(BUG:%=--bug %)

# Many seeds on all cores (or on PROCESSES of them), then every planted bug. Without SEEDS: 50,000.
soak: SEEDS = 50000
soak: .venv/.installed
	$(PY) -m tests.simulation.soak --seeds $(SEEDS) --start $(SEED_START) $(PROCESSES:%=--processes %)

# PROFILE: mixed, kill or term (one worker at a time), or changes (scaling and a rolling update). STREAMS at least,
# for SECONDS at least, a fault EVERY so many seconds, AT_ONCE talks at a time.
chaos: PROFILE = mixed
chaos: STREAMS ?= 300
chaos: SECONDS ?= 60
chaos: EVERY ?= 4
chaos: AT_ONCE ?= 32
chaos: SEED ?= 1
chaos: GATEWAYS ?= 1
chaos: .venv/.installed
	@bash scripts/ensure_redis.sh
	$(PY) -m tests.chaos --profile $(PROFILE) --streams $(STREAMS) --seconds $(SECONDS) --every $(EVERY) --at-once $(AT_ONCE) --seed $(SEED) --gateways $(GATEWAYS)

# `make -k check` goes on after the first failure.
check: lint types imports shape

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed
	$(BIN)/mypy

imports: .venv/.installed
	$(BIN)/lint-imports

shape: .venv/.installed
	$(PY) scripts/shape.py

format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

model: .venv/.installed
	$(PY) -m models.train $(ARGS)

bench-%: .venv/.installed
	$(PY) -m benchmarks.$* $(ARGS)

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
