# make demo: train a compressed model beside the uncompressed one.
# make test: what must hold, within minutes.
# make test-slow: the rest, which takes minutes a test.
# make test-beam: preparation on Apache Beam, in an environment of its own.
# make test-serving: exported models on KServe, in an environment of its own.
# make docs: the documentation site, in site/.
# make test-docs: its links, and its pages in a browser.
# CI runs these but for the demo.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
# Parallel test processes; each needs about 2 GiB. Many of them wait for
# processes of their own: one more than there are cores pays.
JOBS ?= 3
PARALLEL := -n $(JOBS) --dist loadgroup
# Each of these processes, and those that they start, would otherwise compile
# the tests and the package anew where the environment forbids to keep that.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow test-beam test-serving test-fast docs test-docs
.PHONY: lint clean

demo: $(VENV)/.demo
	$(BUILD_OPS) || true
	rm -rf $(DEMO)
	$(BIN)/python examples/demo.py --out $(DEMO)

test: $(VENV)/.test lint
	$(BUILD_OPS)
	$(ONE_THREAD) $(ON_TENSORFLOW) -m "not slow and not real_data"
	$(ONE_THREAD) $(ON_JAX) -m "not slow and not real_data" $(PORTABLE)
	$(ONE_THREAD) $(ON_TORCH) -m "not slow and not real_data" $(PORTABLE)

SLOW := slow and not real_data
# These start hardly a process of their own, and each test process collects
# all tests anew.
ALONE := -n $$(($(JOBS) - 1))
test-slow: $(VENV)/.test
	$(BUILD_OPS)
	$(ON_TENSORFLOW) -m "$(SLOW)"
	$(ONE_THREAD) $(ON_JAX) $(ALONE) -m "$(SLOW)" $(PORTABLE)
	$(ONE_THREAD) $(ON_TORCH) $(ALONE) -m "$(SLOW)" $(PORTABLE)

# Apache Beam needs an older protobuf than the packages of the others, so it lies
# before them in an environment of its own.
BEAM ?= $(VENV)/beam
test-beam: $(BEAM)/.test
	KERAS_BACKEND=tensorflow $(ONE_THREAD) $(BEAM)/bin/python -m pytest \
	    -m "not slow and not real_data" tests/data/beam_test.py

KSERVE ?= $(VENV)/kserve
test-serving: $(KSERVE)/.test
	KERAS_BACKEND=tensorflow $(ONE_THREAD) $(KSERVE)/bin/python -m pytest \
	    -m "not slow and not real_data" tests/serving/kserve_test.py

# The documentation has an environment of its own as well: most who change the
# code need neither its packages nor a browser.
DOCS ?= $(VENV)/docs
docs: $(DOCS)/.test
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --quiet --strict

test-docs: docs
	KERAS_BACKEND=tensorflow $(ONE_THREAD) $(DOCS)/bin/python -m pytest tests/site

# The quick tests on TensorFlow alone.
test-fast: $(VENV)/.test
	$(BUILD_OPS)
	$(ONE_THREAD) $(ON_TENSORFLOW)

# Tests run in parallel, and threads of each would only wait for others. The
# slow ones on TensorFlow, which train whole runs, have as many as a user's
# process.
ONE_THREAD := TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 OMP_NUM_THREADS=1

ON_TENSORFLOW = KERAS_BACKEND=tensorflow $(BIN)/python -m pytest $(PARALLEL)
ON_TORCH = KERAS_BACKEND=torch $(BIN)/python -m pytest $(PARALLEL)
# JAX compiles each operation for each shape, which takes most of its time: it
# compiles faster without optimizations, and processes share what they compiled.
ON_JAX = KERAS_BACKEND=jax JAX_DISABLE_MOST_OPTIMIZATIONS=1 \
    JAX_COMPILATION_CACHE_DIR=$(VENV)/.jax \
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
    JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=0 \
    $(BIN)/python -m pytest $(PARALLEL)

# What must hold on every backend.
PORTABLE := tests/ops tests/layers tests/callbacks tests/models tests/native \
    tests/optimizers tests/golden_test.py tests/convert/torch_tables_test.py \
    tests/training/backends_test.py tests/examples/portable_test.py

# Kernels where there is a compiler; everything works without them, slower.
BUILD_OPS = if command -v $(firstword $(CXX) g++) > /dev/null; \
    then $(BIN)/keras-pss build-ops; fi

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
	$(BIN)/python -m pip install -q -c requirements-test.txt --no-deps \
	    keras-hub regex tensorflow-serving-api tokenizers
	touch $@

SITE = import sysconfig; print(sysconfig.get_path("purelib"))
# PACKAGES of an environment beside that of the others.
define BESIDE
	$(BIN)/python -m venv --clear --without-pip $(@D)
	to=$$($(@D)/bin/python -c '$(SITE)') && from=$$($(BIN)/python -c '$(SITE)') \
	    && echo "import site; site.addsitedir('$$from')" > $$to/all_others.pth
	$(BIN)/python -m pip --python $(@D)/bin/python install -q \
	    -c requirements-test.txt $(PACKAGES) || { echo "make: $(PACKAGES)" \
	    "could not be installed. Mend that, or go without." >&2; exit 1; }
	touch $@
endef

$(BEAM)/.test: PACKAGES := apache-beam
$(BEAM)/.test: $(VENV)/.test
	$(BESIDE)

$(DOCS)/.test: PACKAGES := mkdocs-material 'mkdocstrings[python]' selenium
$(DOCS)/.test: $(VENV)/.test
	$(BESIDE)

$(KSERVE)/.test: PACKAGES := kserve
$(KSERVE)/.test: $(VENV)/.test
	$(BESIDE)

clean:
	rm -rf $(VENV) $(DEMO) build dist site *.egg-info
