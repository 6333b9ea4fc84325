# make demo   the paper's experiments on embedded digits, into runs/demo
# make test   lint and all tests, and which of them took longest
# make quick  lint and the tests that take seconds
# make lint   formatting, imports between modules, types
# make lowest the quick tests with the lowest versions that setup.py allows
# make wheel  dist/kdtf-*.whl
# make tables README's tables, from the figures in results/
# make docs   the site, into site/
# make hooks  lint before every commit, through pre-commit
# make clean  what the others made
#
# Each first makes an environment with what it needs, in .venv. For another
# Python:
#     make quick PYTHON=python3.13 VENV=.venv-3.13
# and tests in more or fewer processes than three, some of which wait for others:
#     make test PROCESSES=8

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?=
PROCESSES ?= 3
# Relative, and never through the scripts in $(VENV)/bin, so that a space in the
# checkout's path does no harm.
RUN = $(VENV)/bin/python -m
PIP = $(RUN) pip --disable-pip-version-check install --quiet
PYTEST = $(RUN) pytest --numprocesses=$(PROCESSES) --dist=worksteal

.PHONY: demo test quick quick-tests lint lowest wheel tables docs hooks clean

demo: $(VENV)/trainers.installed
	$(RUN) trainers.mnist --dataset=digits --seeds=5 --experiment=few_labels \
		--label_shares=3,10 --experiment=table --checkpoint_every=100 \
		--processes=2 --run_dir=runs/demo

test: lint
	$(PYTEST) --durations=20

quick: lint quick-tests

quick-tests: $(VENV)/dev.installed
	$(PYTEST) -m "not slow"

lint: $(VENV)/dev.installed
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(VENV)/bin/python -c "import importlinter.cli as c; c.lint_imports_command()"
	$(RUN) mypy

lowest:
	$(MAKE) quick-tests PYTHON=python3.11 VENV=.venv-lowest \
		CONSTRAINTS=constraints-lowest.txt

wheel: $(VENV)/dev.installed
	$(RUN) pip wheel --quiet --no-deps --wheel-dir dist .

tables: $(VENV)/dev.installed
	$(RUN) benchmarks.tables

docs: $(VENV)/docs.installed
	$(RUN) mkdocs build --strict

hooks: $(VENV)/dev.installed
	$(RUN) pre_commit install

clean:
	rm -rf .venv .venv-* build dist runs *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# A stamp, written last: an install that was cut off starts again.
$(VENV)/%.installed: setup.py kdtf/_version.py $(CONSTRAINTS) $(VENV)/bin/python
	@echo "Installing kdtf[$*] and TensorFlow into $(VENV): minutes, once."
	$(PIP) --editable ".[$*]" $(CONSTRAINTS:%=--constraint %)
	touch $@
