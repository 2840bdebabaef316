# Ragdrill's commands. `make` or `make help` lists them.
#
# ARGS is passed on, e.g.: make verify ARGS="--case recovery"   make test ARGS="-k history -x"
# make itself ends with 2 whatever a recipe's exit code was; the recipe's own is printed.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
ARGS ?=
# Own tests: worker processes. Two fit a two-core machine.
WORKERS ?= 2

# Runs a command; on failure prints its exit code and what that code means.
define told
	@$(1); rc=$$?; \
	if [ $$rc -ne 0 ]; then echo "make $@: exit code $$rc$(if $(2), $(2))" >&2; fi; exit $$rc
endef

# What is left after a set-up step that could not get something.
went_on = echo "make $@: $(1) ended with exit code $$?: going on; cases that need what is missing are skipped and reported as not shown" >&2

# Where the harness keeps what it unpacks and builds (ARCHITECTURE.md, "One run").
CACHE := $${RAGDRILL_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/ragdrill}

VERIFY_CODES := (1 not conformant, or not everything was shown; 2 the harness or the target's set-up failed; 4 usage; 5 nothing was shown)
PYTEST_CODES := (1 a test failed; 2 interrupted or not collected; 4 usage; 5 no test ran)

.PHONY: help
help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | \
	while IFS="$$(printf '\t')" read -r target text; do printf '  make %-10s %s\n' "$$target" "$$text"; done

.PHONY: venv venv-dev
venv:
	@scripts/bootstrap.sh

venv-dev:
	@scripts/bootstrap.sh dev

.PHONY: setup
setup: venv ## install everything a run needs: packages, Prometheus, the corpus (called by verify)
	@$(BIN)/python scripts/setup_system.py || $(call went_on,scripts/setup_system.py)
	@engine="$$($(BIN)/python scripts/older_engine.py)" && echo "setup: engine       $$engine" || $(call went_on,scripts/older_engine.py)
	@corpus="$(CACHE)/corpus"; manifest="$$corpus/manifest.json"; \
	if [ -e "$$manifest" ] && [ -z "$$(find scripts/build_corpus.py scripts/corpus -name '*.py' -newer "$$manifest")" ]; \
	then echo "setup: corpus       $$corpus"; else \
	echo "setup: building the corpus into $$corpus ..."; \
	$(BIN)/python scripts/build_corpus.py --out "$$corpus" || $(call went_on,scripts/build_corpus.py); fi

.PHONY: verify
verify: setup ## boot the reference stack, run the conformance cases, write a report to runs/
	$(call told,$(BIN)/ragdrill verify --profile ci $(ARGS),$(VERIFY_CODES))

.PHONY: test
test: venv-dev ## run the harness's own tests (no stack of yours is touched)
	$(call told,$(BIN)/python -m pytest tests --ignore=tests/defects -m "not slow" -n $(WORKERS) $(ARGS),$(PYTEST_CODES))

# One in how many files of the slow tests is run, each day others (1: all).
SLOW_SHARE ?= 1

.PHONY: test-slow
test-slow: venv-dev ## the own tests that break things for real: kills, full disks, whole stacks
	$(call told,$(BIN)/python -m pytest tests --ignore=tests/defects -m slow -n $(WORKERS) --share $(SLOW_SHARE) $(ARGS),$(PYTEST_CODES))

.PHONY: defects
defects: setup ## prove that the cases catch the deliberate defects that they claim to catch
	$(call told,$(BIN)/python -m pytest tests/defects -n $(WORKERS) --dist worksteal $(ARGS),$(PYTEST_CODES))

# How many moments, and the seconds after which nothing of a dead run may be left.
SOAK ?= 50
SOAK_LIMIT_S ?= 5

.PHONY: drill
drill: setup ## disaster-recovery drill: back up, destroy, restore, compare; evidence in drill.html
	$(call told,$(BIN)/ragdrill drill $(ARGS),$(VERIFY_CODES))

# How often the scenarios run in a row on the sound stack.
SCENARIOS ?= 20

.PHONY: soak soak-scenarios
soak: venv ## kill whoever injects faults at SOAK random moments, then soak-scenarios
	$(call told,RAGDRILL_SOAK=$(SOAK) RAGDRILL_SOAK_LIMIT_S=$(SOAK_LIMIT_S) $(BIN)/python -m pytest tests/chaos/test_watchdog_kill.py -s --timeout 3600 $(ARGS),$(PYTEST_CODES))
	@$(MAKE) soak-scenarios

soak-scenarios: setup ## run the playbooks' scenarios SCENARIOS times (20): none may be red or inconclusive
	$(call told,(for n in $$(seq $(SCENARIOS)); do echo "soak: scenarios run $$n of $(SCENARIOS)" >&2; \
	$(BIN)/ragdrill verify --profile ci -k scenarios $(ARGS) || exit $$?; done),$(VERIFY_CODES))

.PHONY: load-and-eval
load-and-eval: setup ## monthly: full load test and evaluation, kept with the date, compared with the last
	$(call told,$(BIN)/ragdrill load-and-eval $(ARGS),$(VERIFY_CODES))

.PHONY: alert-summary
alert-summary: venv ## what fired since yesterday 18:00, and what it led to (PROMETHEUS_URL, ALERTMANAGER_URL)
	$(call told,$(BIN)/python -m scripts.alert_summary $(ARGS),(2 Prometheus or Alertmanager does not answer; 4 a setting is missing or wrong))

.PHONY: cve-scan
cve-scan: venv ## fail on known HIGH and CRITICAL vulnerabilities of what is installed (DATABASE=osv.zip: offline)
	$(call told,$(BIN)/python -m scripts.cve $(if $(DATABASE),--database $(DATABASE)) $(ARGS),(1 a finding is open; 2 it could not be checked; 4 usage))

.PHONY: images
images: venv ## build the container images of the reference stack (needs a Docker engine)
	$(call told,$(BIN)/python -m scripts.images $(ARGS),(1 an image could not be built; 2 no engine answers or Debian's base image can't be had; 4 usage; 130 interrupted))

# One in how many cases of profile ci runs on containers, each day another one; 1 is all of them.
CONTAINERS_SHARE ?= 1
# Which cases of the profile run on containers, as options of ragdrill verify; none named is all.
CONTAINERS_CASES ?=

.PHONY: verify-containers soak-containers test-engine
verify-containers: setup ## build the images and run profile ci on a stack of containers (CONTAINERS_SHARE=5: a fifth)
	@scripts/bootstrap.sh containers
	$(call told,scripts/containers/engine.sh /bin/bash -c '$(BIN)/python -m scripts.images && exec $(BIN)/ragdrill verify --profile ci --driver containers --images local --accept-skips --share $(CONTAINERS_SHARE) $(CONTAINERS_CASES) $(ARGS)',$(VERIFY_CODES) (75 not run: no container engine))

# What of the own tests starts containers; they skip where no engine answers.
ENGINE_TESTS := tests/harness/drivers tests/harness/cli/test_up_on_an_engine.py tests/refstack/images

test-engine: venv-dev ## the own tests that need a container engine: drivers, contract, images
	@scripts/bootstrap.sh containers
	$(call told,scripts/containers/engine.sh /bin/bash -c '$(BIN)/python -m scripts.images && exec $(BIN)/python -m pytest $(ENGINE_TESTS) -m slow --timeout 1500 $(ARGS)',$(PYTEST_CODES) (75 not run: no container engine))

soak-containers: venv ## kill a run of containers at SOAK (20) random moments: nothing of it may be left
	@scripts/bootstrap.sh containers
	$(call told,RAGDRILL_SOAK=$(or $(filter-out 50,$(SOAK)),20) scripts/containers/engine.sh $(BIN)/python -m pytest tests/harness/drivers/test_container_reaper.py -s --timeout 7200 $(ARGS),$(PYTEST_CODES))

.PHONY: lint
lint: venv-dev ## ruff, formatting and mypy --strict
	$(call told,$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy)

.PHONY: format
format: venv-dev ## let ruff format the code and fix what it can
	$(call told,$(BIN)/ruff check --fix . && $(BIN)/ruff format .)

.PHONY: catalogue
catalogue: venv ## write docs/catalogue.md, faults.md and runbook.md (ARGS=--check only compares)
	$(call told,$(BIN)/ragdrill catalogue $(ARGS) && $(BIN)/ragdrill faults $(or $(ARGS),--write) && $(BIN)/ragdrill runbook $(ARGS))

# Which figures: by default those of every module in benchmarks/.
BENCH ?= $(filter-out __init__,$(patsubst benchmarks/%.py,%,$(wildcard benchmarks/*.py)))

.PHONY: bench
bench: venv ## print the figures of benchmarks/ (BENCH=load: only these); nothing is asserted
	$(call told,worst=0; for name in $(BENCH); do echo "benchmark $$name" >&2; \
	$(BIN)/python -m benchmarks.$$name $(ARGS) || worst=$$?; done; (exit $$worst))

.PHONY: clean
clean: ## remove caches and build litter; keeps .venv and runs/
	@find . \( -path ./.venv -o -path ./.git -o -path ./runs \) -prune -o \
	-type d \( -name __pycache__ -o -name '*.egg-info' -o -name .pytest_cache -o -name .mypy_cache \
	-o -name .ruff_cache -o -name .hypothesis -o -name .tox -o -path ./build -o -path ./.ci/out \) \
	-prune -exec rm -rf {} +
	@echo "kept: .venv (the environment) and runs/ (evidence); remove them yourself when you mean to"
