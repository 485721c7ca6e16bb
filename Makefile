# Two commands for a machine with Python 3.11, git and make: `make figures` and `make test`.
PYTHON ?= python3.11
CORES ?= all
# What pip installs torch from; envs/README.md tells when to change it.
TORCH ?= torch==2.13.0

BIN := .venv/bin
STAMP := .venv/installed

.PHONY: figures test lint suite smoke

# Shows the published results at once; each is replaced when its own runs are finished.
figures: $(STAMP)
	$(BIN)/python -m analysis.gallery --figures figures/mini --published figures/published/mini
	@echo "Published results, until yours are there: $(CURDIR)/figures/mini/index.html"
	$(BIN)/snakemake --cores $(CORES)
	@echo "Gallery: $(CURDIR)/figures/mini/index.html"

test: lint suite smoke

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check -l 110 Snakefile workflow/rules
	$(BIN)/lint-imports

suite: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

# The whole DAG in a minute: every rule runs, on settings too small to learn anything.
smoke: $(STAMP)
	$(BIN)/snakemake --cores $(CORES) --configfile config/smoke.yaml
	@echo "Gallery: $(CURDIR)/figures/smoke/index.html"

.venv: $(STAMP)

# Built anew when the lock file changes, and only then.
$(STAMP): envs/cpu.txt
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install $(TORCH)
	$(BIN)/pip install --require-hashes --no-deps -r envs/cpu.txt
	$(BIN)/pip install --no-deps --no-build-isolation -e .
	touch $@
