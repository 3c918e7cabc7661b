# helm-tidb: every target that a person types has a line of help behind `##`.
# A bare machine needs make, Python 3.11 and Go (or root, or PyPI: see ci/tools); the targets bring the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: env
env: ## the Python environment (kept in the cache, linked as .venv)
	@python3 -m ci.env

.PHONY: tools
tools: env ## the pinned Go tools (kept in the cache; about 15 min the first time)
	@$(PY) -m ci.tools build

.PHONY: demo
demo: env ## the main job, end to end, on a real Kubernetes on this machine (KEEP=1 leaves it running)
	@$(PY) -m ci.demo $(if $(KEEP),--keep)

.PHONY: test
test: env ## everything that CI runs
	@$(PY) -m ci.suites

.PHONY: test-unit
test-unit: env ## the quick loop: under a minute, needs no cluster
	@$(PY) -m ci.suites unit

.PHONY: test-product
test-product: env ## half of it: releases of the whole chart on real nodes, and failover
	@$(PY) -m ci.suites product

.PHONY: lint
lint: env ## ruff, mypy strict, the import contract, files that are generated and stale
	@$(PY) -m ci.lint

.PHONY: soak
soak: env ## the long versions of the model tests and fuzzers
	@$(PY) -m ci.suites --soak

.PHONY: bench
bench: env ## benchmarks: machine, sizes, ratios
	@$(PY) -m ci.bench

.PHONY: pins
pins: env ## write ci/requirements.txt anew from the ranges in pyproject.toml
	@.venv/bin/uv pip compile --quiet --all-extras --group dev --group standin --universal \
	  --python-version 3.11 --generate-hashes --no-header --output-file ci/requirements.txt pyproject.toml

.PHONY: generate
generate: env ## write what follows from schema/: values.schema.json, CRD, references
	@$(PY) -m schema

.PHONY: clean
clean: ## take down every test cluster of this machine's user and remove build/
	@if [ -x $(PY) ]; then $(PY) -m ci.cluster down --all; fi
	@rm -rf build
