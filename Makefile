# Two commands do everything on a machine with Python >= 3.11: `make study` and `make test`.

PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
# one process per core; the tests of one file share what they set up; tests/conftest.py orders the files
WORKERS := -n $(CORES) --dist loadfile --no-loadscope-reorder
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help study figures test test-all test-browser test-slurm check format reference docs lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

study: .venv/ready ## set up, run the default study, write results/default/report.html
	snakemake --cores $(CORES) --quiet rules
	@echo "report: results/default/report.html"

figures: .venv/ready ## draw the figures of the reference study from its cached results; nothing is trained
	snakemake figures --cores $(CORES) --configfile config/studies/reference.yaml --quiet rules

test: .venv/ready ## set up, run the test suite
	python -m pytest -m "not slow and not slurm and not gpu and not browser" $(WORKERS)

test-all: .venv/ready ## the test suite with what takes minutes
	python -m pytest -m "not slurm and not gpu" $(WORKERS)

test-browser: .venv/ready ## open the documentation site and a report in Chromium (Debian's package chromium)
	python -m pytest -m browser tests/documentation tests/workflow/test_report_in_browser.py

test-slurm: .venv/ready ## run the tests on a real Slurm of two nodes; needs root, slurmctld, slurmd, slurm-client
	python -m pytest -m slurm tests/cluster

check: .venv/ready ## check style, docstrings, spelling, types and the workflow
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	codespell
	tests/check_types.sh
	snakemake --lint

format: .venv/ready ## put code into the house style
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

reference: .venv/ready ## write the JSON schema, docs/reference/configuration.md and docs/reference/runs-table.md from the code
	python -m chemscale.config.reference
	python -m chemscale.analysis.columns >docs/reference/runs-table.md

docs: .venv/ready ## write the documentation site to site/; open site/index.html
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

lock: .venv/ready ## write envs/requirements.lock from what is installed
	envs/lock.sh

clean: ## delete the default study's results, keep the data
	rm -rf results/default logs/default

.venv/ready: envs/install.sh envs/requirements.lock pyproject.toml
	@envs/install.sh $(PYTHON)
