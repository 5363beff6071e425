# `make run` and `make test` need Python 3.11 or newer, make and a package index, nothing else.
# PYTHON=… chooses the interpreter; every DICOMWEB_BOX_<NAME> in the environment is a setting of the server.

BIN := .venv/bin
PYTEST_FLAGS ?= -n auto --dist loadgroup
SOURCES := dicomweb_box tests conformance bench tools

help: ## show these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: .venv/runtime ## serve the archive with a handful of sample objects
	@exec $(BIN)/dicomweb-box serve --demo

test: system .venv/development ## everything continuous integration checks
	@$(MAKE) --no-print-directory lint types imports
	@.ci/pythons | tail -n +2 | while read -r version python; do \
		$(MAKE) --no-print-directory .venv-$$version/development && \
		.venv-$$version/bin/python -m pytest $(PYTEST_FLAGS) || exit 1; \
	done
	@$(BIN)/python -m pytest $(PYTEST_FLAGS)

lint: .venv/development ## format and lint, changing nothing
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)

types: .venv/development ## strict static types
	@$(BIN)/mypy

imports: .venv/development ## who may import whom
	@$(BIN)/lint-imports

format: .venv/development ## put the source into its one format
	@$(BIN)/ruff check --fix --exit-zero --quiet $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

conformance: .venv/development ## a started server against real clients; rewrites docs/conformance.md
	@$(BIN)/python -m pytest conformance --write-conformance

bench: system .venv/runtime ## this server and, where installed, Orthanc, side by side; PART=deid: de-identification beside two others
	@$(BIN)/python -m bench$(if $(PART),.$(PART)) $(BENCH_FLAGS)

soak: system .venv/development ## the long load and fault proofs; PART=kill|trace|memory|hostile|decoders|guessing|openapi|dimse|pdus for one
	@$(BIN)/python -m pytest tests/soak --soak $(if $(PART),-k "$(PART)") -p no:cacheprovider

audit: .venv-tools/stamp ## known vulnerabilities of the locked dependencies
	@for lock in requirements.lock requirements-dev.lock; do \
		.venv-tools/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement $$lock || exit 1; \
	done

scan: .venv/development ## an active scanner (wapiti, which it expects on the path) against a started server
	@$(BIN)/python -m conformance.scan $(SCAN_FLAGS)

lock: .venv-tools/stamp ## resolve the dependencies anew and write the lock files
	@.ci/lock

clean: ## remove what these targets made, but no data
	@rm -rf .venv .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find dicomweb_box tests conformance bench -name __pycache__ -type d -prune -exec rm -rf {} +

# A missing system part is not an error here: the tests that need it say so.
system:
	@.ci/system || true

# The development lock is a superset of the runtime lock, version by version (tests/test_project.py).
.venv/runtime: requirements.lock pyproject.toml
	@.ci/venv .venv requirements.lock
	@touch $@

.venv/development: requirements-dev.lock pyproject.toml
	@.ci/venv .venv requirements-dev.lock
	@touch $@ .venv/runtime

.venv-3.%/development: requirements-dev.lock pyproject.toml
	@.ci/venv $(@D) requirements-dev.lock "$$(.ci/pythons | sed -n 's/^3\.$* //p')"
	@touch $@

.venv-tools/stamp: requirements-tools.lock
	@.ci/venv .venv-tools requirements-tools.lock
	@touch $@

.PHONY: help run test lint types imports format conformance bench soak audit scan lock clean system
