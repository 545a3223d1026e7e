"""Criteo's log of seven days, from Kaggle's competition of 2014."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from keras_pss.data import synthetic
from keras_pss.data.tfds import criteo_rows
from keras_pss.data.tfds.log_examples import (
    CONFIGS,
    OpenLog,
    count_rows,
    examples,
    open_log,
)

_DAYS = 7
_TINY_ROWS = 300 * _DAYS

_CITATION = """\
@misc{criteo-display-ad-challenge,
  author = {Jean-Baptiste Tien and joycenv and Olivier Chapelle},
  title = {Display Advertising Challenge},
  year = {2014},
  howpublished = {\\url{https://kaggle.com/competitions/criteo-display-ad-challenge}},
  note = {Kaggle}
}"""


class Builder(tfds.core.GeneratorBasedBuilder):
    """The dataset `criteo_kaggle`: 45,840,617 rows of `train.txt`.

    The last of seven equal days tests and validates, by halves; the others
    train, as in facebookresearch/dlrm.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012
    BUILDER_CONFIGS = CONFIGS
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Download the log of the Display Advertising Challenge from
    https://www.kaggle.com/c/criteo-display-ad-challenge or
    https://ailab.criteo.com/ressources/, unpack it, and put train.txt (plain,
    .gz, .xz or .zst) alone into the folder criteo_kaggle within manual_dir.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Clicks on Criteo's display ads in seven days, of "
            "which the last one tests and validates. Clicks and views are "
            f"sampled at different rates. {criteo_rows.LOADING}",
            features=criteo_rows.features(),
            homepage="https://www.kaggle.com/c/criteo-display-ad-challenge",
            citation=_CITATION,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        log = open_log(self, dl_manager, _write)
        rows = count_rows(log, criteo_rows.COUNTED, slice(None))
        # Days differ by a row at most; the first ones are longer.
        last = rows // _DAYS
        first = rows - last
        parts = {"train": (0, first)}
        for name, (start, stop) in criteo_rows.halves(last).items():
            parts[name] = (first + start, first + stop)
        return {
            name: self._generate_examples(log, *part)
            for name, part in parts.items()
        }

    def _generate_examples(
        self, log: OpenLog, start: int, stop: int
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        return examples(
            log,
            criteo_rows.SCHEMA,
            criteo_rows.VALUES,
            criteo_rows.between(start, stop),
        )


def _write(folder: Path) -> list[Path]:
    path = folder / "train.txt"
    synthetic.generate(path, rows=_TINY_ROWS, scale=0.001)
    return [path]
