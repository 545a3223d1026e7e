"""The kernels: skipped where they are not built, and counted in use."""

import pytest

from keras_pss import native
from keras_pss.native import dispatch as native_kernels


@pytest.fixture(autouse=True)
def _built():
    """What is tested here is there only where it was built."""
    if not native.available():
        pytest.skip("no kernels for this backend: `keras-pss build-ops`")


@pytest.fixture
def calls(monkeypatch):
    """Counts what goes to the kernels."""
    counts = {}
    module = native_kernels.kernels()

    def counted(name, function):
        def call(*args, **kwargs):
            counts[name] = counts.get(name, 0) + 1
            return function(*args, **kwargs)

        return call

    for name in (
        "robe_lookup",
        "tensor_train_lookup",
        "pair_sums",
        "distinct_ids",
        "gather_rows",
        "packed_robe_lookup",
        "packed_tensor_train_lookup",
        "unpack_rows",
        "sum_equal",
        "check_ids",
    ):
        if hasattr(module, name):
            function = getattr(module, name)
            monkeypatch.setattr(module, name, counted(name, function))
    return counts
