# make demo: the MNIST experiment on embedded data, into runs/demo
# make test: lint and every test
# Both make .venv and install into it first. Name another Python with
# `make test PYTHON=python3.12`.

CHECK := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(CHECK)' 2> /dev/null && echo $$python && break; done)

# Scripts in .venv/bin break under a path with spaces; `python -m` does not.
VENV_PYTHON := .venv/bin/python
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test

demo: .venv/trainers.installed
	$(VENV_PYTHON) -m trainers.mnist --dataset=digits --seeds=5 \
		--run_dir=runs/demo

test: .venv/dev.installed
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m pytest -m "not slow"
	$(VENV_PYTHON) -m pytest -m slow

# The stem is the extra to install. Whoever is killed here leaves the file
# `incomplete` behind, and the next run starts from an empty .venv.
.venv/%.installed: setup.py kdtf/version.py
	@"$(PYTHON)" -c '$(CHECK)' || { echo "kdtf needs Python 3.11, 3.12 or" \
		"3.13: install one, or name it: make PYTHON=python3.13"; exit 1; }
	@if [ -e .venv/incomplete ]; then rm -rf .venv; fi
	@mkdir -p .venv && touch .venv/incomplete
	@[ -x $(VENV_PYTHON) ] || "$(PYTHON)" -m venv .venv || { \
		echo "Python cannot make a virtual environment; on Debian and" \
		"Ubuntu install the package python3-venv"; exit 1; }
	$(VENV_PYTHON) -m pip install --quiet --editable ".[$*]" || \
		{ rm .venv/incomplete; exit 1; }
	@rm .venv/incomplete
	@touch $@
