"""Scores rows that need no label, and writes a probability for each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_pss.data.encoders.row_encoder import RowEncoder
from keras_pss.data.readers.block import Reject
from keras_pss.data.readers.source import Sources
from keras_pss.data.storage.log_encoding import LogEncoding
from keras_pss.files import complete_file
from keras_pss.ops.dense_transform import transform_dense
from keras_pss.training.backends.forward import forward
from keras_pss.training.finished.finished_run import (
    load_encoder,
    load_model,
)

PROBABILITY = "probability"
FORMATS = (".parquet", ".csv")
_BATCH = 1 << 13  # rows scored at a time

OnRejects = Callable[[list[Reject]], None]
Progress = Callable[[int, int, str], None]


def predict(
    run: Path | str,
    sources: Sources,
    out: Path | str,
    *,
    overwrite: bool = False,
    on_rejects: OnRejects | None = None,
    progress: Progress | None = None,
) -> int:
    """Writes the click probability of each row of some files.

    The columns of `out` are the schema's `keys`, as texts, and `probability`,
    in the order of the rows. A broken row has no probability. Without keys,
    nothing would tell which row is missing, so the first broken row is then
    an error.

    Memory: a few blocks of rows.

    Args:
        run: Folder of a finished run on a prepared log.
        sources: A path or a list of paths in order. Labels may be missing.
        out: File to write, `.parquet` or `.csv`. It appears when it is
            complete.
        overwrite: Whether to replace an existing file. Default: False.
        on_rejects: Function that is called with the list of broken rows of
            each block that has any. Default: None.
        progress: Function that is called as
            `progress(bytes_done, bytes_total, "score")`. Default: None.

    Returns:
        The number of rows that were scored.

    Raises:
        ValueError: If `out` ends differently or exists, or the run has no
            encoder.
        BrokenRowError: If a row is broken and the schema has no keys.
    """
    import polars as pl
    from polars.io.plugins import register_io_source

    run, out = Path(run), Path(out)
    if out.suffix not in FORMATS:
        raise ValueError(
            f"`out` must end in {' or '.join(FORMATS)}. "
            f"Received: out={str(out)!r}"
        )
    encoding = load_encoder(run)
    score = _scorer(load_model(run), encoding)
    columns = {name: pl.String for name in encoding.schema.keys}
    count = 0
    failed: list[Exception] = []

    def scored(*_: Any) -> Iterator[pl.DataFrame]:
        nonlocal count
        try:
            for rows in _blocks(sources, encoding, on_rejects, progress):
                keys = {name: rows[f"key:{name}"] for name in columns}
                count += len(rows)
                yield pl.DataFrame({**keys, PROBABILITY: score(rows)})
        except Exception as error:
            failed.append(error)
            raise

    lazy = register_io_source(
        scored, schema={**columns, PROBABILITY: pl.Float32}
    )
    with complete_file(out, overwrite) as part:
        try:
            if out.suffix == ".csv":
                lazy.sink_csv(part)
            else:
                lazy.sink_parquet(part)
        except pl.exceptions.PolarsError:
            if failed:  # Polars wraps what a source raises
                raise failed[0] from None
            raise
    return count


def _blocks(
    sources: Sources,
    encoding: LogEncoding,
    on_rejects: OnRejects | None,
    progress: Progress | None,
) -> Iterator[Any]:
    """Valid rows, as Polars frames."""
    from keras_pss.data.readers.log_reader import LogReader

    schema = encoding.schema
    reader = LogReader(sources, schema, strict=not schema.keys, labelled=False)
    for block in reader:
        if block.rejects and on_rejects is not None:
            on_rejects(block.rejects)
        if progress is not None:
            progress(reader.bytes_done, reader.bytes_total, "score")
        if len(block):
            yield block.rows


def _scorer(model: Any, encoding: LogEncoding) -> Callable[[Any], Any]:
    """The function from a frame of values to probabilities (n,)."""
    encode = RowEncoder(encoding)

    @tf.function(reduce_retracing=True)
    def transformed(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        if "dense" not in features:
            return features
        dense = transform_dense(features["dense"], *encoding.transform())
        return {**features, "dense": dense}

    call: Any = None

    def score(rows: Any) -> Any:
        nonlocal call
        encoded = {k: tf.constant(v) for k, v in encode(rows).items()}
        features = transformed(encoded)
        call = call or forward(model, _any_rows(features), _BATCH)
        parts = [
            call({k: v[i : i + _BATCH] for k, v in features.items()})[:, 0]
            for i in range(0, len(rows), _BATCH)
        ]
        return np.concatenate(parts).astype(np.float32)

    return score


def _any_rows(features: dict[str, tf.Tensor]) -> dict[str, tf.TensorSpec]:
    """The specs of these features for batches of any number of rows."""
    return {
        name: tf.TensorSpec([None, *value.shape[1:]], value.dtype)
        for name, value in features.items()
    }
