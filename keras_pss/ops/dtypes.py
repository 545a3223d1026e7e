"""Sizes of dtypes, which are given by their Keras names."""

from typing import Any

import numpy as np
from keras import backend


def itemsize(dtype: str) -> int:
    """Bytes per number of a Keras dtype."""
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def accurate(dtype: Any) -> str:
    """Keras name of a float dtype, or float32 for those of 16 bits.

    Sums of many small numbers need it.
    """
    name: str = backend.standardize_dtype(dtype)
    return "float32" if itemsize(name) < 4 else name
