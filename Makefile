# make venv | demo | test | lint | format | clean
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

# The first interpreter that runs and is one of those that the pinned TensorFlow has wheels for.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
    >/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: help venv demo test lint format clean

help:
	@echo "make venv    create .venv and install smapcomp into it"
	@echo "make demo    a photograph to a file and back, figures and a picture in out/demo/"
	@echo "make test    the test suite"
	@echo "make lint    ruff; make format rewrites the files"
	@echo "make clean   remove out/, caches and .venv"

venv: $(STAMP)

$(STAMP): requirements.txt requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { \
	  echo "make: needs Python 3.11, 3.12 or 3.13 with venv; set PYTHON=/path/to/python3" >&2; exit 1; }
	test -x $(PY) || "$(PYTHON)" -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: venv
	$(PY) -m experiments.demo

test: venv
	$(PY) -m pytest -n 2 --dist=loadfile $(PYTEST_ARGS)

lint: venv
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: venv
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf $(VENV) out build .pytest_cache .ruff_cache *.egg-info
	find smapcomp data experiments evaluation tools tests -name __pycache__ -type d -prune -exec rm -rf {} +
