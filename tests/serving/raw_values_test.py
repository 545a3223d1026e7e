"""Each raw value gives the id that the readers of a log give it, or an error.

The oracle is what prepares logs: the casts of `data.readers`, and the encoder
of new rows.
"""

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_logs import host, prepared, same, sent, values

from keras_pss.features import (
    Categorical,
    Cross,
    Dense,
    Format,
    Label,
    MultiCategorical,
    Schema,
    Timestamp,
)
from keras_pss.serving.raw_rows import preprocessing
from keras_pss.serving.raw_rows.layers.bucket_ids import least

pytestmark = pytest.mark.tf_only

# Each example runs some hundred operations one by one.
every_amount = pytest.mark.parametrize(
    "examples", [8, pytest.param(60, marks=pytest.mark.slow)]
)
LABEL = Label("click")
CLEANED = Format(missing=("", "NA", "a b"), strip=True)
X = Categorical("x")


def schema(*features, **kwargs):
    return Schema(features, label=LABEL, **kwargs)


def timed(form, *features):
    parts = ("hour", "weekday", "weekend")
    return schema(*features, timestamp=Timestamp("x", form, features=parts))


def lists(**kwargs):
    return MultiCategorical("x", max_length=3, **kwargs)


# By name: the schema of a column `x`, and valid values to learn from.
TEXTS = ["a", "", "-1", "[UNK]", "007", " a", "a\0", "a\0b", "a\n", "é", "\n"]
INTEGERS = ["7", "0", "-7", "", "9223372036854775807", "1"]
HEXES = ["ff", "", "deadbeef", "0"]
ISO = ["2024-02-29 13:00:00", "1969-12-31", "2024-03-02T00:10", "2024-03-03"]
SCHEMAS = {
    "string": (schema(X), TEXTS),
    "cleaned": (schema(X, format=CLEANED), ["a", "", "b"]),
    "integer": (schema(Categorical("x", dtype="integer")), INTEGERS),
    "cleaned integer": (
        schema(Categorical("x", dtype="integer"), format=CLEANED),
        INTEGERS,
    ),
    "hex": (schema(Categorical("x", dtype="hex")), HEXES),
    "hash": (schema(Categorical("x", ids="hash", buckets=97)), TEXTS),
    "hashed integer": (
        schema(Categorical("x", dtype="integer", ids="hash")),
        INTEGERS,
    ),
    "cross": (
        schema(X, Categorical("y", "x"), Cross("z", ("x", "y"))),
        TEXTS,
    ),
    "number": (schema(X, Dense("n", "x")), ["1", "2.5", "", "-1e3"]),
    "integer number": (
        schema(X, Dense("n", "x", dtype="integer", missing=3)),
        ["1", "2", ""],
    ),
    "split": (schema(lists(separator="|")), ["a|b", "", "a", "|é|-1"]),
    "split, cleaned": (
        schema(lists(separator="||", keep="last"), format=CLEANED),
        ["a||b", "", "a b", "NA||a"],
    ),
    "split integers": (
        schema(lists(separator=" ", dtype="integer")),
        ["1 2", "", "+3"],
    ),
    "split hex": (schema(lists(separator="a", dtype="hex")), ["ffa0", ""]),
    "iso": (timed(None), ISO),
    "%Y-%m-%d %H:%M:%S": (timed("%Y-%m-%d %H:%M:%S"), ["2024-02-29 13:00:00"]),
    "%y%m%d%H": (timed("%y%m%d%H"), ["14102100", "70010123"]),
    "%d/%m/%y": (timed("%d/%m/%y"), ["29/02/24"]),
    "%Y.%j %H": (timed("%Y.%j %H"), ["2024.366 01"]),
    "%FT%T%.f": (timed("%FT%T%.f"), ["2024-02-29T13:00:00.5"]),
    "epoch text": (timed("epoch_ms", X), ["0", "-1", "86400000"]),
}
DIGITS = "0123456789abfFxX+-._eE ,٣９\t\n\0"
FORMS = {
    "integer": r"[ ]?[+-]?0{0,3}[0-9]{0,3}|[+-]?922337203685477580[0-9]",
    "hex": "[0-9a-fA-Fg]{0,9}",
    "number": r"[+-]?[0-9]{0,3}[.]?[0-9]{0,3}([eE][+-]?[0-9]{1,3})?|inf|nan",
    "cleaned": r"[ \t\u00a0\u2003]?(a b|NA|a|b)?[ \v\u0085\u3000]?",
    "split": r"(a|b|é|-1|[|]){0,9}",
    "split, cleaned": r"(a|b|NA| |[|]|[|][|]){0,9}",
    "split integers": r"([+-]?0?[0-9]{1,2} ){0,4}",
    "split hex": r"[0-9a-fA-F]{0,12}",
    "iso": r"[ \t]?([+-]?[0-9]{4}|[+-][0-9]{6})-[01 ]?[0-9]-[0-3]?[0-9]"
    r"([ T][0-2]?[0-9]:[0-6][0-9](:[0-6]?[0-9]([.][0-9]{1,12})?)?)?"
    r"( ?(Z|[+-](0[0-9]|1[0-4]):?[0-5][0-9]))?",
    "%Y-%m-%d %H:%M:%S": r"[+-]?[0-9]{4}-[ 01]?[0-9]-[0-3]?[0-9] "
    r"[0-2]?[0-9]:[0-6]?[0-9]:[0-6]?[0-9]",
    "%y%m%d%H": r"[0-9]{2}[01][0-9][0-3][0-9][0-2]?[0-9]",
    "%d/%m/%y": r"[0-3]?[0-9]/[01]?[0-9]/[0-9]?[0-9]",
    "%Y.%j %H": r"20[0-9]{2}[.][0-3]?[0-9]?[0-9] [0-2]?[0-9]",
    "%FT%T%.f": r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]"
    r":[0-6][0-9]([.][0-9]{1,9})?",
    "epoch text": r"-?[0-9]{1,13}",
}
FORMS["cleaned integer"] = FORMS["hashed integer"] = FORMS["integer"]
FORMS["integer number"] = FORMS["integer"]


def drawn(name):
    texts = st.text() | st.text(DIGITS, max_size=12)
    texts |= st.sampled_from(SCHEMAS[name][1])
    if name in FORMS:
        texts |= st.from_regex(FORMS[name], fullmatch=True)
    return st.lists(texts, min_size=1, max_size=20)


def trained(frame, out, schema):
    labels = pl.Series("click", [i % 2 for i in range(len(frame))])
    log = prepared(frame.with_columns(labels), out, schema)
    return log, preprocessing(log)


def compare(made, frame, schema):
    """Asserts that both sides accept the same rows, with the same ids."""
    log, raw = made
    found = values(frame, schema)
    wrong = sorted({reject.line - 1 for reject in found.rejects})
    good = [i for i in range(len(frame)) if i not in wrong]
    if good:
        features = raw(sent(frame[good], schema))
        features = {name: x.numpy() for name, x in features.items()}
        same(features, host(log, found.rows))
    for row in wrong[:2]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"`[xw]`"):
            raw(sent(frame[[row]], schema))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Makes the log and the model of a schema when they are first needed."""
    known = {}

    def made(name, schema, frame):
        if name not in known:
            folder = tmp_path_factory.mktemp("log") / "out"
            known[name] = trained(frame, folder, schema)
        return known[name]

    return made


@every_amount
@pytest.mark.parametrize("name", SCHEMAS)
def test_texts(models, name, examples):
    schema, learned = SCHEMAS[name]
    frame = pl.DataFrame({"x": learned * 3}, {"x": pl.String})
    made = models(name, schema, frame)

    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(drawn(name))
    def check(texts):
        frame = pl.DataFrame({"x": texts}, {"x": pl.String})
        compare(made, frame, schema)

    check()


NUMBERS = {
    "plain": Dense("x"),
    "clipped": Dense("x", minimum=-0.5, maximum=2.5, transform="log1p"),
    "standard": Dense("x", transform="standard", missing="mean"),
    "integer": Dense("x", dtype="integer", missing=5),
    "buckets": Dense("x", transform="buckets", num_buckets=4),
    "clipped buckets": Dense(
        "x", transform="buckets", num_buckets=4, maximum=2
    ),
}


@every_amount
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(models, name, examples):
    one = schema(NUMBERS[name])
    learned = [1.0, 2.0, 3.0, 16777216.0, None, -5.0, 0.0]
    frame = pl.DataFrame({"x": learned * 3})
    made = models(f"number {name}", one, frame)
    near = st.integers(-3, 3) | st.sampled_from(
        [2**24 + 1, 2**53 + 1, -(2**63)]
    )
    # TensorFlow takes the subnormal numbers of float64 for 0.
    tiny = st.floats(-1e-38, 1e-38, allow_subnormal=False)
    numbers = near.map(float) | st.floats(allow_subnormal=False) | tiny
    numbers |= st.none()

    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(st.lists(numbers, min_size=1, max_size=20))
    def check(numbers):
        compare(made, pl.DataFrame({"x": numbers}, {"x": pl.Float64}), one)

    check()


@every_amount
def test_epochs(models, examples):
    one = timed("epoch_s")
    frame = pl.DataFrame({"x": [0, -1, 86_400, 10**9] * 3})
    made = models("epoch", one, frame)
    times = st.integers(-(2**36), 2**36) | st.sampled_from(
        [2**62, -(2**63), 8_200_000_000_000, 8_200_000_000_001, -(2**43)]
    )

    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(st.lists(times, min_size=1, max_size=20))
    def check(times):
        compare(made, pl.DataFrame({"x": times}), one)

    check()


def elements(texts, weights):
    return st.lists(st.tuples(texts, weights), max_size=6)


@every_amount
@pytest.mark.parametrize("keep", ["first", "last"])
@pytest.mark.parametrize("dtype", ["string", "integer"])
def test_lists_with_weights(models, keep, dtype, examples):
    feature = lists(weights="w", keep=keep, dtype=dtype)
    one = schema(feature, format=Format(missing=("", "0")))
    learned = [["7", "-1", ""], [], None, ["7"]]
    weighed = [[1.0, 2.0, 3.0], [], None, [0.5]]
    types = {"x": pl.List(pl.String), "w": pl.List(pl.Float64)}
    frame = pl.DataFrame({"x": learned * 3, "w": weighed * 3}, types)
    made = models(f"lists {keep} {dtype}", one, frame)
    texts = st.sampled_from(["7", "-1", "", "0", "+7", "8", "07"])
    weights = st.floats(allow_subnormal=False, allow_nan=False)

    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(st.lists(elements(texts, weights), min_size=1, max_size=9))
    def check(rows):
        columns = {
            "x": [[text for text, _ in row] for row in rows],
            "w": [[weight for _, weight in row] for row in rows],
        }
        frame = pl.DataFrame(columns, types)
        compare(made, frame, one)

    check()


@pytest.mark.parametrize(
    ("x", "w"),
    [
        ("a|b", "1"),
        ("a", "1|2"),
        ("", "1"),
        ("a", ""),
        ("a", "x"),
        ("a", "inf"),
        ("a|b", "1|"),
        ("|b", "|1"),
        ("a|", "1|x"),
        (" |b", "1|2"),
        ("a|b", "1| "),
        ("a|NA", "1|NA"),
        ("NA", ""),
        ("NA|b", "NA|2"),
        ("a|b", "1|1e400"),
    ],
)
def test_split_weights(models, x, w):
    one = schema(lists(separator="|", weights="w"), format=CLEANED)
    frame = pl.DataFrame({"x": ["a|b", "c"] * 3, "w": ["1|2", "1"] * 3})
    made = models("split weights", one, frame)
    frame = pl.DataFrame({"x": [x], "w": [w]})
    log, raw = made
    found = values(frame, one)
    if found.rejects:
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"`[xw]`"):
            raw(sent(frame, one))
        return
    features = {k: v.numpy() for k, v in raw(sent(frame, one)).items()}
    same(features, host(log, found.rows))


def test_borders_round_as_float32():
    """The least number of a bucket, and the one before it."""
    values = [0.0, 1e-45, 1.0, 1 + 2**-23, -1.0, 2.0**24 + 2, 3.4e38, 1e-38]
    borders = np.array([*values, -np.finfo(np.float32).max], np.float32)
    found = least(borders)
    assert (found.astype(np.float32) >= borders)[:-1].all()
    before = np.nextafter(found, -np.inf)[:-1].astype(np.float32)
    assert (before < borders[:-1]).all()
    assert found[-1] == -np.inf
