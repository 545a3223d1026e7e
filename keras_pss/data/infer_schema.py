"""The draft of a schema from the first rows of a file.

Every decision is a guess from names and values. The report says why, and the
draft is a TOML file to correct.
"""

from __future__ import annotations

from pathlib import Path

from keras_pss.data.inference.dataset_sample import read_dataset_sample
from keras_pss.data.inference.draft import Draft
from keras_pss.data.inference.report import ColumnReport, Report
from keras_pss.data.inference.sample import read_sample
from keras_pss.data.readers.tfds.names import is_tfds
from keras_pss.features import Schema

__all__ = ["ColumnReport", "Report", "infer"]


def infer(
    file: str | Path, label: str | None = None, rows: int = 100_000
) -> tuple[Schema, Report]:
    """Drafts a schema from the first rows of a file.

    Args:
        file: Text with separators (plain, `.gz`, `.xz`, `.zst`), JSON lines,
            Parquet or Arrow; or the name of a dataset of TensorFlow Datasets,
            such as `"tfds:movielens/1m-ratings"`.
        label: Column of the label. By default, the first column with a usual
            name such as `click`; a schema without one if there is none.
        rows: Number of rows that are read.

    Returns:
        The schema and a report that says for each column what became of it
        and why.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file's format is not known, if `label` names no
            column or one that cannot be a label, or if no column is a
            feature.

    Example:

    ```python
    from keras_pss.data.infer_schema import infer

    schema, report = infer("clicks.csv", label="clicked")
    print(report)
    schema.save("clicks.toml")
    ```
    """
    path = Path(file)
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
        raise ValueError(
            f"`rows` must be an integer of at least 1. Received: rows={rows!r}"
        )
    if is_tfds(path):
        sample = read_dataset_sample(path, rows)
    else:
        sample = read_sample(path, label, rows)
    return Draft(sample, label).finish(path)
