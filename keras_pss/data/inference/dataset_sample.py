"""The first rows of a dataset of TFDS, as columns of Polars."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from keras_pss.data.inference.sample import LogSample
from keras_pss.data.readers.formats.types import typed_rows
from keras_pss.data.readers.tfds.columns import column_types, frames
from keras_pss.data.readers.tfds.names import SPLIT_COLUMN, split_of
from keras_pss.data.readers.tfds.own_datasets import PRESETS
from keras_pss.data.readers.tfds.split_source import split_sources
from keras_pss.features import Format

_BLOCK_ROWS = 10_000


def read_dataset_sample(path: Path, rows: int) -> LogSample:
    """Reads the first rows of a dataset.

    Raises:
        ValueError: If the dataset does not exist, cannot be prepared, or has
            no flat feature.
    """
    splits = split_sources(str(path))
    types = column_types(splits[0])
    features = splits[0].builder.info.features
    flat = [name for name in features if types[name] is not None]
    if not flat:
        raise ValueError(
            "The dataset must have a feature that is a number, a text, a class "
            "label or a 1-D sequence of these. Give another dataset. "
            f"Received: {str(path)!r}, with {features!r}"
        )
    found: list[pl.DataFrame] = []
    wanted, read = rows, 0
    for split in splits:
        for frame in frames(split, flat, min(wanted, _BLOCK_ROWS)):
            read += frame.height
            found.append(typed_rows(frame).rows)
            if read >= wanted:
                break
        if read >= wanted:
            break
    # TFDS knows no null and no other texts for what is missing.
    sample = LogSample(
        pl.concat(found).head(wanted),
        Format(),
        text=False,
        split=split_of([split.split for split in splits]),
    )
    if preset := PRESETS.get(splits[0].builder.name):
        sample.notes.append(
            f"Without a schema, the preset {preset!r} and the dataset's splits "
            "are used: this draft is not needed."
        )
    others = [name for name in features if types[name] is None]
    if others:
        sample.notes.append(
            f"{', '.join(others)} is left out: a feature must be a number, a "
            "text, a class label or a 1-D sequence of these."
        )
    if sample.split is not None:
        sample.notes.append(
            f"The column {SPLIT_COLUMN} names the dataset's own split of a row."
        )
    if sum(frame.height for frame in found) < read:
        sample.notes.append("Some bytes are not UTF-8.")
    return sample
