"""How rows are divided into parts for training and testing."""

import math

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from keras_pss.data.storage.splits import split_rows


@pytest.mark.parametrize("rows", [10, 137, 1000])
@pytest.mark.parametrize("test", [0.1, 1 / 7, 0.0])
@pytest.mark.parametrize("validation", [0.2, 0.1, 0.0])
def test_random_split_equals_scikit_learn(rows, test, validation):
    train, held = np.arange(rows), {}
    for name, fraction in (("test", test), ("validation", validation)):
        if fraction:
            train, held[name] = train_test_split(
                train, test_size=fraction, random_state=2020
            )
    parts = split_rows(rows, "random", test, validation, 2020)
    assert sorted(parts) == sorted(["train", *held])
    np.testing.assert_array_equal(parts["train"], np.sort(train))
    for name in held:
        np.testing.assert_array_equal(parts[name], np.sort(held[name]))


def test_chronological_split_of_the_sampled_week():
    parts = split_rows(137_139, "chronological", 1 / 7, 0.1, 0)
    assert parts["test"] == range(117_547, 137_139)
    assert len(parts["validation"]) == math.ceil(11_754.7)
    assert parts["train"].stop == parts["validation"].start


def test_split_errors():
    with pytest.raises(ValueError, match=r"chronological, random, none.*'x'"):
        split_rows(10, "x", 0.1, 0.1, 0)
    with pytest.raises(ValueError, match=r"test_fraction.*1\.0.*Pass 0"):
        split_rows(10, "random", 1.0, 0.1, 0)
    with pytest.raises(ValueError, match=r"split_seed=-1"):
        split_rows(10, "random", 0.1, 0.1, -1)
    with pytest.raises(ValueError, match=r"left for training.*2 rows"):
        split_rows(2, "random", 0.5, 0.5, 1)
