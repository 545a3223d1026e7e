"""Seeds, and the tests that belong to one backend only."""

import gc
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import hypothesis
import pytest

# Keras is imported where it is used: it takes seconds, and the process that
# only hands tests to others does without.

# The same examples in each run: a change is to blame for what fails. Others
# are drawn with --hypothesis-profile=default.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")

if os.environ["KERAS_BACKEND"] == "jax":
    # JAX's allocator and TensorFlow's would both want the whole machine.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


# What takes long to make: a folder's tests of one go to one process.
SHARED = (
    *("run", "whole", "done", "likes_run", "folder"),
    *("exported", "features", "models", "tfds_dir"),
)
# Slow on JAX, which takes minutes to compile them, and quick elsewhere.
SLOW_ON_JAX = (
    "composite_test.py",
    "contract_fitting_test.py",
    "contract_saving_test.py",
    "embedding_bag_gradients_test.py",
    "embedding_bag_saving_test.py",
    "for_tables_test.py",
    "golden_test.py",
    "hot_rows_counting_test.py",
    "hot_rows_refresh_test.py",
    "hot_rows_saving_test.py",
    "hot_rows_test.py",
    "lookup_gradients_test.py",
    "measured_moments_test.py",
    "named_collection_saving_test.py",
    "named_models_test.py",
    "packing_test.py",
    "partly_packed_test.py",
    "quantized_embedding_test.py",
    "refresh_hot_rows_test.py",
    "rounding_test.py",
    "sharing_test.py",
    "table_scale_test.py",
    "tensor_train_test.py",
)
# Bytes of a process from which on JAX gives up what it compiled.
MOST_MEMORY = 4 << 30


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config, items):
    """Groups tests; leaves those of TensorFlow's own features to its run."""
    backend = _backend()
    for item in items:
        shared = [
            name for name in SHARED if name in getattr(item, "fixturenames", ())
        ]
        if shared:
            group = f"{item.path.parent.name}-{shared[0]}"
            item.add_marker(pytest.mark.xdist_group(group))
        elif backend == "jax":
            item.add_marker(pytest.mark.xdist_group(_shapes(item)))
        if backend == "jax" and (
            item.path.name in SLOW_ON_JAX
            or item.get_closest_marker("slow_on_jax")
        ):
            item.add_marker(pytest.mark.slow)
    if backend == "tensorflow":
        return
    other = [item for item in items if item.get_closest_marker("tf_only")]
    config.hook.pytest_deselected(items=other)
    items[:] = [item for item in items if item not in other]


def pytest_collection_finish(session):
    """Keeps what is imported out of garbage collections.

    Frameworks are a million objects, and Keras collects garbage for each table
    that it quantizes.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seed():
    import keras

    with _kept_kernels():
        keras.utils.set_random_seed(2026)
    yield
    with _kept_kernels():
        keras.utils.clear_session(free_memory=False)


@pytest.fixture(autouse=True, scope="module")
def _short_collections():
    """Keeps what a module left in the frameworks' caches out as well."""
    yield
    if _backend() == "jax" and _used() > MOST_MEMORY:
        import jax

        gc.unfreeze()
        jax.clear_caches()
    gc.collect()
    gc.freeze()


@contextmanager
def _kept_kernels():
    """Keras would drop TensorFlow's kernels, and each test make them again.

    Nor does a seed load TensorFlow where the test did without it.
    """
    from keras.src.utils import rng_utils

    with pytest.MonkeyPatch.context() as patch:
        if "tensorflow" in sys.modules:
            from tensorflow.python.eager import context

            patch.setattr(
                context.pywrap_tfe, "TFE_ContextClearCaches", lambda _: None
            )
        else:
            patch.setattr(rng_utils, "tf", SimpleNamespace(available=False))
        yield


def _shapes(item):
    """Which tests have the same shapes, which a process compiles once."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    cls = getattr(given.get("method"), "cls", None)
    return cls.__name__ if cls else item.path.name


def _backend():
    import keras

    return keras.backend.backend()


def _used():
    """Bytes of memory that the process has; the most it had, off Linux."""
    import resource

    with suppress(OSError):
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
