# Everything a newcomer needs: `make demo`, `make test`. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := .venv/bin/python
MANIFESTS := pyproject.toml $(wildcard libs/*/pyproject.toml apps/*/pyproject.toml)
LIBS := $(notdir $(patsubst %/,%,$(dir $(wildcard libs/*/pyproject.toml))))
SOURCES := $(shell ls -d libs/*/src apps/*/src | paste -sd: -)
# Every member with every extra, but for the viewer, which no test opens.
EVERYTHING := --all-packages --all-extras --no-extra viz
# One OpenMP thread per process: two processes with two threads each, on two cores, were measured five times slower.
# Arrays from 4 MB on go back to the system when they are freed, so that two processes of tests need less memory.
PYTEST := OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=4194304 $(RUN) -m pytest
# Compiled files are kept, whatever the environment says: every process of tests saves 15 seconds of them.
export PYTHONDONTWRITEBYTECODE :=
HERE := not gpu and not triton
# What test-changed compares with.
BASE ?= $(shell git rev-parse --quiet --verify --abbrev-ref origin/main || echo HEAD)
ISOLATED_PYTHON ?= 3.11
RESOLUTION ?= highest

.PHONY: help demo test test-quick test-changed lint isolated bench gpu docs lock clean

help: ## list the targets
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: demo-imagepg ## make a small synthetic data set, train, evaluate, write runs/demo/report.html

demo-%: .venv/.synced ## the same of any app: demo-imagepg, demo-cluster3dseg
	.venv/bin/$* demo

test: lint .venv/.synced ## lint, then every test that this machine can run
	$(PYTEST) -n 2 --dist loadgroup -m "$(HERE)"
	TRITON_INTERPRET=1 $(PYTEST) -n 2 -m triton libs/sparseops

test-quick: .venv/.synced ## the tests that take seconds
	$(PYTEST) -n 2 --dist loadgroup -m "$(HERE) and not slow" --hypothesis-profile quick

test-changed: .venv/.synced ## the tests that what changed since BASE can reach; BASE=origin/main, or HEAD without it
	@folders=$$($(RUN) tools/members.py changed $(BASE)) && \
	if [ -z "$$folders" ]; then echo "nothing differs from $(BASE)"; exit; fi && \
	echo $$folders && $(PYTEST) -n 2 --dist loadgroup -m "$(HERE)" $$folders

lint: .venv/.synced ## format, style, types, layers, dependencies, lock file
	.venv/bin/ruff check .
	$(RUN) tools/check_sources.py
	$(RUN) tools/check_repository.py
	$(RUN) benchmarks/sparse/tables.py --check

isolated: $(addprefix isolated-,$(LIBS)) ## test every library in an environment of its own declared dependencies

isolated-%: environment-% ## the same of one library; RESOLUTION=lowest-direct takes the lowest versions it declares
	$(ISOLATED_PYTEST) libs/$* -q -m "$(HERE) and not slow"

smoke-%: environment-% ## in seconds: there, every module of one library imports and the examples of its README run
	$(ISOLATED_PYTEST) libs/$*/src libs/$*/tests/test_readme.py -q -k test_readme

# Without the settings of the workspace, which pin torch; our own libraries come from their folders, never from an index.
environment-%: $(UV)
	$(UV) venv -q --no-config --clear --python $(ISOLATED_PYTHON) .venv-isolated/$*
	$(UV) pip install -q --no-config --no-sources --resolution $(RESOLUTION) --python .venv-isolated/$*/bin/python \
	  "./libs/$*$(EXTRAS_$*)" $$(.venv-isolated/$*/bin/python tools/members.py paths $*) $(TEST_TOOLS)
	@$(UV) pip freeze -q --no-config --python .venv-isolated/$*/bin/python | paste -sd" " -
# Kernels are cached apart, because those of another numba would replace the ones of .venv.
ISOLATED_PYTEST = OMP_NUM_THREADS=1 NUMBA_CACHE_DIR=.venv-isolated/$*/kernels .venv-isolated/$*/bin/python -m pytest
# What the tests need beside the declared dependencies: extras, and tools.
EXTRAS_datasets3d := [synth,las]
EXTRAS_evaluators := [depth]
TEST_TOOLS := "beartype>=0.23" "hypothesis>=6.120" "pytest>=8.3" "pytest-benchmark>=5.1" "scipy>=1.13" "shapely>=2.0.4"

bench: .venv/.synced ## time everything against its peers, results to benchmarks/results
	for file in benchmarks/bench_*.py benchmarks/sparse; do $(RUN) $$file || exit 1; done

gpu: ## GPU tests and benchmarks with the python at hand (torch with CUDA), no installation
	PYTHONPATH=$(SOURCES) $(PYTHON) benchmarks/gpu.py

docs: .venv/.synced ## build the documentation into site/
	$(UV) sync -q $(EVERYTHING) --group docs
	@$(STRIP_LOCK)
	@touch .venv/.synced
	.venv/bin/mkdocs build --strict

lock: $(UV) .git/filter ## refresh uv.lock
	$(UV) lock
	@$(STRIP_LOCK)

clean: ## remove environments and caches, keep data and runs
	rm -rf .venv .venv-isolated .tools .pytest_cache .ruff_cache site

# uv from the machine if there is one, else in a private place of this checkout.
.tools/bin/uv:
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check "uv>=0.8"

# The lock file names no download host, neither in git nor in the local copy: what uv writes back into it is stripped
# at once, and by a filter when git reads a file that uv alone has touched.
STRIP_LOCK = sed -E -f tools/strip_lock.sed uv.lock > uv.lock.stripped && mv uv.lock.stripped uv.lock

.git/filter: tools/strip_lock.sed
	@if git rev-parse --git-dir >/dev/null 2>&1; then \
	  git config filter.lockfile.clean 'sed -E -f tools/strip_lock.sed'; \
	  git config filter.lockfile.smudge cat; \
	fi

.PHONY: .git/filter

.venv/.synced: $(MANIFESTS) uv.lock | $(UV) .git/filter
	$(UV) sync $(EVERYTHING)
	@$(STRIP_LOCK)
	@touch .venv/.synced
