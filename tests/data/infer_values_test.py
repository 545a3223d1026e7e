"""What the values and names of columns say of them."""

import random

import numpy as np
import polars as pl
import pytest
from drafts import column, table

from keras_pss.data.infer_schema import infer
from keras_pss.features import (
    Categorical,
    Dense,
    Label,
    MultiCategorical,
    Split,
    Timestamp,
)


@pytest.mark.parametrize(
    ("values", "feature"),
    [
        (["1", "2", "-1"], Categorical("x", dtype="integer")),
        (["1", "02"], Categorical("x")),
        (["0", "10"], Categorical("x", dtype="integer")),
        (["a", ""], Categorical("x")),
        (["1.5", "0.5"], Dense("x", transform="standard")),
        (["1.5", "", "0.5"], Dense("x", transform="standard", missing="mean")),
        (["1e-3", "0.2", "100"], Dense("x", transform="log1p")),
        (["deadbeef", "00000001"], Categorical("x", dtype="hex")),
        (["deadbee", "00000001"], Categorical("x")),
        (["12345678", "87654321"], Categorical("x", dtype="integer")),
        (["99999999999999999999", "1"], Categorical("x")),
        (["1 2", "3 4 5"], MultiCategorical(
            "x", dtype="integer", separator=" ", max_length=3)),
        (["i1 i2", "i3", "i2 i1"], MultiCategorical(
            "x", separator=" ", max_length=2)),
        (["new york", "old york"], Categorical("x")),
        (["disk 5", "disk 7 pro"], Categorical("x")),
        (["a^b", "b^a^c"], MultiCategorical("x", separator="^", max_length=3)),
        (["a|b", "a", "b", "a"], MultiCategorical(
            "x", separator="|", max_length=2)),
        (["a,b", "b,a"], MultiCategorical("x", separator=",", max_length=2)),
        (["Paris, TX", "Rome, NY"], Categorical("x")),
        (["01|02", "2|01"], MultiCategorical("x", separator="|", max_length=2)),
        (["1|2", "2|3", "nan"], MultiCategorical(
            "x", dtype="integer", separator="|", max_length=2)),
        (["1|NA", "2|1"], MultiCategorical("x", separator="|", max_length=2)),
        (["a\x02b", "b\x02a"], MultiCategorical(
            "x", separator="\x02", max_length=2)),
        (["B0012345", "B0054321"], Categorical("x")),
        (["true", "false"], Categorical("x")),
        ([str(i) for i in range(-99, 99)],
            Dense("x", dtype="integer", transform="standard")),
        ([str(10_000 + 7 * i) for i in range(99)],
            Categorical("x", dtype="integer")),
        ([str(i**4) for i in range(99)],
            Dense("x", dtype="integer", transform="log1p")),
    ],
    ids=str,
)  # fmt: skip
def test_values_decide(tmp_path, values, feature):
    schema, _ = column(tmp_path, values, rows=3)
    assert schema.features == (feature,)


def test_names_decide_where_values_do_not(tmp_path):
    values = [str(10_000 + 7 * i) for i in range(99)] * 2
    schema, row = column(tmp_path, values, "price")
    assert isinstance(schema["price"], Dense)
    assert row.why == "the name says a quantity; standardized"
    schema, _ = column(tmp_path, [str(i**4) for i in range(99)] * 2, "shopId")
    assert schema.features == (Categorical("shopId", dtype="integer"),)


def test_ids_of_users_are_no_keys_though_each_comes_once(tmp_path):
    values = [f"u{i}" for i in range(1500)]
    schema, _ = column(tmp_path, values, "customer_id")
    assert schema.features == (Categorical("customer_id"),)
    schema, _ = table(
        tmp_path,
        "click;x;y\n"
        + "\n".join(f"{i % 2};{v};a" for i, v in enumerate(values)),
    )
    assert schema.keys == ("x",)
    assert schema.features == (Categorical("y"),)


def test_constants_are_said_to_be_so(tmp_path):
    _, row = column(tmp_path, ["7", "7", "7"])
    assert row.why == "the same value in each row of the sample"


def test_a_median_fills_integers(tmp_path):
    values = [str(10_000 + 7 * i) for i in range(99)]
    schema, _ = column(tmp_path, [*values, ""], "price", rows=2)
    assert schema["price"].missing == 10_343


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("t", ["2020-01-01 10:00:00", "2020-01-01 11:00:00"], None),
        ("t", ["2020-01-01T10:00:00Z", "2020-01-01T11:00:00.5Z"], None),
        ("hour", ["14102100", "14102123"], "%y%m%d%H"),
        ("hour", ["2014102100", "2014102123"], "%Y%m%d%H"),
        ("time", ["20141021101500", "20141021101501"], "%Y%m%d%H%M%S"),
        ("ts", ["1600000000", "1600000001"], "epoch_s"),
        ("at", ["1600000000", "1600000001"], "epoch_s"),
        ("createdTime", ["1600000000000", "1600000000001"], "epoch_ms"),
        ("d", ["21/10/2014 10:00", "22/10/2014 11:00"], "%d/%m/%Y %H:%M"),
        ("d", ["10/21/2014 10:00:01", "10/22/2014 11:00:02"],
            "%m/%d/%Y %H:%M:%S"),
    ],
)  # fmt: skip
def test_times_are_found(tmp_path, name, values, expected):
    schema, row = column(tmp_path, values, name)
    hours = ("hour", "weekday", "weekend")
    assert schema.timestamp == Timestamp(name, expected, hours)
    assert row.decision == "timestamp"


def test_days_have_no_hours_and_disorder_splits_by_time(tmp_path):
    schema, row = column(tmp_path, ["20141022", "20141021"], "date")
    assert schema.timestamp.features == ("weekday", "weekend")
    assert schema.split == Split("time")
    assert row.why == "digits as %Y%m%d, not in order"


def test_rows_in_the_order_of_users_are_split_within_users(tmp_path):
    rows = [f"{i % 2},{i // 20},{i % 3}" for i in range(400)]
    schema, _ = table(tmp_path, "click,user,x\n" + "\n".join(rows))
    assert schema.split == Split("group", last=4)
    random.Random(0).shuffle(rows)
    schema, _ = table(tmp_path, "click,user,x\n" + "\n".join(rows))
    assert schema.split == Split("order")


def test_digits_without_the_name_of_a_time_are_no_times(tmp_path):
    schema, _ = column(tmp_path, ["1600000000", "1600000001"] * 2)
    assert schema.timestamp is None


@pytest.mark.parametrize(
    ("values", "label", "why"),
    [
        (["0", "1"], Label("y"), "0 and 1"),
        (["0.0", "1.0"], Label("y"), "0 and 1"),
        (["false", "true"], Label("y"), "false and true"),
        (["1", "2"], Label("y", threshold=2), "the larger of two numbers, 2,"),
        (["-1", "1"], Label("y", threshold=1), "the larger of two numbers"),
        (["3", "4.5", "5"], Label("y", threshold=4), "from 4 on"),
        (["1", "10", "3"], Label("y", threshold=8), "from 8 on"),
        (["no", "yes", "yes"], Label("y", "yes", "no"), "'yes' means 1"),
        (["<=50K", ">50K"], Label("y", ">50K", "<=50K"), "'>50K' means 1"),
        (["e", "e", "p"], Label("y", "p", "e"), "'p', the rarer one, means 1"),
    ],
    ids=str,
)
def test_labels_become_0_and_1(tmp_path, values, label, why):
    rows = [f"{v},{i % 3}" for i, v in enumerate(values * 4)]
    schema, report = table(tmp_path, "y,x\n" + "\n".join(rows), label="y")
    assert schema.label == label
    assert why in report.columns[0].why


def test_a_label_is_found_by_its_name_or_place(tmp_path):
    schema, _ = table(tmp_path, "x,CLICK\n3,1\n4,0\n3,1\n")
    assert schema.label == Label("CLICK")
    schema, report = table(tmp_path, "1,5\n0,6\n0,5\n")
    assert schema.label == Label("column_1")
    assert schema.format.columns == ("column_1", "column_2")
    assert "No line names the columns" in report.notes[0]
    schema, report = table(tmp_path, "x,z\n3,1\n4,2\n3,1\n")
    assert schema.label is None
    assert "No column looks like a label." in report.notes[0]


def test_what_gives_the_label_away_is_noted(tmp_path):
    rows = [f"{i % 2},{'ab'[i % 2]},{i % 3}" for i in range(60)]
    _, report = table(tmp_path, "click,paid,x\n" + "\n".join(rows))
    assert report.notes == (
        "paid decides the label in every row of the sample. Remove it if it "
        "is known only after the click.",
    )


def test_rows_that_will_be_refused_are_noted(tmp_path):
    _, report = table(tmp_path, "click,x\n1,a\n,b\n0,a\n1,b\n")
    assert "25.0% of the rows have no label" in report.notes[0]
    lines = [f"{i % 2};2020-01-01;{i % 3}" for i in range(99)]
    _, report = table(tmp_path, "click;at;x\n0;;1\n" + "\n".join(lines))
    assert "1.0% of the rows have no time and will" in report.notes[0]
    schema, _ = table(tmp_path, "click;at;x\n0;;1\n" + "\n".join(lines[:9]))
    assert schema.timestamp is None


@pytest.mark.parametrize("divided", [True, False])
def test_distinct_counts_the_elements_of_lists(tmp_path, divided):
    draws = np.random.default_rng(0)
    rows = [
        sorted(draws.choice(["a b", "c", "d", "e", "f"], 3, replace=False))
        for _ in range(60)
    ]
    weights = [[0.25, 0.5, 1.5] for _ in rows]
    if divided:
        path = tmp_path / "log.csv"
        columns = {
            "genres": ["|".join(row) for row in rows],
            "shares": ["|".join(map(str, row)) for row in weights],
        }
    else:
        path = tmp_path / "log.parquet"
        columns = {"genres": rows, "shares": [*weights[1:], [0.25, 0.5]]}
    frame = pl.DataFrame({**columns, "city": [f"x{i % 7}" for i in range(60)]})
    frame.write_csv(path) if divided else frame.write_parquet(path)
    _, report = infer(path)
    found = {row.column: row.distinct for row in report.columns}
    assert found == {"genres": 5, "shares": 3, "city": 7}
    decided = {row.column: row.decision for row in report.columns}
    assert decided["genres"] == "multi"
