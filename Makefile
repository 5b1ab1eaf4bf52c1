# `make help` lists the commands. Everything Python lives in .venv.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
TESTS ?= tests
# Tests start servers of their own and share two cores well; more processes only add start-up.
WORKERS ?= 2

export HF_HUB_OFFLINE ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo serve test check format docs migrate \
	bench screenshots lock clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.ready static/vendor/.ready ## Make the environment (.venv) and the front-end files

.venv/.ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Unitscope needs Python 3.11 or newer on the PATH." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; echo \
		"Python cannot make an environment here. On Debian: apt-get install python3-venv." >&2; exit 1; }
	$(BIN)/python -m pip install -q -r requirements.lock
	$(BIN)/python -m pip install -q --no-deps -e .
	@touch $@

static/vendor/.ready: static/package-lock.json setup/front_end.py | .venv/.ready
	$(BIN)/python setup/front_end.py
	@touch $@

setup-test: setup ## Make sure of what only the tests need (Chromium, a PostgreSQL server)
	@sh setup/system_packages.sh

demo: setup ## Index the shipped model and serve the site on http://127.0.0.1:8000
	$(BIN)/unitscope demo

serve: setup ## Serve what is indexed
	$(BIN)/unitscope serve

test: setup-test ## Run the whole test suite, browser tests included
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope $(TESTS)

check: setup-test ## What CI runs: format, lint, types, migrations, docs, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m setup.check_migrations
	$(BIN)/python -m setup.check_docs
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope $(TESTS)

format: setup ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

migrate: setup ## Upgrade the database's schema to this version
	$(BIN)/unitscope db upgrade

docs: setup ## Write the generated parts of the documents anew
	$(BIN)/python -m setup.check_docs --write

bench: setup ## Take the measurements of docs/measurements.md
	$(BIN)/python -m bench

screenshots: setup-test ## Take the README's pictures of the demo
	$(BIN)/python -m setup.screenshots

lock: setup ## Pin every dependency anew (requirements.lock, static/package-lock.json)
	$(BIN)/pip-compile -q --extra dev --strip-extras --no-annotate --no-header --upgrade \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		-o requirements.lock pyproject.toml
	@# A build's local version (2.13.0+cpu) is one machine's choice.
	sed -i -E 's/^([A-Za-z0-9._-]+==[^+ ]+)\+[^ ]+/\1/; /^#/d; /^$$/d' requirements.lock
	$(BIN)/python setup/front_end.py --lock

clean: ## Remove what the commands above made here (not your data directory)
	rm -rf .venv static/node_modules static/vendor .mypy_cache .ruff_cache .pytest_cache
