"""Rows of Criteo's logs as examples of TFDS."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import tensorflow_datasets as tfds

from keras_pss.data.readers.tfds.own_datasets import NO_INTEGER
from keras_pss.features import Categorical, Label, Schema

SCHEMA = Schema.load("criteo")
INTEGERS = [feature.name for feature in SCHEMA.dense]
CATEGORIES = [feature.name for feature in SCHEMA.single]

# To count rows, their shortest column is enough.
COUNTED = Schema(
    [Categorical(INTEGERS[0])], label=Label("label"), format=SCHEMA.format
)

VALUES = [
    pl.col("label"),
    pl.col(INTEGERS).fill_null(NO_INTEGER).cast(pl.Int32),
    pl.col(CATEGORIES),
]

LOADING = (
    "Rows are in the order of the log. Integers that are missing are "
    f"{NO_INTEGER}, categories that are missing are 00000000."
)


def features() -> Any:
    """The label, 13 integers and 26 categories."""
    found: dict[str, Any] = {
        "label": tfds.features.ClassLabel(
            num_classes=2, doc="1 if the ad was clicked, else 0."
        )
    }
    for number, name in enumerate(INTEGERS, 1):
        found[name] = tfds.features.Scalar(
            np.int32,
            doc=f"Integer feature {number} of 13, mostly a count; its meaning "
            f"is not published. {NO_INTEGER} where it is missing.",
        )
    for number, name in enumerate(CATEGORIES, 1):
        found[name] = tfds.features.Text(
            doc=f"Categorical feature {number} of 26, hashed to 32 bits, as "
            "eight hexadecimal digits; its meaning is not published. "
            "00000000 where it is missing."
        )
    return tfds.features.FeaturesDict(found)


def between(start: int, stop: int) -> pl.Expr:
    """Rows by their numbers, without `stop`."""
    from keras_pss.data.tfds.log_examples import ROW

    return pl.col(ROW).is_between(start, stop, closed="left")


def halves(rows: int) -> dict[str, tuple[int, int]]:
    """First and last row of the halves of the last day, which test and
    validate, as in facebookresearch/dlrm."""
    middle = -(-rows // 2)
    return {"validation": (middle, rows), "test": (0, middle)}
