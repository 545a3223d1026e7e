"""Python's values of a column are those that a log's file would hold."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest

from keras_pss.features import (
    Categorical,
    Dense,
    MultiCategorical,
    Schema,
    Timestamp,
)
from keras_pss.serving.raw_rows import raw_inputs
from keras_pss.serving.raw_rows.column_values import column_values

pytestmark = pytest.mark.tf_only


def converted(feature, values):
    if isinstance(feature, Timestamp):
        schema = Schema([], timestamp=feature)
    else:
        schema = Schema([feature])
    return column_values(raw_inputs(schema)[0], values, schema)


def texts(feature, values):
    found = converted(feature, values)
    assert found.dtype == object
    return found.tolist()


TEXT = Categorical("x")
INTEGER = Categorical("x", dtype="integer")


@pytest.mark.parametrize(
    ("feature", "values", "wanted"),
    [
        (TEXT, ["a", "a\0", b"b\0", "", None], ["a", "a\0", b"b\0", "", ""]),
        (TEXT, [1, 2.0, -0.0, float("nan")], ["1", "2", "0", ""]),
        (TEXT, [True, np.bool_(False)], ["true", "false"]),
        (INTEGER, [True, np.bool_(False)], ["1", "0"]),
        (INTEGER, np.array([2**63 - 1, -(2**63)]), None),
        (INTEGER, np.array([1.0, np.nan], "float32"), ["1", ""]),
        (TEXT, np.array(["a", "b"]), ["a", "b"]),
        (TEXT, pl.Series(["a", None], dtype=pl.Categorical), ["a", ""]),
        (INTEGER, pl.Series([1, None]), ["1", ""]),
    ],
)
def test_texts(feature, values, wanted):
    wanted = wanted or [str(value) for value in values.tolist()]
    assert texts(feature, values) == wanted


@pytest.mark.parametrize(
    ("feature", "value", "rule"),
    [
        (TEXT, 1.5, "texts or whole numbers"),
        (TEXT, float("inf"), "texts or whole numbers"),
        (TEXT, 1e19, "texts or whole numbers"),
        (TEXT, ["a"], "texts or whole numbers"),
        (Categorical("x", dtype="hex"), 10, "texts of hexadecimal digits"),
        (Dense("x"), "1", "numbers"),
        (MultiCategorical("x", max_length=2), "ab", "a list in each row"),
        (Dense("x", size=2), [1.0], "2 numbers a row"),
        (Dense("x", size=2), [1.0] * 3, "2 numbers a row"),
        (Timestamp("x", "epoch_s", ("hour",)), None, "numbers, epoch_s"),
    ],
)
def test_wrong_types(feature, value, rule):
    with pytest.raises(ValueError, match=rf"Column `x` must hold {rule}"):
        converted(feature, [value])


def test_numbers():
    found = converted(Dense("x"), [1, None, np.float32(2.5), True, np.nan])
    np.testing.assert_array_equal(found, [1, np.nan, 2.5, 1, np.nan])
    found = converted(Dense("x", size=2), [[1, None], None, np.array([3, 4])])
    nan = np.nan
    np.testing.assert_array_equal(found, [[1, nan], [nan, nan], [3, 4]])


def test_lists_are_padded():
    feature = MultiCategorical("x", max_length=2)
    rows = [["a", 1], None, [], pl.Series(["b", "c\0", None])]
    wanted = [["a", "1", ""], [""] * 3, [""] * 3, ["b", "c\0", ""]]
    assert texts(feature, rows) == wanted
    assert converted(feature, [None, []]).shape == (2, 0)


def test_times():
    east = timezone(timedelta(hours=2))
    moments = [
        datetime(2024, 2, 29, 13),
        datetime(2024, 2, 29, 15, tzinfo=east),
        np.datetime64("2024-02-29T13:00:00.000000001"),
    ]
    seconds = int(datetime(2024, 2, 29, 13, tzinfo=UTC).timestamp())
    parts = ("hour",)
    for name, unit in (("epoch_s", 1), ("epoch_ms", 1000)):
        found = converted(Timestamp("x", name, parts), moments)
        assert found.tolist() == [seconds * unit] * 3
    assert (
        texts(Timestamp("x", None, parts), moments)
        == ["2024-02-29T13:00:00+00:00"] * 3
    )
    assert texts(Timestamp("x", "%y%m%d%H", parts), moments) == ["24022913"] * 3
    mixed = [date(2024, 2, 29), "2024-02-29", None]
    wanted = ["2024-02-29", "2024-02-29", ""]
    assert texts(Timestamp("x", None, parts), mixed) == wanted
    assert texts(Timestamp("x", "%y%m%d%H", parts), [24022913]) == ["24022913"]
    found = converted(Timestamp("x", "epoch_s", parts), [1.5, "7", 3, -0.5])
    assert found.tolist() == [1, 7, 3, -1]
