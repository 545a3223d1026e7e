"""Macro and micro PSS sizes against tables projected by hashed signs."""

import math

import numpy as np
import pytest
from keras import ops

from keras_pss.ops import hashing
from keras_pss.planning import theory


def projections(count, rows, draws):
    """S of independent signs from the hash of ROBE, `(draws, n, k)`."""
    ids = np.repeat(np.arange(count, dtype="int32")[:, None], draws, axis=1)
    ids = ops.convert_to_tensor(ids)
    signs = hashing.signs(ids, rows, seed=3, table=tuple(range(draws)))
    signs = ops.convert_to_numpy(signs)
    return np.swapaxes(signs, 0, 1) / np.sqrt(rows)


def drawn(count, width, skew):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(count, width))
    return rows / np.arange(1, count + 1)[:, None] ** skew


@pytest.mark.parametrize(("width", "epsilon"), [(2, 0.5), (4, 0.9)])
def test_theorem_6_the_whole_table_keeps_its_products(width, epsilon):
    table = drawn(120, width, 0.5)
    size = theory.macro_pss_size(width, epsilon, 0.1)
    basis, _ = np.linalg.qr(table)
    errors = []
    for s in projections(120, size // width, 40):
        kept = s.T @ basis  # (k, d)
        errors.append(np.linalg.norm(kept.T @ kept - np.eye(width), 2))
    assert np.mean(np.array(errors) > epsilon) <= 0.1
    # It is a bound, and not a loose one.
    assert max(errors) > epsilon / 3


@pytest.mark.parametrize(("epsilon", "rho"), [(0.8, 0.6), (1.0, 0.3)])
def test_theorem_7_important_rows_keep_their_products(epsilon, rho):
    table = drawn(150, 3, 1.2)
    size = theory.micro_pss_size(150, 3, epsilon, 0.1, rho)
    important = theory.importance(table) > rho
    assert 2 <= important.sum() < 20
    norms = np.linalg.norm(table, axis=1)
    worst = []
    for s in projections(150, size // 3, 10):
        rows = s @ (s.T @ table)
        # The largest error over all x is the row's own.
        errors = np.linalg.norm(rows - table, axis=1) / norms
        worst.append(errors[important].max())
    assert np.mean(np.array(worst) > epsilon) <= 0.1
    assert max(worst) > epsilon / 10


def test_theorem_4_products_of_important_rows():
    table = drawn(150, 3, 1.2)
    kept = theory.importance(table) > 0.3
    norms = np.linalg.norm(table, axis=1)[kept]
    for s in projections(150, 400, 10):
        rows = (s @ (s.T @ table))[kept]
        exact = table[kept]
        errors = np.linalg.norm(rows - exact, axis=1) / norms
        bound = theory.pairwise_error(float(errors.max()))
        products = np.abs(rows @ rows.T - exact @ exact.T)
        assert np.all(products <= bound * np.outer(norms, norms) + 1e-9)


def test_sizes_have_the_theorems_order():
    for width in (1, 4, 16, 128):
        for epsilon in (0.01, 0.1, 1.0):
            for delta in (0.5, 0.01, 1e-9):
                order = width * (width + math.log(1 / delta)) / epsilon**2
                size = theory.macro_pss_size(width, epsilon, delta)
                assert 4 < size / order < 26
                for rho in (0.1, 1.0):
                    for count in (10, 10**9):
                        order = math.log(9) * width + math.log(count / delta)
                        order *= width / (rho * epsilon) ** 2
                        size = theory.micro_pss_size(
                            count, width, epsilon, delta, rho
                        )
                        assert 2.2 < size / order < 40


def test_errors_invert_sizes():
    for width, epsilon in ((1, 0.1), (16, 0.3), (128, 1.0)):
        size = theory.macro_pss_size(width, epsilon, 0.05)
        assert theory.macro_pss_error(size, width, 0.05) <= epsilon
        assert theory.macro_pss_error(size - width, width, 0.05) > epsilon
        size = theory.micro_pss_size(10**6, width, epsilon, 0.05, 0.2)
        error = theory.micro_pss_error(size, 10**6, width, 0.05, 0.2)
        assert error <= epsilon
        fewer = size - width
        assert theory.micro_pss_error(fewer, 10**6, width, 0.05, 0.2) > epsilon


def test_importance():
    table = drawn(50, 4, 1.0)
    found = theory.importance(table)
    largest = np.linalg.svd(table)[1][0]
    np.testing.assert_allclose(found * largest, np.linalg.norm(table, axis=1))
    assert theory.importance(np.ones((1, 7))) == pytest.approx(1)
    assert not theory.importance(np.zeros((3, 2))).any()
    for rho in (0.1, 0.3, 0.5):
        covered = np.sum(found >= rho)
        assert covered <= 4 / rho**2
        # The important rows themselves are never larger than the memory.
        assert theory.micro_pss_size(50, 4, 1.0, 0.5, rho) > 4 * covered


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("macro_pss_size", (0, 0.1, 0.1), "`output_dim`.*=0"),
        ("macro_pss_size", (4, 0.0, 0.1), "`epsilon`.*at most 1.*=0.0"),
        ("macro_pss_size", (4, 1.1, 0.1), "`epsilon`.*=1.1"),
        ("macro_pss_size", (4, 0.1, 1), "`delta`.*below 1.*=1"),
        ("macro_pss_error", (3, 4, 0.1), "one row.*parameters=3"),
        ("micro_pss_size", (9, 4, 0.1, 0.1, 0), "`rho`.*=0"),
        ("micro_pss_error", (9, 2.5, 4, 0.1, 0.1), "`input_dim`.*=2.5"),
        ("pairwise_error", (float("nan"),), "`epsilon`.*nan"),
        ("importance", (np.ones((2, 2, 2)),), r"\(2, 2, 2\)"),
        ("importance", (np.ones((0, 2)),), r"\(0, 2\)"),
    ],
)
def test_errors_name_the_argument(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(theory, function)(*arguments)
