# Everything a contributor runs. `make help` lists it; `make demo` and `make test` set up what they need by themselves.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
DIST := dist
BIN := $(VENV)/bin
SERVICES := kafka or rabbitmq or workerd or chromium or containers
LOCK := uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-header --no-emit-index-url --no-emit-find-links pyproject.toml --extra all

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint format bench quota storm hostile dashboard footprint dist release-check lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: $(VENV)/.run ## The main job on this machine: embedded broker, emulator, 2,000 orders and their payments
	$(BIN)/workflow-bridge demo

test: $(VENV)/.dev ## All tests, on real servers; installs those (Debian or Ubuntu, as root or with sudo)
	sh tests/services/install.sh $(BIN)/python
	$(BIN)/python -m pytest $(PYTEST)

test-fast: $(VENV)/.dev ## The tests that need only Python; under a minute
	$(BIN)/python -m pytest -m "not ($(SERVICES) or slow)" $(PYTEST)

lint: $(VENV)/.dev ## Format, lint, types, layers, security
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --severity-level medium bridge

format: $(VENV)/.dev ## Rewrite the sources as the formatter wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## CPU per message: rules, HTTP, five scenes on real brokers; latency; ARGS="--scene rules" needs none
	@case "$(ARGS)" in *"--scene rules"*) ;; *) sh tests/services/install.sh $(BIN)/python ;; esac
	$(BIN)/python -m bench $(ARGS)

storm: $(VENV)/.dev ## 100,000 messages over 10,000 lanes, a fifth of all requests failing; ARGS="--seed 2"
	$(BIN)/python -m tests.dispatch.delivery_storm $(ARGS)

hostile: $(VENV)/.dev ## 100,000 messages that nobody should send, through brokers, bridge and emulator; ARGS="--seed 2"
	sh tests/services/install.sh $(BIN)/python
	$(BIN)/python -m tests.hostile.storm $(ARGS)

.PHONY: torture
export PART MINUTES KILLS SEED SABOTAGE REPORT LOGS

torture: $(VENV)/.dev ## Kills and faults on real brokers, and whether anything was lost; MINUTES= KILLS= SEED= SABOTAGE= PART=
	sh tests/services/install.sh $(BIN)/python
	$(BIN)/python -m tests.torture

quota: $(VENV)/.dev ## Whether the quota is kept and used up: 15 minutes in under 2, figures of the emulator's journal
	$(BIN)/python -m bench.quota $(ARGS)

dashboard: $(VENV)/.dev ## Write helm/dashboards/workflow-bridge.json from the Python beside it
	$(BIN)/python -m helm.dashboards.build

footprint: $(VENV)/.dev ## What the image takes: size, start, processor and memory at three loads; as root
	sh tests/services/install.sh $(BIN)/python
	$(BIN)/python -m bench.footprint

dist: $(VENV)/.dev ## The package and the chart, as a release has them
	mkdir -p $(DIST)
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir $(DIST) .
	$(BIN)/python -m tests.services.tools helm-4.1.4 package helm --destination $(DIST)

release-check: $(VENV)/.dev ## All of a release that can be done here: versions, lint, chart, image, package
	$(BIN)/python tests/release/versions.py
	$(MAKE) lint
	sh tests/services/install.sh $(BIN)/python
	$(BIN)/python -m pytest tests/release tests/helm tests/image
	$(MAKE) dist

lock: $(VENV)/.dev ## Compute the locked requirements anew
	$(BIN)/$(LOCK) --group build -o requirements.lock
	$(BIN)/$(LOCK) --group dev -c requirements.lock -o requirements-dev.lock

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run
