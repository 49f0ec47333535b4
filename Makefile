# make venv | demo | test | test-slow | lint | types | coverage | docs | format | clean
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
CODE := smapcomp data experiments evaluation tools tests

# The first interpreter that runs and is one of those that the pinned TensorFlow has wheels for.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
    >/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: help venv demo test test-slow lint types coverage docs format clean

help:
	@echo "make venv      create .venv and install smapcomp with all that its tests need"
	@echo "make demo      a photograph to a file and back; figures and a picture in out/demo/"
	@echo "make test      the test suite; PYTEST_ARGS selects tests"
	@echo "make test-slow the tests that take minutes: the four training stages by the commands of the docs"
	@echo "make lint      ruff and the type checker"
	@echo "make types     the type checker alone"
	@echo "make coverage  the test suite, and how much of the code it runs"
	@echo "make docs      the API reference in out/docs/"
	@echo "make format    rewrite the files as make lint wants them"
	@echo "make clean     remove out/, caches and .venv"

venv: $(STAMP)

# A .venv that is a link belongs to another clone: it is used as it is. Installing this clone there
# would make the other one import from here.
$(STAMP): requirements.txt requirements-dev.txt pyproject.toml
	@if test -L $(VENV); then \
	  test -x $(PY) || { echo "make: $(VENV) is a link without bin/python" >&2; exit 1; }; \
	  echo "make: $(VENV) is a link, used as it is"; \
	else \
	  $(MAKE) --no-print-directory _install; \
	fi

.PHONY: _install
_install:
	@test ! -L $(VENV) || { echo "make: $(VENV) is a link to another clone's" >&2; exit 1; }
	@test -n "$(PYTHON)" || { \
	  echo "make: needs Python 3.11, 3.12 or 3.13 with venv; set PYTHON=/path/to/python3" >&2; exit 1; }
	test -x $(PY) || "$(PYTHON)" -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(STAMP)

demo: venv
	$(PY) -m experiments.demo

test: venv
	$(PY) -m pytest -n 2 --dist=loadfile -m "not slow" $(PYTEST_ARGS)

test-slow: venv
	$(PY) -m pytest -m slow $(PYTEST_ARGS)

lint: venv
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

types: venv
	$(PY) -m mypy

coverage: venv
	$(PY) -m pytest -n 2 --dist=loadfile -m "not slow" --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

docs: venv
	$(PY) -m tools.api_docs --out=out/docs

format: venv
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf $(VENV) out build .coverage .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
