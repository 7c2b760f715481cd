# Works with GNU make 3.81 (macOS). Everything is made inside this folder: .venv/ and .setup/.

PYTHON_IN_VENV := .venv/bin/python
ROOT := $(shell pwd -P)
# A folder that was copied or moved carries a .venv that points at its old place.
MOVED := $(if $(filter-out $(ROOT),$(shell cat .venv/root 2>/dev/null)),moved)

.DEFAULT_GOAL := help
.PHONY: help setup demo up test check chaos bench lock clean FORCE
.NOTPARALLEL:
# A setup step that fails must not look done.
.DELETE_ON_ERROR:

help: ## list what there is to make
	@echo 'make TARGET, where TARGET is one of:'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-10s %s\n", $$1, $$2 }'

setup: .setup/venv.stamp .setup/pgbouncer.stamp ## make .venv with every package, PostgreSQL and PgBouncer (demo and test do it too)

demo: setup ## run the main job on a real PostgreSQL and PgBouncer, and write a report
	@.venv/bin/broker demo </dev/null

up: setup ## run PostgreSQL and PgBouncer for development, until Ctrl-C
	@.venv/bin/broker up

test: setup check ## check, then run every test
	@echo '==> pytest'
	@$(PYTHON_IN_VENV) -m pytest </dev/null

check: setup ## ruff, mypy and the import contracts
	@echo '==> ruff check'
	@$(PYTHON_IN_VENV) -m ruff check .
	@echo '==> ruff format --check'
	@$(PYTHON_IN_VENV) -m ruff format --check .
	@echo '==> mypy'
	@$(PYTHON_IN_VENV) -m mypy
	@$(PYTHON_IN_VENV) -m mypy scripts/pgbouncer.py
	@echo '==> lint-imports'
	@.venv/bin/lint-imports

chaos: setup ## run 10,000 invocations under every fault, and report what came of each (SEED=… for the same again)
	@$(PYTHON_IN_VENV) -m tests.chaos $(if $(SEED),--seed $(SEED)) </dev/null

bench: setup ## measure, side by side, what the README claims
	@$(PYTHON_IN_VENV) -m benchmarks </dev/null

lock: setup ## make constraints.txt again, with the newest versions that pyproject.toml allows
	@sh scripts/venv.sh lock </dev/null

clean: ## remove everything that was made here
	rm -rf .venv .setup build dist report.html
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# FORCE where the stamp cannot be believed: .venv is gone, or belongs to another folder.
.setup/venv.stamp: pyproject.toml constraints.txt scripts/venv.sh $(if $(MOVED),FORCE) $(if $(wildcard $(PYTHON_IN_VENV)),,FORCE)
	@mkdir -p .setup
	@echo '==> Python packages'
	@sh scripts/venv.sh make </dev/null
	@touch $@

.setup/pgbouncer.stamp: .setup/venv.stamp scripts/pgbouncer.py $(if $(wildcard .venv/bin/pgbouncer),,FORCE)
	@echo '==> PgBouncer'
	@$(PYTHON_IN_VENV) scripts/pgbouncer.py </dev/null
	@touch $@

FORCE:
