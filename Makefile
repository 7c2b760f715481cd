# Works with GNU make 3.81 (macOS). Everything is made inside this folder: .venv/ and .setup/.

PYTHON_IN_VENV := .venv/bin/python
ROOT := $(shell pwd -P)
# A folder that was copied or moved carries a .venv that points at its old place.
MOVED := $(if $(filter-out $(ROOT),$(shell cat .venv/root 2>/dev/null)),moved)

# Node and npm are the venv's.
CDK := PATH="$(ROOT)/.venv/bin:$$PATH" CDK_DISABLE_CLI_TELEMETRY=true node_modules/.bin/cdk

.DEFAULT_GOAL := help
.PHONY: help setup demo up test deploy-test check chaos docs synth deploy destroy node bench lock dist audit clean FORCE
.NOTPARALLEL:
# A setup step that fails must not look done.
.DELETE_ON_ERROR:

help: ## list what there is to make
	@echo 'make TARGET, where TARGET is one of:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'

setup: .setup/venv.stamp .setup/pgbouncer.stamp .setup/postgres_tls.stamp ## make .venv with every package, PostgreSQL and PgBouncer (demo and test do it too)

demo: setup ## run the main job on a real PostgreSQL and PgBouncer, and write a report
	@.venv/bin/broker demo </dev/null

up: setup ## run PostgreSQL and PgBouncer for development, until Ctrl-C
	@.venv/bin/broker up

# In the folders' order the longest files, the deployments, come early: no worker waits for them.
test: setup node .setup/postgres_versions.stamp .setup/checkov.stamp .setup/emulator.stamp .setup/chromium.stamp .setup/release.stamp check ## check, then run every test
	@echo '==> pytest'
	@$(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile --no-loadscope-reorder </dev/null

deploy-test: setup node .setup/emulator.stamp ## deploy, change, break and destroy every flavour in an emulated account
	@$(PYTHON_IN_VENV) -m pytest -m deployment -s -n 2 tests/deployment </dev/null

check: setup ## ruff, mypy and the import contracts
	@echo '==> ruff check'
	@$(PYTHON_IN_VENV) -m ruff check .
	@echo '==> ruff format --check'
	@$(PYTHON_IN_VENV) -m ruff format --check .
	@echo '==> mypy'
	@$(PYTHON_IN_VENV) -m mypy
	@$(PYTHON_IN_VENV) -m mypy scripts
	@echo '==> lint-imports'
	@.venv/bin/lint-imports

chaos: setup ## give the protocol a million answers, run 10,000 invocations under every fault, and report (SEED=… for the same again)
	@$(PYTHON_IN_VENV) -m tests.chaos.fuzz $(if $(SEED),--seed $(SEED)) </dev/null
	@$(PYTHON_IN_VENV) -m tests.chaos $(if $(SEED),--seed $(SEED)) </dev/null

docs: setup ## build the documentation, a site in site/
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --clean
	@echo 'site/index.html'

synth: node ## write the CloudFormation template of broker.toml to cdk.out/
	@$(CDK) synth --quiet

deploy: node ## deploy broker.toml with the AWS credentials of this shell
	@$(CDK) deploy

destroy: node ## remove what was deployed, but for the database and the network it is in
	@$(CDK) destroy

node: setup .setup/node.stamp # the CDK's CLI, at the version in package.json

bench: setup ## measure, side by side, what the README claims
	@$(PYTHON_IN_VENV) -m benchmarks </dev/null

lock: setup ## make constraints.txt again, with the newest versions that pyproject.toml allows
	@sh scripts/venv.sh lock </dev/null

dist: setup node .setup/release.stamp ## build wheel, sdist and layer, and list what is in them (contents, licences, SBOM), in dist/
	@PATH="$(ROOT)/.venv/bin:$$PATH" $(PYTHON_IN_VENV) scripts/release.py dist </dev/null

# --strict: a package that the service does not know was not looked at, which is no "none found".
audit: .setup/release.stamp ## look for known vulnerabilities in what constraints.txt pins (asks pypi.org)
	@.setup/release/bin/pip-audit --strict --progress-spinner off --disable-pip --no-deps -r constraints.txt </dev/null

clean: ## remove everything that was made here
	rm -rf .venv .setup build dist site node_modules cdk.out report.html
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# FORCE where the stamp cannot be believed: .venv is gone, or belongs to another folder.
.setup/venv.stamp: pyproject.toml constraints.txt scripts/venv.sh $(if $(MOVED),FORCE) $(if $(wildcard $(PYTHON_IN_VENV)),,FORCE)
	@mkdir -p .setup
	@echo '==> Python packages'
	@sh scripts/venv.sh make </dev/null
	@touch $@

.setup/pgbouncer.stamp: .setup/venv.stamp scripts/pgbouncer.py scripts/debian.py $(if $(wildcard .venv/bin/pgbouncer),,FORCE)
	@echo '==> PgBouncer'
	@$(PYTHON_IN_VENV) scripts/pgbouncer.py </dev/null
	@touch $@

.setup/postgres_tls.stamp: .setup/venv.stamp scripts/postgres_tls.py scripts/debian.py scripts/optional.py $(if $(wildcard .venv/postgres-tls/postgres .venv/postgres-tls.missing),,FORCE)
	@echo '==> PostgreSQL with TLS'
	@$(PYTHON_IN_VENV) scripts/postgres_tls.py </dev/null
	@touch $@

.setup/chromium.stamp: .setup/venv.stamp scripts/chromium.py scripts/debian.py scripts/optional.py $(if $(wildcard .venv/chromium .venv/chromium.missing),,FORCE)
	@echo '==> Chromium'
	@$(PYTHON_IN_VENV) scripts/chromium.py </dev/null
	@touch $@

.setup/postgres_versions.stamp: .setup/venv.stamp scripts/postgres_versions.py $(wildcard scripts/postgres_versions/*.json) $(if $(wildcard .venv/postgres/*),,FORCE)
	@echo '==> PostgreSQL 13 to 17'
	@$(PYTHON_IN_VENV) scripts/postgres_versions.py </dev/null
	@touch $@

.setup/node.stamp: .setup/venv.stamp package.json package-lock.json .npmrc $(if $(wildcard node_modules/.bin/cdk),,FORCE)
	@echo '==> CDK CLI'
	@PATH="$(ROOT)/.venv/bin:$$PATH" npm ci --silent </dev/null
	@touch $@

.setup/checkov.stamp: .setup/venv.stamp scripts/tool.sh scripts/checkov.txt $(if $(wildcard .setup/checkov/bin/python),,FORCE)
	@echo '==> checkov'
	@sh scripts/tool.sh checkov </dev/null
	@touch $@

.setup/release.stamp: .setup/venv.stamp scripts/tool.sh scripts/release.txt $(if $(wildcard .setup/release/bin/python),,FORCE)
	@echo '==> SBOM and audit'
	@sh scripts/tool.sh release </dev/null
	@touch $@

.setup/emulator.stamp: .setup/venv.stamp scripts/emulator.sh tests/deployment/constraints.txt $(if $(wildcard .setup/emulator/bin/python),,FORCE)
	@echo '==> AWS emulator'
	@sh scripts/emulator.sh make </dev/null
	@touch $@

FORCE:
