# make demo   the MNIST experiment on embedded digits, into runs/demo
# make test   lint and all tests
# make quick  lint and the tests that take seconds
# make wheel  dist/kdtf-*.whl
# make tables README's tables, from the figures in results/
# make docs   the site, into site/
# Each makes .venv first, with what it needs. Another Python: make PYTHON=...

PYTHON ?= python3
# Relative, and never through the scripts in .venv/bin, so that a space in the
# checkout's path does no harm.
RUN := .venv/bin/python -m
PIP := $(RUN) pip --disable-pip-version-check install --quiet

.PHONY: demo test quick lint wheel tables docs clean

demo: .venv/trainers.installed
	$(RUN) trainers.mnist --dataset=digits --seeds=5 --run_dir=runs/demo

test: lint
	$(RUN) pytest --numprocesses=2 --dist=worksteal

quick: lint
	$(RUN) pytest --numprocesses=2 --dist=worksteal -m "not slow"

lint: .venv/dev.installed
	$(RUN) ruff check .
	$(RUN) ruff format --check .

wheel: .venv/dev.installed
	$(RUN) pip wheel --quiet --no-deps --wheel-dir dist .

tables: .venv/dev.installed
	$(RUN) benchmarks.tables

docs: .venv/docs.installed
	$(RUN) mkdocs build --strict

clean:
	rm -rf .venv build dist runs *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

# A stamp, written last: an install that was cut off starts again.
.venv/%.installed: setup.py kdtf/_version.py .venv/bin/python
	@echo "Installing kdtf[$*] and TensorFlow into .venv: minutes, once."
	$(PIP) --editable ".[$*]"
	touch $@
