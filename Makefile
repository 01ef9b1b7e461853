# Everything starts here. Only make and python3 (3.11 or newer, with venv) have to be on the machine.
# A target's comment after ## is what `make help` shows.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help python setup setup-dev native run demo test check bench bench-consensus bench-ledger bench-tally campaign model mutants mutation images cluster-test lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do printf '  make %-15s %s\n' "$$name" "$$text"; done

# The interpreter may be missing altogether, which only the shell can say.
python:
	@command -v $(PYTHON) >/dev/null || { echo "ICN needs Python 3.11 or newer, and $(PYTHON) is not on this machine: install it (Debian, Ubuntu: apt install python3 python3-venv) and run make again." >&2; exit 1; }

setup: python ## make .venv with the `icn` command (.venv/bin/icn)
	@$(PYTHON) scripts/setup.py

setup-dev: python ## the same with the tools for tests and checks
	@$(PYTHON) scripts/setup.py --dev

native: setup ## build the optional accelerator into .venv (needs Rust; same results, faster)
	@command -v cargo >/dev/null || { echo "The accelerator needs Rust 1.85 or newer, and cargo is not on this machine; everything works without it." >&2; exit 1; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --reinstall-package icn-native ./native

run: setup ## start the platform, play the story, print the address and stay up
	@$(BIN)/icn demo --keep

demo: setup ## play the story on a fresh platform, then stop; the exit status tells
	@$(BIN)/icn demo

test: setup-dev ## pass all tests
	@$(BIN)/pytest -q -n auto

check: setup-dev ## format, lint, types, import rules, protos, rules about the repository
	@$(BIN)/python scripts/check.py

bench: setup-dev ## print the table of what the platform must reach
	@$(BIN)/python benches/run.py

PAIRS ?= 5
GROWTH ?= 1000000
PROFILES ?= 200
bench-consensus: setup-dev ## consensus and ledger beside CometBFT, interleaved (needs Go; after `make native` with it, too; PAIRS=5)
	@$(BIN)/python -m benches.consensus --pairs $(PAIRS)

bench-ledger: setup-dev ## what the ledger must reach, beside plpgsql under pgbench (after `make native` with it, too; PAIRS=5 GROWTH=1000000)
	@$(BIN)/python -m benches.ledger --pairs $(PAIRS) --growth $(GROWTH)

bench-tally: setup-dev ## what counts cost, and random elections counted by other libraries, too (PROFILES=200)
	@$(BIN)/python -m benches.tally --profiles $(PROFILES)

mutants: setup-dev ## plant known bugs one by one: tests or simulator must find each
	@$(BIN)/python -m scripts.mutants

mutation: setup-dev ## mutmut on the core of consensus, the rules of the ledger and the counts of votes: quick tests must notice 85 % (hours)
	@$(BIN)/python -m scripts.mutate_core
	@$(BIN)/python -m scripts.mutate_core --of ledger
	@$(BIN)/python -m scripts.mutate_core --of tally

model: setup-dev ## check the model of consensus by simulation (needs node 18 with npm)
	@$(BIN)/python -m scripts.model

SEEDS ?= 5000
FIRST_SEED ?= 1000
KILLS ?= 50
ROUNDS ?= 10
CASES ?= 100000
FUZZ_SECONDS ?= 100
campaign: setup-dev ## long runs: new seeds of consensus, bad input, fuzzed readers, verdicts (after `make native`), kills, stories, tests marked long (SEEDS=5000 FIRST_SEED=1000 CASES=100000 FUZZ_SECONDS=100 KILLS=50 ROUNDS=10)
	@$(BIN)/icn sim --seeds $(SEEDS) --first-seed $(FIRST_SEED)
	@$(BIN)/python -m scripts.bad_input --cases $(CASES) --first-seed $(FIRST_SEED)
	@$(BIN)/python -m scripts.fuzz_readers --seconds $(FUZZ_SECONDS) --first-seed $(FIRST_SEED) || test $$? = 2 # no Atheris here
	@$(BIN)/python -m scripts.verdicts --cases $(CASES) --first-seed $(FIRST_SEED)
	@$(BIN)/python -m scripts.kills --kills $(KILLS) --first-seed $(FIRST_SEED)
	@$(BIN)/python -m scripts.stories --rounds $(ROUNDS) --first-seed $(FIRST_SEED)
	@$(BIN)/pytest -q -m long

DOCKER ?= docker
TAG ?= dev
images: setup-dev ## build an image per service (needs Docker with BuildKit and a base image; TAG=dev DOCKER=docker)
	@$(BIN)/python -m scripts.images --docker $(DOCKER) --tag $(TAG)

CLUSTER_DIR ?= ../shared/cluster
cluster-test: setup-dev ## install the chart on a real Kubernetes and hold it to its bars (Linux, root, Go; CLUSTER_DIR, STEPS)
	@CLUSTER_DIR=$(CLUSTER_DIR) $(BIN)/python -m scripts.cluster_test --tag $(TAG) $(STEPS:%=--only %)

lock: setup ## resolve requirements*.in into the hashed lock files
	@$(BIN)/python scripts/lock.py

clean: ## remove .venv, caches and everything else that was made here
	@rm -rf .venv build protos/generated .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
