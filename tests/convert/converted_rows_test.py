"""Rows of trained tables: wide as long as all seen ids fit, then fewer."""

import numpy as np
import pytest

from keras_pss.layers.base.budget import Budget
from keras_pss.layers.fused.popular.converted_rows import converted_rows

# Of 4,000 ids, 1,000 were seen.
COUNTS = [
    np.r_[5, np.arange(700, 0, -1), np.zeros(1299, int)],
    np.r_[5, np.arange(300, 0, -1), np.zeros(1699, int)],
]


@pytest.mark.parametrize(
    ("budget", "width", "every"),
    [
        *(("5x", (16, 12), True), ("12x", 5, True)),
        *(("20x", 4, False), ("100x", 2, False)),
    ],
)
def test_rows_are_as_wide_as_the_seen_ids_leave_room_for(budget, width, every):
    found = converted_rows(COUNTS, 16, Budget.parse(budget), {})
    assert found["inner_dim"] == width
    widths = np.atleast_1d(width)
    rows = np.reshape(found["num_rows"], (2, -1)).sum(axis=0)
    assert (rows.sum() == 1002) == every
    size = rows @ widths + 16 * widths[widths < 16].sum()
    assert size <= Budget.parse(budget).parameters(4000 * 16)
    assert size > 0.9 * Budget.parse(budget).parameters(4000 * 16)


def test_a_width_that_is_asked_for_is_taken():
    budget = Budget.parse("100x")
    found = converted_rows(COUNTS, 16, budget, {"inner_dim": 1})
    assert (found["inner_dim"], sum(found["num_rows"])) == (1, 640 - 16)
    found = converted_rows(COUNTS, 16, Budget.parse("2560B"), {})
    assert found["storage"] == "int4"  # eight numbers in the bytes of one
    assert found["inner_dim"] == 4
