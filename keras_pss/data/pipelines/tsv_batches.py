"""Batches of NumPy arrays straight from TSV, without preparation."""

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keras_pss.data.criteo.tsv_reader import TsvReader
from keras_pss.data.encoders.id_encoder import IdEncoder
from keras_pss.data.readers.block import Block, Int32Array, Reject
from keras_pss.data.readers.source import Sources
from keras_pss.data.readers.threads import ordered_map


class Batch(NamedTuple):
    """Rows as models take them.

    `dense` float32 (n, 13) = log(1 + integer), `categorical` int32 (n, 26),
    `labels` float32 (n,).
    """

    dense: npt.NDArray[np.float32]
    categorical: Int32Array
    labels: npt.NDArray[np.float32]


OnRejects = Callable[[list[Reject]], None]

_logger = logging.getLogger(__name__)


def log_rejects(rejects: list[Reject]) -> None:
    """Logs a warning of how many rows are left out, and of the first."""
    _logger.warning("%d broken rows left out: %s", len(rejects), rejects[0])


def tsv_batches(
    sources: Sources,
    encoder: IdEncoder,
    *,
    batch_size: int,
    strict: bool = False,
    labelled: bool = True,
    on_rejects: OnRejects = log_rejects,
) -> Iterator[Batch]:
    """Reads TSV files in batches, in order; memory is a few blocks.

    Args:
        sources: As in `criteo.prepare`.
        encoder: Makes the ids; `criteo.load(...).encoder()`.
        batch_size: Rows of all batches but the last.
        strict: Raise at the first broken row.
        labelled: False for rows without the label, which then reads as 0.
        on_rejects: Called with the broken rows of each block that has some;
            logs a warning by default.

    Raises:
        ValueError: `batch_size` below 1, and what `TsvReader` raises.
        BrokenRowError: While iterating under `strict`.
    """
    check_batch_size(batch_size)
    reader = TsvReader(sources, strict=strict, labelled=labelled)
    return _rebatch(_encoded(reader, encoder, on_rejects), batch_size)


def check_batch_size(batch_size: int) -> None:
    """Raises ValueError where `batch_size` is below 1."""
    if batch_size < 1:
        raise ValueError(
            "`batch_size` must be at least 1. "
            f"Received: batch_size={batch_size}."
        )


def _encoded(
    reader: TsvReader, encoder: IdEncoder, on_rejects: OnRejects
) -> Iterator[Batch]:
    """One batch a block of the reader, of any size, encoded in threads."""

    def blocks() -> Iterator[Block]:
        for block in reader:
            if block.rejects:
                on_rejects(block.rejects)
            yield block

    def encode(block: Block) -> Batch:
        return Batch(
            np.log1p(block.integers.astype(np.float32)),
            encoder(block.categories),
            block.labels.astype(np.float32),
        )

    return ordered_map(encode, blocks(), reader.workers)


def _rebatch(parts: Iterator[Batch], batch_size: int) -> Iterator[Batch]:
    """Joins and cuts batches to `batch_size` rows."""
    waiting: list[Batch] = []
    held = 0
    for part in parts:
        waiting.append(part)
        held += len(part.labels)
        if held < batch_size:
            continue
        joined = _join(waiting)
        whole = held - held % batch_size
        for start in range(0, whole, batch_size):
            yield Batch._make(a[start : start + batch_size] for a in joined)
        waiting = [Batch._make(a[whole:] for a in joined)]
        held -= whole
    if held:
        yield _join(waiting)


def _join(parts: list[Batch]) -> Batch:
    columns = zip(*parts, strict=True)
    return Batch._make(np.concatenate(arrays) for arrays in columns)
