# What a newcomer needs: `make demo` and `make test`, each of which does all the set-up itself.

PYTHON ?= python3
VENV := .venv
PLAIN := .venv-plain
LOWEST := .venv-lowest
BENCH := .venv-bench
SITE := .venv-site
PACKAGE := .venv-package

.PHONY: demo test check smoke torture cluster test-lowest bench docs package site clean help

help:
	@echo "make demo   train on the bundled plays for about a minute, and write a sample"
	@echo "make test   run the tests"
	@echo "make check  run ruff, mypy and a spelling check"
	@echo "make docs   write the tables of options in docs/cli.md, and the manual pages"
	@echo "make package  build the wheel and the sdist in dist/, and check them"
	@echo "make site   build the pages in site/"
	@echo "make bench  measure speed and memory beside PyTorch, a quarter of an hour"
	@echo "make cluster  train on hosts that are network namespaces, kill ranks, cut hosts off, as root"
	@echo "make torture  try for hours to make it lose something, and print the table of tests/robustness/README.md"

demo: $(VENV)/.runs
	$(VENV)/bin/charrnn train --model checkpoints/demo.npz --time 60s --force
	$(VENV)/bin/charrnn sample --model checkpoints/demo.npz --length 600 --seed 1

test: $(VENV)/.develops smoke
	$(VENV)/bin/python -m pytest -n auto

check: $(VENV)/.develops
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/codespell README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs corpora checkpoints benchmarks charrnn

# The wheel as a user gets it: no development packages, the corpus inside, started from another folder.
smoke: $(PLAIN)/.runs
	folder=$$(mktemp -d) && trap 'rm -r "$$folder"' EXIT && plain="$$PWD/$(PLAIN)/bin/charrnn" && cd "$$folder" && \
	  "$$plain" --help >help.txt && "$$plain" sample -n 20 && "$$plain" train --steps 2 --hidden-size 8 --quiet && "$$plain" sample -n 20 --seed 1 -q

# All rows, or what checkpoints/torture/results.jsonl does not have of them yet: make torture TORTURE='--rows kills --restart'
torture: $(VENV)/.develops
	$(VENV)/bin/python -m tests.robustness $(TORTURE)

# Ranks on several hosts, which are network namespaces: needs root, Linux and Debian's iproute2.
cluster: $(VENV)/.develops
	$(VENV)/bin/python -m tests.cluster $(CLUSTER)

# The lower bounds of pyproject.toml, exactly.
test-lowest:
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet -e '.[dev]' -c tests/lowest.txt
	$(LOWEST)/bin/python -m pytest -n auto

# What stands between the tables is written by hand.
docs: $(VENV)/.develops
	$(VENV)/bin/python -m tests.helpers.cli_page
	$(VENV)/bin/python -m tests.helpers.man_pages

# Strict: a link that leads nowhere is an error.
site: $(SITE)/.runs
	$(SITE)/bin/mkdocs build --quiet --strict

# As a stranger installs it: from the sdist in an environment of its own, and from the wheel.
package: $(PACKAGE)/.runs
	rm -rf dist
	$(PACKAGE)/bin/python -m build --quiet
	$(PACKAGE)/bin/twine check --strict dist/*
	$(PACKAGE)/bin/check-wheel-contents dist
	$(PYTHON) -m venv --clear $(PACKAGE)/clean
	$(PACKAGE)/clean/bin/python -m pip install --quiet dist/*.tar.gz
	$(PACKAGE)/clean/bin/charrnn --version
	$(PACKAGE)/clean/bin/python -m pip install --quiet --force-reinstall --no-deps dist/*.whl
	cd $(PACKAGE) && clean/bin/charrnn train --steps 2 --hidden-size 8 --quiet --force && clean/bin/charrnn sample -n 20 --seed 1 -q

# Nothing else should be running meanwhile.
bench: $(BENCH)/.runs
	$(BENCH)/bin/python -m benchmarks.speed

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runs: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet -e .
	touch $@

$(VENV)/.develops: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet -e '.[dev]'
	touch $@ $(VENV)/.runs

$(BENCH)/.runs: pyproject.toml
	$(PYTHON) -m venv --clear $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet -e '.[bench]'
	touch $@

$(SITE)/.runs: pyproject.toml
	$(PYTHON) -m venv --clear $(SITE)
	$(SITE)/bin/python -m pip install --quiet 'mkdocs-material>=9.5'
	touch $@

$(PACKAGE)/.runs: pyproject.toml
	$(PYTHON) -m venv --clear $(PACKAGE)
	$(PACKAGE)/bin/python -m pip install --quiet 'build>=1.2' 'check-wheel-contents>=0.6' 'twine>=6.0'
	touch $@

$(PLAIN)/.runs: pyproject.toml corpora/plays.txt checkpoints/english.npz $(shell find charrnn -name '*.py')
	$(PYTHON) -m venv --clear $(PLAIN)
	$(PLAIN)/bin/python -m pip install --quiet .
	touch $@

clean:
	rm -rf dist site $(VENV) $(PLAIN) $(LOWEST) $(BENCH) $(SITE) $(PACKAGE) .mypy_cache .pytest_cache .ruff_cache
