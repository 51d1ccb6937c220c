# Bulk Email Scheduler: `make` lists what there is to do, `make run` starts the product.
# Needs Python 3.11 or newer with its venv module, and make; works from any folder.

ROOT := $(if $(wildcard launcher/install.py),.,$(dir $(realpath $(lastword $(MAKEFILE_LIST)))))
BIN := .venv/bin
# The newest Python that is new enough; PYTHON=... chooses another one.
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null 2>&1 && \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && \
	{ echo $$p; break; }; done)
T ?= tests
IN := @cd "$(ROOT)" &&

.DEFAULT_GOAL := help
.PHONY: help run setup demo test lint fix types chaos bench freeze sure venv venv-dev

help: ## Show this list
	$(IN) sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | \
		while IFS='|' read -r name text; do printf '%-14s %s\n' "$$name" "$$text"; done

run: venv ## Start the product: web, scheduler and, until SES is set up, the simulator
	$(IN) exec $(BIN)/python run.py --end-with-parent

setup: venv ## Prepare everything that `make run` needs, but start nothing
	$(IN) exec $(BIN)/python run.py --setup

demo: venv ## Launch a sample campaign with 2,000 recipients on the simulator
	$(IN) exec $(BIN)/python run.py --demo --end-with-parent

test: venv-dev ## Run the tests; T=tests/unit or T=tests/db/test_schema.py runs a part
	$(IN) exec $(BIN)/python -m pytest --timeout 300 $(if $(filter tests,$(T)),-n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder) $(T)

lint: venv-dev ## Look for mistakes and for code that is not formatted
	$(IN) $(BIN)/ruff check . && $(BIN)/ruff format --check .

fix: venv-dev ## Format the code and mend what can be mended by itself
	$(IN) $(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: venv-dev ## Check the types
	$(IN) exec $(BIN)/mypy .

chaos: venv-dev ## Minutes of random crashes, on both databases: nobody lost, nobody twice
	$(IN) exec $(BIN)/python -m pytest -m chaos --timeout 3600 tests/flow

bench: venv ## Measure sending, rate, events, import and verification
	$(IN) for bench in benchmarks/*_bench.py; do $(BIN)/python $$bench || exit 1; done

freeze: ## Write the lock files anew from requirements*.in
	$(IN) "$(PYTHON)" launcher/freeze.py

sure: lint types test ## Everything that has to hold before a change is published

venv venv-dev:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 or newer is missing." >&2; \
		echo "  Debian, Ubuntu: sudo apt install python3 python3-venv" >&2; \
		echo "  or name one:    make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
		exit 1; \
	fi
	$(IN) "$(PYTHON)" launcher/install.py requirements.txt \
		$(if $(filter venv-dev,$@),requirements-dev.txt)
