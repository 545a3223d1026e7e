"""Seeds, and the tests that belong to one backend only."""

import gc
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import hypothesis
import keras
import pytest

# The same examples in each run: a change is to blame for what fails. Others
# are drawn with --hypothesis-profile=default.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")

if keras.backend.backend() == "jax":
    # JAX's allocator and TensorFlow's would both want the whole machine.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


# What takes long to make: a folder's tests of one go to one process.
SHARED = ("run", "whole", "done", "folder")
# Slow on JAX, which takes minutes to compile them, and quick elsewhere.
SLOW_ON_JAX = (
    "contract_saving_test.py",
    "embedding_bag_gradients_test.py",
    "embedding_bag_saving_test.py",
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
    "wrong_arguments_test.py",
)
# Bytes of a process from which on JAX gives up what it compiled.
MOST_MEMORY = 4 << 30


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config, items):
    """Groups tests; leaves those of TensorFlow's own features to its run."""
    for item in items:
        shared = [
            name for name in SHARED if name in getattr(item, "fixturenames", ())
        ]
        if shared:
            group = f"{item.path.parent.name}-{shared[0]}"
            item.add_marker(pytest.mark.xdist_group(group))
        if keras.backend.backend() == "jax" and item.path.name in SLOW_ON_JAX:
            item.add_marker(pytest.mark.slow)
    if keras.backend.backend() == "tensorflow":
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
    keras.utils.set_random_seed(2026)
    yield
    keras.utils.clear_session(free_memory=False)


@pytest.fixture(autouse=True, scope="module")
def _short_collections():
    """Keeps what a module left in the frameworks' caches out as well."""
    yield
    if keras.backend.backend() == "jax" and _used() > MOST_MEMORY:
        import jax

        gc.unfreeze()
        jax.clear_caches()
    gc.collect()
    gc.freeze()


def _used():
    """Bytes of memory that the process has used at most."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
