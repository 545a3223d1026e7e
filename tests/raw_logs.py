"""Raw rows of a log with every kind of feature, and the host's encoding."""

import random

import numpy as np
import polars as pl
import tensorflow as tf
from log_frames import Frames

from keras_pss.data.encoders.row_encoder import RowEncoder
from keras_pss.data.readers.formats.types import typed_rows
from keras_pss.data.readers.values.caster import Caster
from keras_pss.data.storage.prepare_log import prepare_values
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
from keras_pss.ops.dense_transform import transform_dense
from keras_pss.serving.raw_rows import raw_inputs

# Texts that some tables confuse: NUL, newlines, numbers, marks, other planes.
TEXTS = ["a", "", "NA", "-1", "[UNK]", "007", " a", "a\0", "a\0b", "a\n", "é"]
TEXTS += ["e\u0301", "\U0001f600", "\uffff", "A", "\xa0a", "a" * 300, "\r\n"]
INTEGERS = ["7", "", "+7", "007", "-0", "0", "-7", " 7", "-007", "NA"]
INTEGERS += ["9223372036854775807", "-9223372036854775808", "0" * 50 + "1"]
HEXES = ["ff", "", "FF", "000000ff", "deadbeef", "0", "A", "NA", " b"]
SCHEMA = Schema(
    [
        Dense("price", transform="standard", minimum=-3, maximum=1000.5),
        Categorical("text", min_count=2),
        Dense("count", dtype="integer", transform="log1p", missing=7),
        Categorical("number", column="a number", dtype="integer", table="n"),
        MultiCategorical("numbers", max_length=4, dtype="integer", table="n"),
        Dense("age", transform="buckets", num_buckets=5),
        Categorical("code", dtype="hex", max_values=5),
        Categorical("hashed", ids="hash", buckets=37),
        Categorical("open", column="text", ids="hash"),
        Cross("pair", ("text", "number")),
        Cross("times", ("code", "hour"), ids="vocabulary"),
        Dense("height", missing="mean", maximum=200),
        Dense("vector", size=3, missing="mean", transform="standard"),
        Dense("plain", column="a number", transform="buckets", num_buckets=3),
        MultiCategorical("tags", separator="|", max_length=3, weights="w"),
        MultiCategorical("codes", separator=" ", max_length=2, dtype="hex"),
        MultiCategorical("seen", max_length=2, keep="last", weights="v"),
        MultiCategorical("few", max_length=3, ids="hash", buckets=11),
        Categorical("rare", min_count=10**6),
    ],
    label=Label("click"),
    timestamp=Timestamp("at", features=("hour", "weekday", "weekend")),
    format=Format(missing=("", "NA"), strip=True),
)
TYPES = {
    "price": pl.Float64,
    "count": pl.Float64,
    "age": pl.Float64,
    "height": pl.Float64,
    "vector": pl.List(pl.Float64),
    "v": pl.List(pl.Float64),
    "numbers": pl.List(pl.String),
    "seen": pl.List(pl.String),
    "few": pl.List(pl.String),
}


def made_rows(count, seed=0, schema=SCHEMA):
    """Raw rows that the schema's readers take."""
    draw = random.Random(seed)

    def one(values):
        return values[min(int(draw.expovariate(0.3)), len(values) - 1)]

    def some(values, most=5):
        return [one(values) for _ in range(draw.randrange(most))]

    def maybe(value, missing=0.1):
        return None if draw.random() < missing else value

    rows = []
    for _ in range(count):
        tags, seen = some(TEXTS), some(TEXTS)
        tags = [tag.replace("NA", "") for tag in tags]
        joined = "|".join(tags)
        alone = joined.strip() == ""  # then there is no list at all
        rows.append(
            {
                "click": draw.randrange(2),
                "price": maybe(draw.gauss(50, 3000)),
                "text": one(TEXTS),
                "count": maybe(float(draw.randrange(-3, 10**10))),
                "a number": one(INTEGERS),
                "numbers": some(INTEGERS),
                "age": maybe(float(draw.randrange(20))),
                "code": one(HEXES),
                "hashed": one(TEXTS),
                "height": maybe(draw.gauss(170, 20), 0.3),
                "vector": maybe([maybe(draw.gauss(k, 1)) for k in range(3)]),
                "tags": joined,
                "w": ""
                if alone
                else "|".join(str(draw.random()) for _ in tags),
                "codes": " ".join(some(["ff", "F", "", "0012"])),
                "seen": maybe(seen),
                "few": some(TEXTS),
                "rare": one(TEXTS),
                "at": f"20{draw.randrange(100):02}-0{draw.randrange(1, 10)}"
                f"-2{draw.randrange(9)}T{draw.randrange(24):02}:00:05",
            }
        )
        rows[-1]["v"] = [draw.random() for _ in rows[-1]["seen"] or []]
    return rows


def as_frame(rows):
    return pl.DataFrame(rows, schema_overrides=TYPES)


def values(frame, schema=SCHEMA, labelled=False):
    """What the readers of a log make of a frame."""
    return Caster(schema, labelled)(
        typed_rows(frame.select(Caster(schema, labelled).names))
    )


def prepared(frame, out, schema=SCHEMA):
    found = values(frame, schema, True)
    assert not found.rejects, found.rejects[:3]
    return prepare_values(Frames(found.rows), out, schema)


def host(encoding, rows):
    """Features of values as a model takes them."""
    features = RowEncoder(encoding)(rows)
    if "dense" in features:
        dense = transform_dense(
            tf.constant(features["dense"]), *encoding.transform()
        )
        features["dense"] = dense.numpy()
    return features


def padded(lists, padding, dtype):
    width = max([len(x) for x in lists if x is not None], default=0)
    rows = [[*(x or []), *[padding] * (width - len(x or []))] for x in lists]
    return np.array(rows, dtype).reshape(len(lists), width)


def sent(frame, schema=SCHEMA):
    """The columns of a frame as a client sends them, by the inputs' names."""
    made = {}
    for raw in raw_inputs(schema):
        column = frame[raw.column].to_list()
        if raw.kind == "texts":
            column = padded(column, "", object)
        elif raw.kind == "numbers":
            width = raw.shape[0] or 0
            column = [[np.nan] * width if x is None else x for x in column]
            column = padded(column, np.nan, float)
        elif raw.kind == "text":
            column = np.array(["" if x is None else x for x in column], object)
        made[raw.name] = tf.constant(np.array(column, _dtype(raw)), raw.dtype)
    return made


def _dtype(raw):
    return object if raw.dtype == "string" else raw.dtype


def same(found, wanted):
    """Asserts that two dictionaries of features are equal."""
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        if values.dtype == np.float32:
            # TensorFlow takes tiny numbers for 0.
            np.testing.assert_allclose(found[name], values, 1e-6, 1e-6)
        else:
            assert found[name].dtype == values.dtype, name
            np.testing.assert_array_equal(found[name], values, name)
