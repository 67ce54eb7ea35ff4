# Everything a developer or CI does, each target complete in itself.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.headway-setup

STAMP_AIRFLOW := .venv-airflow/.headway-setup

.PHONY: help setup airflow-setup rabbitmq demo check docs test test-fast test-airflow law gx-parity crash landing bench lock format clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: $(STAMP) ## .venv, Python packages by hash, Java libraries; quick the second time, and then offline

$(STAMP): requirements.lock pyproject.toml src/headway/embedded/ivy.xml
	@echo "setup: virtual environment and locked Python packages"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "headway needs Python 3.11 or later; set PYTHON=python3.11"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@echo "setup: Java libraries"
	@$(BIN)/python -c 'import sys; from headway.embedded import archive, jars; jars.resolve(lambda t: print("setup:", t)); archive.make_in_background()'
	@touch $(STAMP)

airflow-setup: $(STAMP_AIRFLOW) ## .venv-airflow: Airflow, which wants an environment without Spark

$(STAMP_AIRFLOW): requirements-airflow.lock pyproject.toml
	@echo "setup: Airflow in an environment of its own"
	@test -x .venv-airflow/bin/python || $(PYTHON) -m venv .venv-airflow
	@.venv-airflow/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-airflow.lock
	@.venv-airflow/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP_AIRFLOW)

demo: setup ## real flights through every pipeline in every mode, compared row by row
	$(BIN)/headway demo

check: setup ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

rabbitmq: ## the RabbitMQ server that tests start, where this user may install it
	@test -x /usr/lib/rabbitmq/bin/rabbitmq-server || command -v rabbitmq-server > /dev/null || { \
	  as_root="$$([ "$$(id -u)" = 0 ] || echo sudo -n)"; \
	  echo "installing rabbitmq-server"; \
	  $$as_root apt-get -qq update > /dev/null \
	    && $$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends rabbitmq-server > /dev/null \
	    || echo "rabbitmq-server is missing and could not be installed: its tests are skipped (with CI set, they fail)"; }

docs: setup ## the documentation as pages in docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going -q -b html -d docs/_build/doctrees docs docs/_build/html
	@echo "docs/_build/html/index.html"

EXAMPLES := .venv/.headway-examples
$(EXAMPLES): $(STAMP) examples/headway-lines/pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation --editable examples/headway-lines
	@touch $(EXAMPLES)

WORKERS ?= 2
test: setup airflow-setup rabbitmq $(EXAMPLES) ## every test, on real Spark, Kafka and Iceberg, in WORKERS processes with a session each
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-fast: setup $(EXAMPLES) ## the tests that need no servers
	$(BIN)/python -m pytest -m "not servers and not slow"

test-airflow: setup airflow-setup ## the tests on a real Airflow
	$(BIN)/python -m pytest tests/integration/test_airflow.py -s

CASES ?= 1000
SEED ?= 1
law: setup ## random logs through each pipeline in all modes: make law CASES=1000 SEED=1
	HEADWAY_LAW_CASES=$(CASES) HEADWAY_LAW_SEED=$(SEED) $(BIN)/python -m pytest tests/modes/test_law.py -v -n $(WORKERS) --dist worksteal

gx-parity: setup ## compiled rules against Great Expectations itself on random frames: make gx-parity CASES=100 SEED=1
	HEADWAY_PARITY_CASES=$(CASES) HEADWAY_PARITY_SEED=$(SEED) $(BIN)/python -m pytest tests/integration/test_gx_parity.py -s

SEEDS ?= 5
crash: setup ## a run with every sink, killed at each named point: make crash SEEDS=5
	HEADWAY_CRASH_SEEDS=$(SEEDS) $(BIN)/python -m pytest tests/faults/test_crash.py -s

MESSAGES ?= 100000
KILLS ?= 20
landing: setup rabbitmq ## a run that lands messages from RabbitMQ, killed again and again: make landing MESSAGES=100000 KILLS=20
	HEADWAY_LANDING_MESSAGES=$(MESSAGES) HEADWAY_LANDING_KILLS=$(KILLS) $(BIN)/python -m pytest tests/faults/test_landing_kill.py -s

ONLY ?=
bench: setup ## every benchmark, or one: make bench ONLY=startup
	$(BIN)/python -m bench $(ONLY)

lock: ## resolve requirements.lock and requirements-airflow.lock anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --group dev --extra-index-url "" pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group pyproject.toml:airflow --extra-index-url "" -o requirements-airflow.lock

format: setup ## ruff's formatting and safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## stop the embedded stack and remove what was made
	-$(BIN)/headway down
	rm -rf .venv .venv-airflow .headway docs/_build .pytest_cache .mypy_cache .ruff_cache
