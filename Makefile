# Every command starts from the lock files and needs only Python 3.11 or later and make.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.heddle-environment
# Environments of the queues that we are measured beside; nothing of theirs is in ours.
PEERS := .bench-peers
PEERS_STAMP := $(PEERS)/.environments
GATEWAY_STAMP := $(PEERS)/.gateway-environment
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3; do \
	if "$$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$$name"; break; fi; done)
# UV_PYTHON and friends of the caller must not send packages elsewhere than into our environment.
UV := VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv --quiet
COMPILE := --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url
PYTEST ?= $(BIN)/python -m pytest
TESTS ?= tests
# Tests that kill and time whole programs have the machine to themselves; the others run beside each other, file by file.
ALONE := tests/fault tests/acceptance
# Of those, the ones that count and time nothing wait for most of their time: they run two at a time.
PAIRED := $(patsubst %,tests/fault/test_%.py,bad_steps callback_storm crash_matrix gateway gpu_jobs late_news openai_calls \
	paid_calls pooler_workers restore stops upgrade worker_death)
BESIDE ?= -n auto --maxprocesses=4 --dist loadfile
SEEDS ?= 500
SEED ?=
ARGS ?=

.PHONY: help env up demo test test-fault quick check format lock bench bench-peers bench-gateway plots sim drill clean

help: ## Show these commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(STAMP) ## Make .venv from the lock files, or do nothing when it is current.

$(STAMP): requirements.lock requirements-uv.txt pyproject.toml
	@if [[ -z "$(PYTHON)" ]]; then echo "make env: no Python 3.11 or later with venv was found; name one with PYTHON=/path/to/python3" >&2; exit 1; fi
	@if ! [[ -x $(BIN)/python ]]; then echo "Making $(VENV) with $(PYTHON)"; "$(PYTHON)" -m venv $(VENV); fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-uv.txt
	@$(UV) pip sync --require-hashes requirements-uv.txt requirements.lock
	@$(UV) pip install --no-deps --no-build-isolation --editable .
	@touch $@

up: env ## Start everything on this machine and serve until Ctrl-C.
	@$(BIN)/heddle up

demo: env ## Run the example on real photographs (PHOTOS=folder takes yours) and write out/.
	@$(BIN)/heddle demo

test: env ## Run every test (TESTS=path and ARGS=… narrow it); what a machine lacks is skipped by name.
	@if [[ "$${HEDDLE_TEST_INSTALL:-}" == 1 ]]; then $(BIN)/python -m tests.programs; fi
	@if [[ "$(TESTS)" == tests ]]; then \
		failed=0; \
		$(PYTEST) tests $(ALONE:%=--ignore=%) $(BESIDE) -ra --no-fold-skipped $(ARGS) || failed=1; \
		$(PYTEST) $(PAIRED) -n 2 --dist loadfile -ra --no-fold-skipped $(ARGS) || failed=1; \
		$(PYTEST) $(ALONE) $(PAIRED:%=--ignore=%) -ra --no-fold-skipped $(ARGS) || failed=1; \
		exit $$failed; \
	fi; $(PYTEST) $(TESTS) -ra --no-fold-skipped $(ARGS)

test-fault: env ## Kill, cut, fill and skew things, and print what was measured (FULL=1 for the full length of each bar).
	@FAULT_FULL=$(FULL) $(PYTEST) tests/fault -ra --no-fold-skipped $(ARGS)
	@$(BIN)/python -m tests.fault.figures

quick: check ## Run the checks and the fast tests, two minutes at most; for every commit.
	@$(PYTEST) tests/unit tests/property -m "not slow" $(BESIDE) -ra --no-fold-skipped $(ARGS)

check: env ## Check style, types, layers, sizes and lock files.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(PYTEST) tests/house --quiet

format: env ## Format the code and sort its imports.
	@$(BIN)/ruff check --select I --fix .
	@$(BIN)/ruff format .

lock: env ## Resolve both lock files again (ARGS=--upgrade takes newer versions).
	@$(UV) pip compile $(COMPILE) --extra service --extra aws --extra gcp --extra demo --extra dev pyproject.toml --output-file requirements.lock $(ARGS) > /dev/null
	@printf 'setuptools>=77\nuv>=0.7\n' | $(UV) pip compile $(COMPILE) - --output-file requirements-uv.txt $(ARGS) > /dev/null
	@for name in requirements requirements-arq; do \
		$(UV) pip compile $(COMPILE) bench/peers/$$name.in --output-file bench/peers/$$name.txt $(ARGS) > /dev/null; done
	@$(UV) pip compile $(COMPILE) bench/gateway/requirements.in --output-file bench/gateway/requirements.txt $(ARGS) > /dev/null
	@for file in tests/vendors/requirements-*.in; do \
		$(UV) pip compile $(COMPILE) $$file --output-file $${file%.in}.txt $(ARGS) > /dev/null; done

bench: env ## Measure throughput and latency here and print the machine beside the figures.
	@$(BIN)/python -m bench $(ARGS)

bench-peers: env $(PEERS_STAMP) ## Measure Celery, Dramatiq, taskiq and six others beside Heddle; about an hour.
	@$(BIN)/python -m bench.peers $(ARGS)

$(PEERS_STAMP): bench/peers/requirements.txt bench/peers/requirements-arq.txt | env
	@for pair in venv:requirements venv-arq:requirements-arq; do \
		folder=$(PEERS)/$${pair%%:*}; \
		if ! [[ -x $$folder/bin/python ]]; then "$(PYTHON)" -m venv --without-pip $$folder; fi; \
		VIRTUAL_ENV=$(abspath $(PEERS))/$${pair%%:*} $(BIN)/uv --quiet pip sync --require-hashes bench/peers/$${pair#*:}.txt; done
	@touch $@

bench-gateway: env $(GATEWAY_STAMP) ## Measure what the gateway adds to a call, beside LiteLLM's proxy.
	@$(BIN)/python -m bench.gateway $(ARGS)

$(GATEWAY_STAMP): bench/gateway/requirements.txt | env
	@folder=$(PEERS)/venv-litellm; if ! [[ -x $$folder/bin/python ]]; then "$(PYTHON)" -m venv --without-pip $$folder; fi; \
		VIRTUAL_ENV=$(abspath $(PEERS))/venv-litellm $(BIN)/uv --quiet pip sync --require-hashes $<
	@touch $@

plots: env ## Draw the newest results of bench/results into docs/pictures.
	@$(BIN)/python -m bench.plots $(ARGS)

sim: env ## Live seeded days of the engine on a virtual clock: SEEDS=10000 lives more, SEED=123 shows one.
	@$(BIN)/python -m tests.simulation $(if $(SEED),$(SEED),--seeds $(SEEDS)) $(ARGS)

drill: env ## Restore a backup to a point in time under load and count what was paid (tests/fault/test_restore.py).
	@$(PYTEST) tests/fault/test_restore.py -ra --no-fold-skipped -s $(ARGS)

clean: ## Remove what was built and measured; .venv, .vendors, .bench-peers and .heddle stay.
	@rm -rf build dist out .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache src/*.egg-info
	@find src tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
