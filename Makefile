# Two commands do all the set-up: `make demo` runs the whole line, `make test` runs the tests.
# `make bench NAME=curate` measures one thing, `make bench` everything; ARGS go to tests and benchmarks.
# Without ARGS `make test` leaves out the tests marked slow and runs two processes; with ARGS it is what they say.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test check format bench clean

# Modules and packages that can be run.
RUNNABLE = $(patsubst %/__main__.py,%.py,$(shell grep -l __main__ benchmarks/*.py benchmarks/*/__main__.py))
BENCHMARKS = $(or $(NAME),$(patsubst benchmarks/%.py,%,$(RUNNABLE)))

demo: .venv/.installed
	python -m jobs.demo

test: .venv/.installed-dev
	python -m pytest $(or $(ARGS),-n 2 -m 'not slow')

check: .venv/.installed-dev
	ruff format --check .
	ruff check .
	mypy
	lint-imports

format: .venv/.installed-dev
	ruff format .
	ruff check --fix .

bench: .venv/.installed-dev
	@failed=""; \
	for name in $(BENCHMARKS); do python -m benchmarks.$$name $(ARGS) || failed="$$failed $$name"; done; \
	test -z "$$failed" || { echo "missed a bar or failed:$$failed"; exit 1; }

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
