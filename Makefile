# Development shortcuts. `make help` lists them.
PYTHON ?= .venv/bin/python

.PHONY: help test quick long slow-tests lint docs docs-serve slurm pages error-rates bench gpu drivers kills fuzz fuzz-folders tables-in-the-wild database tables screenshots experiments experiments-quick golden constraints clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

test: ## the whole suite, as CI runs it
	$(PYTHON) -m pytest -n auto --dist worksteal

quick: ## the tests without the slow and the browser tests
	$(PYTHON) -m pytest -n auto -m "not slow and not browser and not long"

long: ## further cases that the whole suite leaves out: each sampler, pruner, launcher and refusal (10 to 20 minutes)
	$(PYTHON) -m pytest -n auto --dist worksteal -m long

slow-tests: ## measures which tests the quick tier leaves out (needs a quiet machine)
	PYTHONPATH=tests $(PYTHON) -m pytest -q -n auto --dist worksteal -m "not browser and not long" -p support.slow_tests

lint: ## style, formatting and types
	$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy

docs: ## the documentation, in site/ (without network)
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet

docs-serve: ## the documentation at http://127.0.0.1:8000, built again when a file changes
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs serve

slurm: ## the tests with a real Slurm, which is installed for these tests only (needs root on Debian)
	tests/slurm/with_slurm.sh $(PYTHON) -m pytest -q tests/jobs/test_slurm.py

pages: ## measures writing and opening reports, and takes their pictures in docs/images (needs Chromium)
	$(PYTHON) benchmarks/report_page.py
	$(PYTHON) benchmarks/report_page.py --images docs/images

error-rates: ## false alarms of `phalanx compare`, by simulation (some minutes)
	$(PYTHON) benchmarks/error_rates.py

bench: ## runs and cohorts against a plain torch loop, cost of a search, pruners, samplers (needs a quiet machine)
	$(PYTHON) benchmarks/single_run.py
	$(PYTHON) benchmarks/commands.py
	$(PYTHON) benchmarks/tables.py
	$(PYTHON) benchmarks/cohorts.py
	$(PYTHON) benchmarks/modules.py
	$(PYTHON) benchmarks/pruners.py
	$(PYTHON) benchmarks/samplers.py
	$(PYTHON) benchmarks/search_cost.py
	$(PYTHON) benchmarks/tracking.py
	$(PYTHON) benchmarks/checkpoints.py

gpu: ## the tests for a CUDA GPU and cohorts measured on it, in at most six minutes (benchmarks/README.md says what to carry)
	PYTHON=$(PYTHON) benchmarks/gpu.sh

drivers: ## four drivers, 400 trials, six of them killed and the database restarted four times (needs PostgreSQL)
	cd tests && ../$(PYTHON) -m support.drivers

kills: ## kills runs, sweeps, resumes and deliveries at 100 random moments: does every one go on to the same bits?
	cd tests && PYTHONPATH=../src ../$(PYTHON) -m support.kills

fuzz-folders: ## damages every file of runs and sweeps, and starts every command that reads them or goes on (432 commands)
	cd tests && PYTHONPATH=../src ../$(PYTHON) -m support.folder_fuzzer

fuzz: ## starts train.py with 2,000 command lines of valid and broken pieces: no traceback, nothing left of a wrong one, one record
	cd tests && PYTHONPATH=../src ../$(PYTHON) -m support.command_fuzzer

tables-in-the-wild: ## trains on 19 real tables of packages as one types it first, and types what is advised (needs PyPI)
	cd tests && PYTHONPATH=../src ../$(PYTHON) -m support.tables_in_the_wild

database: ## measures the load of drivers on the database that they share (needs PostgreSQL and a quiet machine, ten minutes)
	$(PYTHON) benchmarks/database.py

screenshots: ## pictures of MLflow's pages for docs/track.md (needs chromium and chromium-driver)
	$(PYTHON) docs/screenshots.py

tables: ## the result tables of docs/results.md, from real runs
	$(PYTHON) benchmarks/result_tables.py --write

experiments: ## the stored studies at full size (12 minutes): their tables, figures and the overview in docs/studies.md
	$(PYTHON) experiments/measure.py

experiments-quick: ## the stored studies on a few samples, without keeping results: do they still run?
	$(PYTHON) experiments/measure.py --quick

golden: ## writes tests/golden anew, after a change that is meant to change numbers
	cd tests && PYTHONPATH=. ../$(PYTHON) training/test_golden.py

constraints: ## writes constraints.txt from the installed versions
	@(head -1 constraints.txt; $(PYTHON) -m pip freeze --exclude-editable | grep -v '@') > constraints.new && mv constraints.new constraints.txt

clean: ## removes caches and build products, never outputs
	rm -rf .pytest_cache .hypothesis .ruff_cache build site src/*.egg-info
	find . -name __pycache__ -not -path './.venv/*' -exec rm -rf {} +
