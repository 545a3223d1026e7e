"""Criteo's log of 24 days, the Terabyte Click Logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
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

_DAYS = 24
_TINY_ROWS = 100  # of a day

_CITATION = """\
@misc{criteo-terabyte-click-logs,
  author = {{Criteo Labs}},
  title = {Terabyte Click Logs},
  year = {2013},
  howpublished = {\\url{https://labs.criteo.com/2013/12/download-terabyte-click-logs/}}
}"""


class Builder(tfds.core.GeneratorBasedBuilder):
    """The dataset `criteo_terabyte`: 4.4 billion rows of 24 days.

    Days 0 to 22 train. The first half of day 23 tests and the second half
    validates, as in facebookresearch/dlrm and MLPerf.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012
    BUILDER_CONFIGS = CONFIGS
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Download day_0.gz to day_23.gz of the Terabyte Click Logs from
    https://ailab.criteo.com/ressources/ or
    https://huggingface.co/datasets/criteo/CriteoClickLogs, and put all 24
    files (plain, .gz, .xz or .zst) alone into the folder criteo_terabyte
    within manual_dir.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Clicks on Criteo's display ads in 24 days, of which "
            "the last one tests and validates. Views without a click are "
            f"sampled. {criteo_rows.LOADING}",
            features=criteo_rows.features(),
            homepage="https://ailab.criteo.com/ressources/",
            citation=_CITATION,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        log = open_log(self, dl_manager, _write)
        with log() as paths:
            _check_days(paths)
        last = slice(_DAYS - 1, _DAYS)
        rows = count_rows(log, criteo_rows.COUNTED, last)
        days = slice(0, _DAYS - 1)
        return {
            "train": self._generate_examples(log, days, None),
            **{
                name: self._generate_examples(
                    log, last, criteo_rows.between(*part)
                )
                for name, part in criteo_rows.halves(rows).items()
            },
        }

    def _generate_examples(
        self, log: OpenLog, files: slice, chosen: pl.Expr | None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        return examples(
            log, criteo_rows.SCHEMA, criteo_rows.VALUES, chosen, files
        )


def _check_days(paths: list[Path]) -> None:
    """Raises if the files are not those of all days."""
    found = [path.name.partition(".")[0] for path in paths]
    wanted = [f"day_{day}" for day in range(_DAYS)]
    if found != wanted:
        raise ValueError(
            "The folder must hold day_0 to day_23, each once, and no other "
            f"file. Missing: {sorted(set(wanted) - set(found))}. "
            f"Received: {found}"
        )


def _write(folder: Path) -> list[Path]:
    log = folder / "log.tsv"
    synthetic.generate(log, rows=_TINY_ROWS * _DAYS, scale=0.001, seed=1)
    rows = log.read_bytes().splitlines(keepends=True)
    days = []
    for day in range(_DAYS):
        first = day * _TINY_ROWS
        days.append(folder / f"day_{day}")
        days[-1].write_bytes(b"".join(rows[first : first + _TINY_ROWS]))
    return days
