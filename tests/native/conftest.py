import pytest

from keras_pss import native


@pytest.fixture(autouse=True)
def _built():
    """What is tested here is there only where it was built."""
    if not native.available():
        pytest.skip("no kernels for this backend: `keras-pss build-ops`")
