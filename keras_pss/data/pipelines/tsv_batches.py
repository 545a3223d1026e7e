"""Batches of NumPy arrays directly from TSV files."""

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keras_pss.data.criteo.tsv_reader import TsvReader
from keras_pss.data.encoders.id_encoder import IdEncoder
from keras_pss.data.pipelines.record_batches import check_batch_size
from keras_pss.data.readers.block import Block, Int32Array, Reject
from keras_pss.data.readers.source import Sources
from keras_pss.data.readers.threads import ordered_map


class Batch(NamedTuple):
    """Rows in the format of models.

    `dense` float32 (n, 13) = log(1 + integer), `categorical` int32 (n, 26),
    `labels` float32 (n,).
    """

    dense: npt.NDArray[np.float32]
    categorical: Int32Array
    labels: npt.NDArray[np.float32]


OnRejects = Callable[[list[Reject]], None]

_logger = logging.getLogger(__name__)


def log_rejects(rejects: list[Reject]) -> None:
    """Logs a warning with the number of broken rows and the first one."""
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
    """Reads TSV files in batches, in order.

    Memory: a few blocks of the reader.

    Args:
        sources: Files as in `criteo.prepare`.
        encoder: Encoder of the ids, such as `criteo.load(...).encoder()`.
        batch_size: Number of rows of all batches except the last.
        strict: Whether to raise at the first broken row. Default: False.
        labelled: Whether the rows have labels. If False, all labels are 0.
            Default: True.
        on_rejects: Function that is called with the list of broken rows of
            each block that has any. Default: logs a warning.

    Raises:
        ValueError: `batch_size` is below 1, or `TsvReader` raises.
        BrokenRowError: While iterating, if `strict` and a row is broken.
    """
    check_batch_size(batch_size)
    reader = TsvReader(sources, strict=strict, labelled=labelled)
    return _rebatch(_encoded(reader, encoder, on_rejects), batch_size)


def _encoded(
    reader: TsvReader, encoder: IdEncoder, on_rejects: OnRejects
) -> Iterator[Batch]:
    """Encodes one batch per block of the reader in threads, of any size."""

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
    """Joins and splits batches to `batch_size` rows."""
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
