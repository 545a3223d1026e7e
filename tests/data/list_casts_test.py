"""Casts of the elements of lists, beside lists that are empty or missing."""

import polars as pl
import pytest

from keras_pss.data.readers.formats.types import typed_rows
from keras_pss.data.readers.reasons import BAD_INTEGER, NOT_WHOLE, TOO_LARGE
from keras_pss.data.readers.values.caster import Caster
from keras_pss.features import MultiCategorical, Schema, Timestamp

CASES = {
    "split": ("integer", " ", ["x", ""], pl.String, BAD_INTEGER),
    "integers": ("integer", None, [["x"], []], pl.List(pl.String), BAD_INTEGER),
    "floats": ("integer", None, [[1.5], []], pl.List(pl.Float64), BAD_INTEGER),
    "texts": ("string", None, [[1.5], []], pl.List(pl.Float64), NOT_WHOLE),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", [1, -1])
def test_a_wrong_element_beside_an_empty_list(case, order):
    dtype, separator, lists, kind, reason = CASES[case]
    feature = MultiCategorical(
        "x", dtype=dtype, separator=separator, max_length=2
    )
    frame = pl.DataFrame({"x": lists[::order]}, {"x": kind})
    found = Caster(Schema([feature]), False)(typed_rows(frame))
    assert [reject.reason for reject in found.rejects] == [reason]
    assert found.rows["x"].to_list() == [[]]


@pytest.mark.parametrize("late", [9 * 10**12, -9 * 10**12, 9e12])
def test_times_that_have_no_hour(late):
    time = Timestamp("at", "epoch_s", features=("hour",))
    found = Caster(Schema([], timestamp=time), False)(
        typed_rows(pl.DataFrame({"at": [late, late // 9]}))
    )
    assert [reject.reason for reject in found.rejects] == [TOO_LARGE]
    assert found.rows["hour"].null_count() == 0


def test_an_hour_of_one_digit_without_minutes():
    time = Timestamp("at", "%Y-%m-%d %H", features=("hour",))
    frame = pl.DataFrame({"at": ["2024-01-05 1", "2024-01-05 10"]})
    found = Caster(Schema([], timestamp=time), False)(typed_rows(frame))
    assert found.rows["hour"].to_list() == ["1", "10"]
