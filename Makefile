# make serve   set up what serving needs (no torch) and run the service on the embedded model
# make test    set up everything and pass the checks and the tests
# make lint    ruff and mypy
# make test-browser  the tests of the page, which `make test` skips where Playwright or Chromium is missing
# make image   the container's image, policy_topics:latest (needs Docker; BENTOML_CONTAINERIZE_BACKEND=podman: Podman)
# make bench   the figures that need nothing but this repository
# make notebooks   run the notebooks and keep their outputs
#
# PYTHON and VENV can be set: make test PYTHON=python3.12 VENV=/tmp/venv

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# The build of torch without CUDA (0.2 GB; PyPI's for Linux brings several GB of CUDA packages). It comes from PyTorch's
# own index, or from a wheel that pip is configured to find (PIP_FIND_LINKS, a mirror). --no-deps: its few dependencies
# come from PyPI with all the others. Set TORCH_INDEX to that of a CUDA build to train on a GPU.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

export BENTOML_DO_NOT_TRACK = True
export HF_HUB_DISABLE_TELEMETRY = 1

.PHONY: serve test test-browser lint bench notebooks image setup-serve setup-train constraints requirements clean

serve: setup-serve
	$(BIN)/policy-topics serve

test: lint
	$(BIN)/python -m pytest

test-browser: setup-train
	$(PIP) --editable '.[browser]'
	$(BIN)/python -m pytest tests/test_page.py tests/test_page_access.py tests/test_page_correcting.py tests/test_page_faults.py tests/test_page_long.py

lint: setup-train
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup-train
	$(BIN)/python -m benchmarks.quality --train data/train.jsonl --dev data/test.jsonl

notebooks: setup-train
	$(BIN)/python -m notebooks.execute

image: setup-serve
	$(BIN)/bentoml build
	$(BIN)/bentoml containerize policy_topics:latest --image-tag policy_topics:latest

setup-serve: $(VENV)/.serve

setup-train: $(VENV)/.train

$(BIN)/python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'policy-topics needs Python 3.11 or newer; set PYTHON=')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[archive]'
	touch $@

$(VENV)/.train: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -c "import torch" 2>/dev/null || $(PIP) --no-deps --retries 1 --index-url $(TORCH_INDEX) torch
	$(PIP) --editable '.[archive,train,dev]'
	touch $@ $(VENV)/.serve

# Exact versions of everything, from what is installed now: run it in a fresh environment after raising a bound.
constraints: setup-train
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

# Those of them that serving needs, for the bento.
requirements:
	$(PYTHON) -m venv build/serving
	build/serving/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	build/serving/bin/python -m pip freeze --exclude-editable > requirements.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
