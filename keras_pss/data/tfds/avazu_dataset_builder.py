"""Avazu's log of ten days, from Kaggle's competition of 2014."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tensorflow_datasets as tfds

from keras_pss.data.readers.log_reader import LogReader
from keras_pss.data.tfds.log_examples import (
    CONFIGS,
    OpenLog,
    examples,
    open_log,
)
from keras_pss.features import Categorical, Label, Schema

_CITATION = """\
@misc{avazu-ctr-prediction,
  author = {Steve Wang and Will Cukierski},
  title = {Click-Through Rate Prediction},
  year = {2014},
  howpublished = {\\url{https://kaggle.com/competitions/avazu-ctr-prediction}},
  note = {Kaggle}
}"""

_HIDDEN = "Categorical feature {}; its meaning is not published."
_TEXTS = {
    "id": "Number of the impression.",
    "site_id": "Site that showed the ad, hashed.",
    "site_domain": "Domain of the site, hashed.",
    "site_category": "Category of the site, hashed.",
    "app_id": "App that showed the ad, hashed.",
    "app_domain": "Domain of the app, hashed.",
    "app_category": "Category of the app, hashed.",
    "device_id": "Device, hashed; most rows share one value.",
    "device_ip": "IP address of the device, hashed.",
    "device_model": "Model of the device, hashed.",
}
_NUMBERS = {
    "hour": "Hour in UTC as YYMMDDHH: 14102100 is 2014-10-21, 00:00.",
    "banner_pos": "Position of the banner, a category.",
    "device_type": "Type of the device, a category.",
    "device_conn_type": "Type of the device's connection, a category.",
    **{f"C{i}": _HIDDEN.format(f"C{i}") for i in (1, *range(14, 22))},
}
_COLUMNS = (
    *("id", "click", "hour", "C1", "banner_pos", "site_id", "site_domain"),
    *("site_category", "app_id", "app_domain", "app_category", "device_id"),
    *("device_ip", "device_model", "device_type", "device_conn_type"),
    *(f"C{i}" for i in range(14, 22)),
)
_FORMAT = Schema.load("avazu").format
_SCHEMA = Schema(
    [Categorical(name) for name in _COLUMNS if name != "click"],
    label=Label("click"),
    format=_FORMAT,
)
_HOURS = Schema([Categorical("hour")], label=Label("click"), format=_FORMAT)
_DAY = pl.col("hour").str.head(6)


class Builder(tfds.core.GeneratorBasedBuilder):
    """The dataset `avazu`: 40,428,967 rows of `train.csv`.

    The last of ten days tests, the one before validates, the others train.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012
    BUILDER_CONFIGS = CONFIGS
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Download train.gz of the Click-Through Rate Prediction from
    https://www.kaggle.com/c/avazu-ctr-prediction/data, and put it (or
    train.csv, plain, .gz, .xz or .zst) alone into the folder avazu within
    manual_dir.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        columns: dict[str, Any] = {
            "click": tfds.features.ClassLabel(
                num_classes=2, doc="1 if the ad was clicked, else 0."
            ),
            **{k: tfds.features.Text(doc=v) for k, v in _TEXTS.items()},
            **{
                k: tfds.features.Scalar(np.int32, doc=v)
                for k, v in _NUMBERS.items()
            },
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Clicks on Avazu's mobile ads in ten days, of which "
            "the last one tests and the one before validates. Clicks and "
            "views are sampled by different rules. Rows are in the order of "
            "the log.",
            features=tfds.features.FeaturesDict(
                {name: columns[name] for name in _COLUMNS}
            ),
            homepage="https://www.kaggle.com/c/avazu-ctr-prediction",
            citation=_CITATION,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        log = open_log(self, dl_manager, _write)
        days = _days(log)
        parts = {
            "train": days[:-2],
            "validation": days[-2:-1],
            "test": days[-1:],
        }
        return {
            name: self._generate_examples(log, part)
            for name, part in parts.items()
        }

    def _generate_examples(
        self, log: OpenLog, days: list[str]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        values = [
            pl.col("label").alias("click"),
            pl.col(list(_TEXTS)),
            pl.col(list(_NUMBERS)).cast(pl.Int32),
        ]
        return examples(log, _SCHEMA, values, _DAY.is_in(days))


def _days(log: OpenLog) -> list[str]:
    """The days of a log, in order, such as "141021"."""
    found: set[str] = set()
    with log() as paths:
        for block in LogReader(paths, _HOURS, strict=True):
            found.update(block.rows.select(_DAY.unique())["hour"])
    if len(found) < 3:
        raise ValueError(
            "The log must have at least three days, the last two of which "
            f"validate and test. Received: {sorted(found)}"
        )
    return sorted(found)


def _write(folder: Path) -> list[Path]:
    """Ten rows for each hour of the ten days."""
    draw = np.random.default_rng(2014)
    hours = [
        f"1410{day}{hour:02d}"
        for day in range(21, 31)
        for hour in range(24)
        for _ in range(10)
    ]
    rows = len(hours)
    columns: dict[str, Any] = {
        "id": draw.integers(10**18, 2**63 - 1, rows).astype(str),
        "hour": hours,
    }
    effect = np.zeros(rows)
    for name in _COLUMNS:
        if name in ("id", "hour", "click"):
            continue
        sizes = 4 if name in _NUMBERS else 60
        values = np.minimum(draw.zipf(1.4, rows), sizes) - 1
        effect += draw.normal(0, 0.3, sizes)[values]
        if name in _TEXTS:
            texts = draw.integers(0, 2**32, sizes)
            columns[name] = [f"{text:08x}" for text in texts[values]]
        else:
            columns[name] = values
    chance = 1 / (1 + np.exp(1.6 - effect))
    columns["click"] = (draw.random(rows) < chance).astype(np.int8)
    path = folder / "train.csv"
    pl.DataFrame(columns).select(_COLUMNS).write_csv(path)
    return [path]
