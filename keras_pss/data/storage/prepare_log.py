"""Prepares a log of any schema: ids and shards of records."""

from collections.abc import Sequence
from pathlib import Path

from keras_pss.data.engines.engine import (
    Engine,
    Progress,
    check_rows_per_shard,
    run,
)
from keras_pss.data.engines.one_machine import OneMachine, Reader
from keras_pss.data.inference.describe import check_criteo
from keras_pss.data.readers.source import Sources
from keras_pss.data.storage.prepared_folder import PreparedFolder
from keras_pss.features import Schema


def prepare(
    sources: Sources,
    out: str | Path,
    schema: Schema | str | Path,
    *,
    rows_per_shard: int = 262_144,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    parquet: bool = False,
    engine: str = "local",
    beam_options: Sequence[str] = (),
) -> PreparedFolder:
    """Reads a log, encodes its features and writes record shards.

    The folder `out` holds `metadata.json`, shards named like
    `train-00000-of-00004.bin` for each split, `vocabulary.parquet` (if a
    table has a vocabulary) and `rejects.tsv` (only if rows are broken). The
    latter lists file, line, reason, column and the first 4,096 bytes of the
    first 10,000 broken rows; the metadata counts all of them. The folder gets
    its name when it is complete.

    If an archive is truncated or corrupt, the rows before the damage are
    prepared, a warning is logged, and `incomplete` of the result lists the
    archive.

    Memory: a few hundred MB, about 100 bytes per distinct text, and up to 30
    bytes per row for splits other than by order. Disk: twice the records
    during the preparation.

    Args:
        sources: A path or a list of paths in order, or the name of a dataset
            of TensorFlow Datasets such as `"tfds:criteo_kaggle"`, whose
            splits are read in order.
        out: Path of a new folder.
        schema: A `Schema`, the path of its file, or the name of a preset.
        rows_per_shard: Number of rows of all shards of a split except the
            last. Default: 262,144.
        strict: Whether to raise at the first broken row instead of skipping
            it. Default: False.
        overwrite: Whether to replace an existing prepared folder, once the
            new one is complete. Default: False.
        progress: Function that is called as
            `progress(bytes_done, bytes_total, stage)` with the stages
            `"read"`, `"count"` and `"write"`. Default: None.
        parquet: Whether to write each split as a Parquet file as well, with
            the names of the features and lists without padding. Default:
            False.
        engine: `"local"` prepares on this machine, `"beam"` as pipelines of
            Apache Beam, with the same files as the result; docs/beam.md says
            how. Default: `"local"`.
        beam_options: Options of Beam and of its runner with
            `engine="beam"`, such as `["--runner=FlinkRunner"]`. Default:
            none, which is Beam's DirectRunner on this machine.

    Returns:
        The opened folder.

    Raises:
        ValueError: An argument is out of range, there are no valid rows, no
            rows are left for training, a source changes while it is read, or
            Apache Beam is not installed with `engine="beam"`.
        FileExistsError: `out` exists or is created in the meantime.
        BrokenRowError: A row is broken and `strict` is True.

    Example:

    ```python
    from keras_pss.data import prepare
    from keras_pss.features import Categorical, Dense, Label, Schema

    schema = Schema(
        [Categorical("city"), Dense("price", transform="log1p")],
        label=Label("clicked"),
    )
    data = prepare("log.csv", "prepared", schema)
    data.tables  # {"city": 1023}
    ```
    """
    if not isinstance(schema, Schema):
        schema = Schema.load(schema)
    check_rows_per_shard(rows_per_shard)
    made = _engine(engine, sources, schema, strict, beam_options)
    return run(
        made,
        Path(out),
        schema,
        rows_per_shard=rows_per_shard,
        strict=strict,
        overwrite=overwrite,
        progress=progress,
        parquet=parquet,
    )


def prepare_values(
    reader: Reader,
    out: Path,
    schema: Schema,
    *,
    rows_per_shard: int = 262_144,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    parquet: bool = False,
) -> PreparedFolder:
    """Prepares the blocks of values of a reader, as `prepare` does."""
    return run(
        OneMachine(reader, schema),
        out,
        schema,
        rows_per_shard=rows_per_shard,
        strict=strict,
        overwrite=overwrite,
        progress=progress,
        parquet=parquet,
    )


def _engine(
    name: str,
    sources: Sources,
    schema: Schema,
    strict: bool,
    beam_options: Sequence[str],
) -> Engine:
    if name == "beam":
        from keras_pss.data.engines.beam.make_engine import make_engine

        return make_engine(sources, schema, strict, beam_options)
    if name != "local":
        raise ValueError(
            f"`engine` must be 'local' or 'beam'. Received: engine={name!r}"
        )
    if beam_options:
        raise ValueError(
            "`beam_options` need engine='beam'. Received: "
            f"beam_options={list(beam_options)}, engine={name!r}"
        )
    from keras_pss.data.readers.log_reader import LogReader

    reader = LogReader(sources, schema, strict=strict)
    check_criteo((source.path for source in reader.sources), schema)
    return OneMachine(reader, schema)
