# Two commands do all the set-up: `make demo` runs the whole line, `make test` runs the tests.
# `make bench NAME=curate` measures one thing, `make bench` everything; ARGS go to tests and benchmarks.
# Without ARGS `make test` leaves out the tests marked slow and runs two processes; with ARGS it is what they say.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo demo-real test check format bench chaos gpu clean

# Modules and packages that can be run.
RUNNABLE = $(patsubst %/__main__.py,%.py,$(shell grep -l __main__ benchmarks/*.py benchmarks/*/__main__.py))
BENCHMARKS = $(or $(NAME),$(filter-out chaos,$(patsubst benchmarks/%.py,%,$(RUNNABLE))))

# Everything that it writes lies in demo/, which `make clean` removes; ARGS are settings, such as train.loop.steps=600.
demo: .venv/.installed
	@python -m jobs.demo $(ARGS)

demo-real: .venv/.installed
	@python -m jobs.demo --real --folder demo-real $(ARGS)

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

# Faults at random moments of every job, an hour and a half of two quiet cores; ARGS="--faults 10" for a part of them.
chaos: .venv/.installed-dev
	python -m benchmarks.chaos $(ARGS)

# Everything that a GPU is needed for, in ten minutes; without one the same at a small size on the CPU.
gpu: .venv/.installed-dev
	python -m benchmarks.gpu $(ARGS)

# What pip says goes to a log, and is shown where it fails.
INSTALL = $(BIN)/python -m pip install --constraint constraints.txt --editable

.venv/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing what constraints.txt pins; pip writes to .venv/install.log"
	@$(INSTALL) . > .venv/install.log 2>&1 || { tail -n 20 .venv/install.log; exit 1; }
	@touch $@

.venv/.installed-dev: .venv/.installed
	@echo "installing what the tests need; pip writes to .venv/install-dev.log"
	@$(INSTALL) '.[dev]' > .venv/install-dev.log 2>&1 || { tail -n 20 .venv/install-dev.log; exit 1; }
	@touch $@

clean:
	rm -rf .venv demo demo-real build *.egg-info .pytest_cache .mypy_cache .ruff_cache
