"""Splits rows into training, validation and test rows."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "validation", "test")
POLICIES = ("chronological", "random", "none")

# Row numbers in ascending order: a range where they are consecutive.
RowNumbers = range | npt.NDArray[np.int64]


def split_rows(
    num_rows: int,
    policy: str,
    test_fraction: float,
    validation_fraction: float,
    seed: int,
) -> dict[str, RowNumbers]:
    """Splits rows 0..num_rows; each split keeps the order of the source.

    `chronological`: the last `test_fraction` of the rows is for testing, the
    last `validation_fraction` of the others for validation. `random`: the same
    sizes, assigned as by two calls of scikit-learn's `train_test_split` with
    `random_state=seed`, the second on the training rows of the first. `none`:
    all rows are for training. Fractions of rows are rounded up.

    Args:
        num_rows: Number of rows.
        policy: `"chronological"`, `"random"` or `"none"`.
        test_fraction: Fraction of all rows, in [0, 1).
        validation_fraction: Fraction of the rows that are not for testing,
            in [0, 1).
        seed: Seed of `"random"`, in [0, 2^32).

    Returns:
        Row numbers by the name of the split; empty splits are left out.

    Raises:
        ValueError: An argument is out of range, or no row is left for
            training.
    """
    check(policy, test_fraction, validation_fraction, seed)
    if policy == "none":
        test_fraction = validation_fraction = 0.0
    num_test = math.ceil(num_rows * test_fraction)
    num_develop = num_rows - num_test
    num_validation = math.ceil(num_develop * validation_fraction)
    num_train = num_develop - num_validation
    if num_train < 1:
        raise ValueError(
            "At least one row must be left for training. Received: "
            f"{num_rows} rows, test_fraction={test_fraction}, "
            f"validation_fraction={validation_fraction}. Lower the fractions "
            "or check the rejected rows."
        )
    parts: dict[str, RowNumbers]
    if policy == "random":
        order = develop = np.arange(num_rows)
        if num_test:
            order = np.random.RandomState(seed).permutation(num_rows)
            develop = order[num_test:]
        if num_validation:  # the second call starts from the same seed
            again = np.random.RandomState(seed).permutation(num_develop)
            develop = develop[again]
        parts = {
            "train": np.sort(develop[num_validation:]),
            "validation": np.sort(develop[:num_validation]),
            "test": np.sort(order[:num_test]),
        }
    else:
        parts = {
            "train": range(num_train),
            "validation": range(num_train, num_develop),
            "test": range(num_develop, num_rows),
        }
    return {name: rows for name, rows in parts.items() if len(rows)}


def blocks_of(rows: RowNumbers, size: int) -> Iterator[RowNumbers]:
    """Splits row numbers into blocks of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def check(
    policy: str, test_fraction: float, validation_fraction: float, seed: int
) -> None:
    """Raises ValueError if an argument of `split_rows` is out of range."""
    if policy not in POLICIES:
        raise ValueError(
            f"`split` must be one of {', '.join(POLICIES)}. "
            f"Received: split={policy!r}."
        )
    for name, value in (
        ("test_fraction", test_fraction),
        ("validation_fraction", validation_fraction),
    ):
        if not 0 <= value < 1:
            raise ValueError(
                f"`{name}` must lie in [0, 1). Received: {name}={value}. "
                "Pass 0 for no such split."
            )
    if not 0 <= seed < 2**32:
        raise ValueError(
            "`split_seed` must lie in [0, 2^32). "
            f"Received: split_seed={seed}. Take it modulo 2^32."
        )
