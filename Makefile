# make search    from a bare checkout to a running search
# make test      the quick tests;  make test-all adds the slow ones
# make help      everything else
PYTHON ?= python3
BIN := .venv/bin
# Passed on to pytest: make test PYTEST_ARGS="-k pareto -x"
PYTEST_ARGS ?=
# Tests run in this many processes beside one another; 0 for none but pytest's own (a debugger needs that).
JOBS ?= 2
# A stamp file stands for "the environment is what the lock says"; while it is newer than these, env has nothing to do.
ENV := .venv/.made
# Errors only: everything pip says besides, it says several times per package.
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# The package pins threads where it measures; tests run beside one another, so they all take one.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
# The build of torch is chosen by hand, in the lock; everything else follows from setup.cfg.
TORCH := $(shell grep '^torch==' requirements.lock)

.PHONY: help env search test test-all lint format lock clean
.DEFAULT_GOAL := help

help:
	@echo "make env       the virtual environment .venv, as the lock files say"
	@echo "make search    a search over search_spaces/turbovit.yaml, into runs/turbovit; goes on where it stopped"
	@echo "make test      the quick tests"
	@echo "make test-all  every test"
	@echo "make lint      ruff: rules and format"
	@echo "make format    ruff: put both right"
	@echo "make lock      write requirements.lock anew from setup.cfg"
	@echo "make clean     remove the environment and everything that was built; runs/ stays"

env: $(ENV)

search: $(ENV)
	$(BIN)/gas search --space turbovit.yaml --workers 2 --seed 0 --out runs/turbovit --resume-if-exists
	$(BIN)/gas export runs/turbovit best --out runs/turbovit/best --overwrite

test: $(ENV)
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow" $(PYTEST_ARGS)

test-all: $(ENV)
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

lint: $(ENV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(ENV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch goes in first and alone, so that nothing else can choose it. The parity packages come last and without their
# dependencies, because they would replace torch. The package itself is built by the setuptools of the lock.
$(ENV): requirements.lock requirements-parity.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "gas needs Python 3.11 or newer, and $(PYTHON) is not: $$($(PYTHON) --version 2>&1)"; \
	  echo "Name another: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || { echo "making .venv (a minute or two, about 2 GB)"; $(PYTHON) -m venv .venv; }
	@$(PIP) install $(TORCH)
	@$(PIP) install -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(PIP) install --no-deps -r requirements-parity.lock
	@touch $@

# Resolved as if nothing were installed, and without installing anything. A "+cpu" after a version only says which
# build this machine had at hand, so it is left out.
lock: $(ENV)
	@$(PIP) install --dry-run --ignore-installed --report .venv/lock.json $(TORCH) 'setuptools>=77' '.[dev,export,train]'
	@{ \
	  echo "# Made by 'make lock': all that setup.cfg asks for, with the extras dev, export and train, resolved from nothing for"; \
	  echo "# $$($(BIN)/python -c 'import platform; print(platform.system(), platform.machine() + ", Python", platform.python_version())')."; \
	  echo "# To move to another torch, edit its line by hand, then the torchvision in requirements-parity.lock, then"; \
	  echo "# 'make lock'. On an index with CUDA builds of torch, pip adds the CUDA packages to these."; \
	  echo "$(TORCH)"; \
	  $(BIN)/python -c 'import json; rows = json.load(open(".venv/lock.json"))["install"]; \
	    names = ["{name}=={version}".format(**row["metadata"]).split("+")[0] for row in rows]; \
	    print(*sorted((n for n in names if not n.startswith(("gas==", "torch=="))), key=str.lower), sep="\n")'; \
	} > requirements.lock.new
	@mv requirements.lock.new requirements.lock
	@git --no-pager diff --stat requirements.lock; echo "now: make env test"

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
