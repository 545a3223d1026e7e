"""Prepares Criteo's log."""

from pathlib import Path
from typing import Any

from keras_pss.data.criteo import preset
from keras_pss.data.readers.source import Sources
from keras_pss.data.storage import prepare_log
from keras_pss.data.storage.prepared_folder import PreparedFolder


def prepare(
    sources: Sources,
    out: str | Path,
    *,
    ids: str = "vocabulary",
    min_count: int = 1,
    hash_buckets: int | None = None,
    split: str = "chronological",
    test_fraction: float = 1 / 7,
    validation_fraction: float = 0.1,
    split_seed: int = 2020,
    **options: Any,
) -> PreparedFolder:
    """Prepares Criteo's rows, as `keras_pss.data.prepare` does any log.

    A record is that of facebookresearch/dlrm: 40 little-endian int32, which
    are the label, 13 integers without logarithm (at least 0), and 26 ids.

    Args:
        sources: A path or a list of paths in order: plain, `.gz`, `.xz` or
            `.zst`.
        out: Path of a new folder.
        ids, min_count, hash_buckets: As in `schema`.
        split, test_fraction, validation_fraction, split_seed: As in
            `schema`.
        **options: `rows_per_shard`, `strict`, `overwrite`, `progress`,
            `parquet`, `engine` and `beam_options` of
            `keras_pss.data.prepare`.

    Returns:
        The opened folder.

    Raises:
        ValueError, FileExistsError, BrokenRowError: As `schema` and
            `keras_pss.data.prepare` do.

    Example:

    ```python
    data = criteo.prepare("train.txt", "criteo", min_count=10)
    data.cardinalities[:3]  # [1446, 554, 175781]
    ```
    """
    schema = preset.schema(
        ids,
        min_count=min_count,
        hash_buckets=hash_buckets,
        split=split,
        test_fraction=test_fraction,
        validation_fraction=validation_fraction,
        split_seed=split_seed,
    )
    return prepare_log.prepare(sources, out, schema, **options)
