"""Schemas that contradict themselves are refused, with the fix."""

import re

import pytest
from schema_parts import CITY, ITEM, PAIR, PRICE, TIME, VIEWED

from keras_pss.features import (
    Categorical,
    Cross,
    Dense,
    Format,
    Group,
    Label,
    MultiCategorical,
    Schema,
    Split,
    Timestamp,
)

LONG = "x" * 1000
NAMES = (
    "`name` must not be one of categorical, dense, group, label, split, time"
)
REFUSED = {
    "nothing": (
        lambda: Categorical(),
        "Categorical needs `name`. Received: {}",
    ),
    "misspelled": (
        lambda: Categorical("a", min_cout=2),
        "Did you mean 'min_count'? Received: min_cout=2",
    ),
    "misspelled and missing": (
        lambda: Label(colum="a"),
        "Label needs `column`. Did you mean 'column'? Received: {'colum': 'a'}",
    ),
    "type": (
        lambda: Categorical(3),
        "`name` must be a valid string. Received: ",
    ),
    "empty": (lambda: Categorical(""), "`name` must not be empty. Received: "),
    "reserved": (lambda: Dense("label"), NAMES),
    "reserved table": (lambda: Categorical("a", table="dense"), NAMES),
    "slash": (lambda: Dense("a/b"), "`name` must be a text without ':', '/'"),
    "blank": (lambda: Dense(" a"), "Received: name=' a'"),
    "colon": (lambda: Dense("a:weights"), "Received: name='a:weights'"),
    "newline": (lambda: Dense("a\nb"), "Received: name='a\\nb'"),
    "count": (
        lambda: Categorical("a", min_count=0),
        "`min_count` must be greater than or equal to 1. Received: min_count=0",
    ),
    "boolean count": (
        lambda: Categorical("a", min_count=True),
        "`min_count` must be a valid integer. Received: min_count=True",
    ),
    "float count": (
        lambda: Categorical("a", min_count=2.0),
        "`min_count` must be a valid integer. Received: min_count=2.0",
    ),
    "dtype": (
        lambda: Categorical("a", dtype="int"),
        "`dtype` must be 'string', 'integer' or 'hex'. Received: dtype='int'",
    ),
    "buckets": (
        lambda: Categorical("a", buckets=9),
        "`buckets` needs ids='hash'. Give that, or leave `buckets` out. "
        "Received: buckets=9, ids='vocabulary'",
    ),
    "too many buckets": (
        lambda: Categorical("a", ids="hash", buckets=2**31),
        "`buckets` must be less than or equal to 2147483647",
    ),
    "hash and min_count": (
        lambda: Cross("a", ("b", "c"), min_count=2),
        "`min_count` needs ids='vocabulary'. Give that, or leave `min_count`",
    ),
    "hash and max_values": (
        lambda: MultiCategorical("a", ids="hash", max_values=9, max_length=1),
        "`max_values` needs ids='vocabulary'",
    ),
    "max_length": (
        lambda: MultiCategorical("a"),
        "MultiCategorical needs `max_length`",
    ),
    "weights of max": (
        lambda: MultiCategorical(
            "a", max_length=2, combiner="max", weights="w"
        ),
        "`weights` needs another `combiner` than 'max'",
    ),
    "weights of itself": (
        lambda: MultiCategorical("a", max_length=2, weights="a"),
        "`weights` must be another column than `column`",
    ),
    "num_buckets": (
        lambda: Dense("a", num_buckets=3),
        "`num_buckets` needs transform='buckets'. Received: num_buckets=3, "
        "transform='none'",
    ),
    "no num_buckets": (
        lambda: Dense("a", transform="buckets"),
        "`num_buckets` must be at least 2 with transform='buckets'",
    ),
    "missing of buckets": (
        lambda: Dense("a", transform="buckets", num_buckets=3, missing=1),
        "`missing` has no effect with transform='buckets'",
    ),
    "size of buckets": (
        lambda: Dense("a", transform="buckets", num_buckets=3, size=2),
        "`size` must be 1 with transform='buckets'",
    ),
    "size of integers": (
        lambda: Dense("a", dtype="integer", size=2),
        "`size` needs dtype='float' if it is more than 1",
    ),
    "missing word": (
        lambda: Dense("a", missing="median"),
        "`missing` must be a valid number or 'mean'. Received: missing='m",
    ),
    "missing nan": (
        lambda: Dense("a", missing=float("nan")),
        "`missing` must be a finite number or 'mean'. Received: missing=n",
    ),
    "missing half": (
        lambda: Dense("a", dtype="integer", missing=0.5),
        "`missing` must be a whole number with dtype='integer'",
    ),
    "missing mean": (
        lambda: Dense("a", dtype="integer", missing="mean"),
        "`missing` must be a whole number with dtype='integer'",
    ),
    "minimum": (
        lambda: Dense("a", minimum=2, maximum=1),
        "`minimum` must be at most `maximum`. Received: minimum=2.0, max",
    ),
    "logarithm": (
        lambda: Dense("a", transform="log1p", minimum=-1),
        "`minimum` must be more than -1 with transform='log1p'",
    ),
    "missing outside": (
        lambda: Dense("a", minimum=1),
        "`missing` must lie between `minimum` and `maximum`. Received: "
        "missing=0.0, minimum=1.0, maximum=None",
    ),
    "cross of one text": (
        lambda: Cross("a", "bc"),
        "`columns` must be a list. Received: columns='bc'",
    ),
    "cross of three": (
        lambda: Cross("a", ("b", "c", "d")),
        "`columns` must",
    ),
    "cross of itself": (
        lambda: Cross("a", ("b", "b")),
        "`columns` must name two different features",
    ),
    "time format": (
        lambda: Timestamp("t", "epoch"),
        "`format` must be epoch_s, epoch_ms or a format of strptime",
    ),
    "time feature": (
        lambda: Timestamp("t", features=["hour", "day"]),
        "`features[1]` must be 'hour', 'weekday' or 'weekend'. Received: "
        "features[1]='day'",
    ),
    "time feature twice": (
        lambda: Timestamp("t", features=["hour", "hour"]),
        "`features` must not repeat a name",
    ),
    "two rules of a label": (
        lambda: Label("a", positive="x", threshold=1),
        "`threshold` excludes `positive` and `negative`. Give one rule.",
    ),
    "negative alone": (
        lambda: Label("a", negative="x"),
        "`negative` needs `positive`, the texts that mean 1.",
    ),
    "overlap": (
        lambda: Label("a", positive=["x", "y"], negative=["z", "x"]),
        "`positive` and `negative` must not share a text. Received: 'x' in bo",
    ),
    "no text": (
        lambda: Label("a", positive=[]),
        "`positive` must hold at least one text. Received: positive=()",
    ),
    "number as text": (
        lambda: Label("a", positive=1),
        "`positive` must be a list. Received: positive=1",
    ),
    "split without column": (
        lambda: Split("column", values={"test": "a"}),
        "`column` is needed by by='column'. Received: column=None",
    ),
    "split without values": (
        lambda: Split("column", column="a", values={}),
        "`values` is needed by by='column'. Received: values={}",
    ),
    "split's column": (
        lambda: Split("time", column="a"),
        "`column` needs by='column'. Received: column='a', by='time'",
    ),
    "split's last": (lambda: Split(last=1), "`last` needs by='group'"),
    "split's value twice": (
        lambda: Split(
            "column", column="a", values={"test": "x", "validation": "x"}
        ),
        "`values` must name each text once. Received: 'x' more than once",
    ),
    "split's value empty": (
        lambda: Split("column", column="a", values={"test": []}),
        "`values` must hold at least one text for each split",
    ),
    "fraction": (
        lambda: Split(test=1),
        "`test` must be less than 1. Received: test=1",
    ),
    "seed of a split": (
        lambda: Split("random", seed=2**32),
        "`seed` must be less than 4294967296. Received: seed=4294967296",
    ),
    "columns and header": (
        lambda: Format(columns=["a"]),
        "`columns` needs header=False: the header names the columns.",
    ),
    "no columns": (
        lambda: Format(header=False),
        "`columns` must name the columns of files without a header.",
    ),
    "columns twice": (
        lambda: Format(header=False, columns=["a", "a"]),
        "`columns` must not repeat a name. Received: 'a' twice",
    ),
    "header of Parquet": (
        lambda: Format(kind="parquet", header=False, columns=["a"]),
        "`header` must be True with kind='parquet'",
    ),
    "quote": (
        lambda: Format(quote="''"),
        "`quote` must be one character. Received: quote=\"''\"",
    ),
    "quote in separator": (
        lambda: Format(separator="|", quote="|"),
        "`quote` must not be part of `separator`",
    ),
    "line break": (
        lambda: Format(separator="\r\n"),
        "`separator` must not hold a line break.",
    ),
    "no features": (
        lambda: Schema([]),
        "`features` must hold at least one feature. Received: features=()",
    ),
    "features no list": (
        lambda: Schema(LONG),
        "`features` must be a list. Received: features='xxx",
    ),
    "feature of a text": (
        lambda: Schema([CITY, "a"]),
        "`features[1]` must be a Categorical or a MultiCategorical or a Dense "
        "or a Cross. Received: features[1]='a'",
    ),
    "feature of a dictionary": (
        lambda: Schema([{"name": "a"}]),
        "`features[0]` must be a Categorical",
    ),
    "label of a text": (
        lambda: Schema([CITY], label="a"),
        "`label` must be a Label. Received: label='a'",
    ),
    "same names": (
        lambda: Schema([CITY, Dense("city")]),
        "`features` must have different names. Give one of them another "
        "`name` and the column's name as `column`. Received: name='city' tw",
    ),
    "name of a time feature": (
        lambda: Schema([Categorical("hour")], timestamp=TIME),
        "`features` must not have the name of a time feature.",
    ),
    "name of weights": (
        lambda: Schema([VIEWED, Dense("viewed_weights")]),
        "`features` must not have 'viewed_weights' beside 'viewed', whose "
        "weights have that name. Choose another name and give the column's "
        "name as `column`. Received: name='viewed_weights'",
    ),
    "cross of nothing": (
        lambda: Schema([CITY, Cross("c", ("cty", "city"))]),
        "`columns` of the cross 'c' must name two categorical features of the "
        "schema. Did you mean 'city'? Received: 'cty'",
    ),
    "cross of a number": (
        lambda: Schema([CITY, PRICE, Cross("c", ("city", "price"))]),
        "Received: 'price', a Dense",
    ),
    "cross of a list": (
        lambda: Schema([CITY, VIEWED, Cross("c", ("city", "viewed"))]),
        "Received: 'viewed', a MultiCategorical",
    ),
    "cross of a cross": (
        lambda: Schema([CITY, ITEM, PAIR, Cross("c", ("city", "pair"))]),
        "Received: 'pair', a Cross",
    ),
    "table of two dtypes": (
        lambda: Schema([CITY, Categorical("b", dtype="hex", table="city")]),
        "`dtype` must be the same for all features of one table. Received: "
        "table='city', dtype='string' for 'city' and dtype='hex' for 'b'",
    ),
    "table of two counts": (
        lambda: Schema([CITY, Categorical("b", min_count=2, table="city")]),
        "`min_count` must be the same for all features of one table.",
    ),
    "table of a cross": (
        lambda: Schema([CITY, ITEM, PAIR, Categorical("b", table="pair")]),
        "`table` must not name the table of a cross, of buckets or of a time",
    ),
    "table of a time": (
        lambda: Schema([Categorical("b", table="hour")], timestamp=TIME),
        "Received: table='hour' for 'b' and 'hour'",
    ),
    "leak": (
        lambda: Schema([Dense("x", column="clicked")], label=Label("clicked")),
        "`label` must not be the column of a feature as well: the model would "
        "read the answer. Remove the feature 'x'. Received: label='clicked'",
    ),
    "leak by weights": (
        lambda: Schema([VIEWED, ITEM], label=Label("seconds")),
        "Remove the feature 'viewed'. Received: label='seconds'",
    ),
    "leak by time": (
        lambda: Schema([CITY], label=Label("at"), timestamp=TIME),
        "`label` must be another column than that of `timestamp`",
    ),
    "split by no time": (
        lambda: Schema([CITY], split=Split("time")),
        "`split` by 'time' needs a `timestamp`.",
    ),
    "split by no group": (
        lambda: Schema([CITY], split=Split("group")),
        "`split` by 'group' needs a `group`.",
    ),
    "keys twice": (
        lambda: Schema([CITY], keys=("a", "a")),
        "`keys` must be different names of columns.",
    ),
    "column that is not there": (
        lambda: Schema([CITY], format=Format(header=False, columns=["cit"])),
        "`format.columns` must name every column that is read. Did you mean "
        "'cit'? Received: 'city', which is not one of the 1 columns",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_contradicts_is_refused(case):
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        make()
    text = str(raised.value)
    assert "Received: " in text
    assert "Input should" not in text
    assert len(text) < 500


def test_wrong_calls_are_type_errors():
    with pytest.raises(TypeError, match="Group takes at most 1 arguments"):
        Group("a", "b")
    with pytest.raises(TypeError, match="Give each argument of Group once"):
        Group("a", column="b")
