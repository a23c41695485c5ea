PYTHON ?= python3
BIN := .venv/bin
COMPILE := $(BIN)/pip-compile -q --generate-hashes --allow-unsafe --strip-extras --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
JOBS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 4)  # tests of real hubs mostly wait
SIDE_BY_SIDE = $(BIN)/python -m pytest -n $(JOBS)
export PYTHONDONTWRITEBYTECODE =  # tests start many hubs, which would all compile the same modules
INSTALL := $(BIN)/pip install -q --disable-pip-version-check

.PHONY: run test test-services test-quick soak faults lint types bench lock clean

run: .venv/run  ## start the hub on schedule.yaml
	@$(BIN)/twistd -n --pidfile= reactorhub

test: .venv/dev  ## all tests but those of other software: units, docs, layers, real processes
	@$(SIDE_BY_SIDE) -m "not services"

test-services: .venv/dev  ## the tests with other software, which they install: older versions of Scrapy
	@$(SIDE_BY_SIDE) -m services

test-quick: .venv/dev  ## the tests that start no hub and are not slow, for the loop of writing code
	@$(SIDE_BY_SIDE) -m "not real_hub and not slow"

soak: .venv/dev  ## the tests of when runs start, for ten minutes
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest tests/oracle tests/triggers tests/policies/test_agenda.py \
		tests/policies/test_jitter.py tests/schedules/test_scheduler.py \
		tests/integration/test_reload_stress.py tests/integration/test_clock_steps.py
	REACTORHUB_TEST_RELOADS=300 $(BIN)/python -m pytest tests/engine/test_scrapy_reload.py

faults: .venv/dev  ## kills, storms and cancels in long rounds, with every hub started from scratch
	ROUNDS=long FRESH_HUBS=1 $(BIN)/python -m pytest tests/integration/test_chains.py tests/integration/test_crash.py \
		tests/integration/test_fleet_kills.py \
		tests/integration/test_feed.py tests/integration/test_feed_kills.py tests/spiderkit/feed/test_faults.py \
		tests/integration/test_harm.py tests/integration/test_isolated.py tests/integration/test_redis.py \
		tests/integration/test_reload_stress.py \
		tests/integration/test_retention.py tests/integration/test_retries.py tests/integration/test_shutdown.py \
		tests/integration/test_stopping.py tests/oracle/test_kill_points.py \
		tests/spiderkit/connection/test_storm.py

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: .venv/dev
	$(BIN)/mypy

bench: .venv-bench/ready  ## the figures that the README quotes
	.venv-bench/bin/python -m bench

lock: .venv/dev  ## pin the newest versions that setup.cfg allows
	$(COMPILE) --upgrade --extra embedded -o requirements.lock requirements.in setup.py
	$(COMPILE) --upgrade --all-extras -c requirements.lock -o requirements-dev.lock requirements.in setup.py
	grep -v '^setuptools==' requirements.lock | grep '==' | sed 's/ .*//' > .venv/pins.txt
	$(COMPILE) --upgrade -c .venv/pins.txt -o bench/requirements.lock bench/requirements.in

clean:
	rm -rf .venv .venv-bench build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/run: requirements.lock setup.cfg setup.py | .venv/bin/pip
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: requirements-dev.lock .venv/run
	$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

.venv-bench/ready: requirements.lock bench/requirements.lock setup.cfg setup.py
	test -x .venv-bench/bin/pip || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	.venv-bench/bin/pip install -q --disable-pip-version-check --require-hashes -r bench/requirements.lock
	.venv-bench/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
