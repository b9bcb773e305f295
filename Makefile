# One virtual environment, made on first use. A stamp file per kind of install remembers the
# pyproject.toml that it was made from, so that a second run starts at once.
# The package is installed editable: only a change of pyproject.toml asks for a new install.

VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
# Twice quiet: errors only.
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -n auto
HAS_TORCH := $(BIN)/python -c 'from importlib.util import find_spec as f; exit(not f("torch"))'
# Without this, pyright asks the network for a newer version of itself.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: run test test-full fuzz check format docs bench clean help

run: $(RUN) ## run the examples, the quickest look at what this does
	@$(BIN)/python -m examples
	@$(HAS_TORCH) || { \
	  echo; \
	  echo "PyTorch is not installed, and nothing above needed it. With it, kernels can also be"; \
	  echo "called on torch tensors: $(BIN)/python -m pip install torch==2.13.0"; }

test: $(DEV) ## run the tests, less the slow ones
	@$(PYTEST) -m "not slow"

test-full: $(DEV) ## run all tests
	@$(PYTEST)

fuzz: $(DEV) ## run random kernels against an oracle: make fuzz SEED=1 COUNT=1000
	@$(BIN)/python -m tests.fuzz --seed $(or $(SEED),0) --count $(or $(COUNT),1000)

check: $(DEV) ## check format, lint and types
	@failed=0; \
	$(BIN)/ruff format --check --output-format concise . || failed=1; \
	$(BIN)/ruff check . || failed=1; \
	$(BIN)/pyright --pythonpath $(BIN)/python || failed=1; \
	exit $$failed

format: $(DEV) ## format the code and mend what the linter can
	@$(BIN)/ruff check --fix --exit-zero .
	@$(BIN)/ruff format .

docs: $(DEV) ## write the pages that are made from the code
	@$(BIN)/python -m trnlab isa --markdown > docs/isa.md.new && mv docs/isa.md.new docs/isa.md
	@$(BIN)/python -m trnlab validate --again --csv > predicted.new && mv predicted.new trnlab/studies/validation/predicted.csv
	@$(BIN)/python -m trnlab validate --held-out --again --csv > heldout.new && mv heldout.new trnlab/studies/validation/heldout.csv
	@$(BIN)/python -m trnlab validate --markdown > docs/accuracy.md.new && mv docs/accuracy.md.new docs/accuracy.md

bench: $(DEV) ## print the ratios to something real that runs beside it
	@$(BIN)/python -m benchmarks

clean: ## remove the environment, caches and build outputs
	@rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
	  $$python -c 'import sys, ensurepip, venv; raise SystemExit(sys.version_info < (3, 11))' \
	    2>/dev/null || continue; \
	  echo "Making $(VENV) with $$($$python --version)"; \
	  $$python -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	  exit 0; \
	done; \
	echo "No Python 3.11 or newer with the venv module was found. Install one (on Debian and" >&2; \
	echo "Ubuntu: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3" >&2; \
	exit 1

$(RUN): pyproject.toml | $(BIN)/python
	@echo "Installing trnlab and what the examples need (once, about a minute)"
	@$(PIP) --editable '.[report]'
	@touch $@

$(DEV): pyproject.toml | $(BIN)/python
	@echo "Installing trnlab, PyTorch and the tools for tests and checks (once, a few minutes)"
	@$(PIP) --editable '.[dev,fast,report]' torch==2.13.0
	@touch $(RUN) $@
