"""A schema with every kind of feature, and rows of such a log."""

import random

import polars as pl

from keras_pss.features import (
    Categorical,
    Cross,
    Dense,
    Group,
    Label,
    MultiCategorical,
    Schema,
)

# Texts that some tables confuse: NUL, newlines, numbers, marks, other planes.
TEXTS = ["", "-1", "[UNK]", "007", " a", "a\0", "a\0b", "a\n", "é", "e\u0301"]
TEXTS += ["\U0001f600", "\uffff", "a", "A", "aa", "a" * 300]
SCHEMA = Schema(
    [
        Dense("price", transform="standard", minimum=-3, maximum=1000.5),
        Categorical("item", min_count=2, table="items"),
        Dense("views", dtype="integer", transform="log1p", missing=7),
        MultiCategorical(
            "seen", max_length=4, table="items", min_count=2, weights="w"
        ),
        Dense("age", transform="buckets", num_buckets=5),
        Categorical("city", max_values=5),
        Categorical("ad", ids="hash", buckets=37),
        Cross("pair", ("city", "ad")),
        Dense("large", dtype="integer"),
        Dense("height", missing="mean"),
        Dense("vector", size=3, missing="mean", transform="standard"),
        MultiCategorical("tags", max_length=2, ids="hash", buckets=11),
        MultiCategorical("genres", max_length=3),
    ],
    label=Label("click"),
    group=Group("user"),
)


def made_rows(count, seed=0):
    draw = random.Random(seed)

    def text():
        return TEXTS[min(int(draw.expovariate(0.4)), len(TEXTS) - 1)]

    def maybe(value, missing=0.1):
        return None if draw.random() < missing else value

    rows = []
    for number in range(count):
        seen = [text() for _ in range(draw.randrange(5))]
        city, ad = text(), text()
        rows.append(
            {
                "label": draw.randrange(2),
                "price": maybe(draw.gauss(50, 300)),
                "item": text(),
                "views": maybe(draw.randrange(-3, 100)),
                "seen": seen,
                "seen:weights": [draw.random() for _ in seen],
                "age": maybe(float(draw.randrange(20))),
                "city": city,
                "ad": ad,
                "pair": f"{city}\x1f{ad}",
                "large": maybe(number * 2**23),
                "height": maybe(draw.gauss(170, 10), 0.3),
                "vector": maybe([draw.gauss(k, 1) for k in range(3)]),
                "tags": [text() for _ in range(draw.randrange(3))],
                "genres": [text() for _ in range(draw.randrange(4))],
                "group": f"user {draw.randrange(30)}",
            }
        )
    return rows


TYPES = {
    "label": pl.Int8,
    "price": pl.Float64,
    "views": pl.Int64,
    "seen": pl.List(pl.String),
    "seen:weights": pl.List(pl.Float64),
    "age": pl.Float64,
    "large": pl.Int64,
    "height": pl.Float64,
    "vector": pl.Array(pl.Float64, 3),
    "tags": pl.List(pl.String),
    "genres": pl.List(pl.String),
}


def as_frame(rows):
    return pl.DataFrame(rows, schema_overrides=TYPES)
