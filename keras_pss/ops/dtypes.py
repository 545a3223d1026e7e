"""Sizes of dtypes, which are given by their Keras names."""

import numpy as np


def itemsize(dtype: str) -> int:
    """Bytes per number of a Keras dtype."""
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
