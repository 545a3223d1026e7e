# make demo: train a compressed model beside the uncompressed one.
# make test: everything that must hold.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
# Parallel test processes; each needs about 2 GiB. Many of them wait for
# processes of their own: one more than there are cores pays.
JOBS ?= 3
PARALLEL := -n $(JOBS) --dist loadgroup

.PHONY: demo test test-fast lint clean

demo: $(VENV)/.demo
	$(BUILD_OPS) || true
	rm -rf $(DEMO)
	$(BIN)/python examples/demo.py --out $(DEMO)

test: $(VENV)/.test lint
	$(BUILD_OPS)
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest $(PARALLEL) -m "not real_data"
	KERAS_BACKEND=jax JAX_DISABLE_MOST_OPTIMIZATIONS=1 \
	    $(BIN)/python -m pytest $(PARALLEL) -m "not real_data" $(PORTABLE)
	KERAS_BACKEND=torch $(BIN)/python -m pytest $(PARALLEL) -m "not real_data" $(PORTABLE)

# What must hold on every backend. JAX compiles each operation for each shape,
# most of its time; it does so faster without optimising them.
PORTABLE := tests/ops tests/layers tests/callbacks tests/models tests/native \
    tests/golden_test.py

# Kernels where there is a compiler; everything works without them, slower.
BUILD_OPS = if command -v $(firstword $(CXX) g++) > /dev/null; \
    then $(BIN)/keras-pss build-ops; fi

test-fast: $(VENV)/.test
	$(BUILD_OPS)
	$(BIN)/python -m pytest $(PARALLEL)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[tensorflow-cpu,native]'
	touch $@

$(VENV)/.test: pyproject.toml requirements-test.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -c requirements-test.txt \
	    -e '.[tensorflow-cpu,jax,torch,native,dev]'
	touch $@

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info
