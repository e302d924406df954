# The one list of commands. `make help` explains it; CI runs `make ci`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TUTORIAL := .venv-strength
ENV ?= connect_four
# torch's CPU builds, where there is no GPU: the default build for Linux brings gigabytes of CUDA.
TORCH_INDEX ?= $(shell command -v nvidia-smi > /dev/null || echo --extra-index-url https://download.pytorch.org/whl/cpu)
COOP := runs/coop/$(shell date +%Y-%m-%d_%H-%M-%S)
CONTRAST := runs/contrast/$(shell date +%Y-%m-%d_%H-%M-%S)

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev lock lint format type docs test test-slow ci league self-play circle coop contrast train tb check-env bench strength wheel clean

help:           ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.installed  ## build .venv from requirements.lock, if it is missing or older than the lock

setup-dev: $(VENV)/.installed-dev  ## the same, with the tools and packages of requirements-dev.lock, which tests need

$(VENV)/.installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --retries 1 $(TORCH_INDEX) "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet -r requirements.lock -r requirements-dev.lock
	touch $@

lock:           ## write requirements.lock and requirements-dev.lock from what is installed in .venv
	$(BIN)/python .ci/lock.py

lint: setup-dev ## ruff, and the import contracts between the folders
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

format: setup-dev ## let ruff format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: setup-dev ## mypy, strict
	$(BIN)/mypy

docs: setup     ## write docs/config.md, docs/config.schema.json and docs/metrics.md from the code
	$(BIN)/python -m marl_app.config.docs
	$(BIN)/python -m marl_app.metrics.docs

test: setup-dev ## the tests, but for the slow ones, three files at a time; they also check that docs/ is up to date
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-slow: setup-dev ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

ci: lint type test  ## what CI runs: set-up, lint, import contracts, types, tests

league: setup   ## train a league on Connect Four
	$(BIN)/python -m marl_app +experiment=league_td $(ARGS)

self-play: setup ## train the baseline that a league has to beat
	$(BIN)/python -m marl_app +experiment=self_play $(ARGS)

circle: setup   ## the circle game: why leagues exist, in seconds
	$(BIN)/python -m marl_app +experiment=circle $(ARGS)
	$(BIN)/python -m marl_app +experiment=circle_schemes $(ARGS)

coop: setup     ## the study of cooperative teams: sharing x critic x seeds on two environments (an hour and a half)
	for env in simple_spread lbf_8x8_2p_2f_coop; do \
	  $(BIN)/python -m marl_app +experiment=mappo +sweep=coop env=$$env hydra.sweep.dir=$(COOP)/$$env $(ARGS) && \
	  $(BIN)/python -m marl_app task=study run=$(COOP)/$$env hydra.run.dir=$(COOP)/$$env-study || exit 1; \
	done

contrast: setup ## schemes of self-play at equal compute: score against their own past, cycles, exploitability (an hour)
	for game in connect_four kuhn_poker; do \
	  $(BIN)/python -m marl_app +sweep=contrast_$$game hydra.sweep.dir=$(CONTRAST)/$$game $(ARGS) && \
	  $(BIN)/python -m marl_app task=contrast run=$(CONTRAST)/$$game hydra.run.dir=$(CONTRAST)/$$game-contrast || exit 1; \
	done

train: setup    ## any run: make train ARGS="+experiment=league env=tic_tac_toe"
	$(BIN)/python -m marl_app $(ARGS)

tb: setup       ## TensorBoard of all runs: those in $MARL_RUNS, or in runs/
	$(BIN)/tensorboard --load_fast=false --logdir "$${MARL_RUNS:-runs}"  # the fast loader drops descriptions

check-env: setup ## check an environment against the contract: make check-env ENV=tic_tac_toe
	$(BIN)/python -m marl_app.envs.checker $(ENV) $(ARGS)

bench: setup    ## training speed next to RLlib's own env runner and a bare loop
	$(BIN)/python -m benchmarks.throughput $(ARGS)

strength: setup $(TUTORIAL)/.installed ## minutes to fixed marks of strength, ours and a tutorial's (80 minutes)
	$(BIN)/python -m benchmarks.strength $(ARGS)

# The tutorial's packages, without ours. Versions that both have are those of the lock.
$(TUTORIAL)/.installed: requirements.lock
	test -x $(TUTORIAL)/bin/python || $(PYTHON) -m venv $(TUTORIAL)
	$(TUTORIAL)/bin/python -m pip install --quiet "$$(grep '^torch==' requirements.lock)"
	$(TUTORIAL)/bin/python -m pip install --quiet --constraint requirements.lock \
	  sb3-contrib==2.7.0 stable-baselines3==2.7.0 'pettingzoo[classic]'
	touch $@

wheel: setup    ## dist/marl_app-VERSION.whl, what `pip install` needs outside the checkout
	rm -rf build
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean:          ## remove caches and build products (not .venv*, not runs)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -not -path './.venv*/*' -type d -exec rm -rf {} +
