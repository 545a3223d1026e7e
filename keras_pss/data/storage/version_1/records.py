"""Shards of binary records, which training reads.

A record has the layout of facebookresearch/dlrm: 40 little-endian int32, which
are the label, 13 integers without logarithm (at least 0), and 26 ids.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.data.criteo import schema
from keras_pss.data.encoders.id_encoder import IdEncoder
from keras_pss.data.readers.block import Int32Array
from keras_pss.data.readers.threads import ordered_map
from keras_pss.data.storage.log_records import DTYPE, write_all
from keras_pss.data.storage.splits import RowNumbers, blocks_of
from keras_pss.data.storage.version_1.staging import Staging

RECORD_BYTES = schema.NUM_COLUMNS * DTYPE.itemsize
FIRST_ID = 1 + schema.NUM_INTEGERS

_BLOCK_ROWS = 1 << 13  # the arrays of a block fit into the caches


def write_shard(
    path: Path,
    staging: Staging,
    rows: RowNumbers,
    encoder: IdEncoder,
    workers: int,
) -> dict[str, Any]:
    """Writes the records of some staged rows.

    Args:
        path: The new file.
        staging: The staged rows.
        rows: Numbers of the rows to write.
        encoder: Encoder of the ids.
        workers: Number of encoder threads.

    Returns:
        The shard's entry in the metadata: `name`, `rows`, `clicks`, `sha256`.
    """

    def encode(part: RowNumbers) -> Int32Array:
        records = np.empty((len(part), schema.NUM_COLUMNS), DTYPE)
        records[:, :FIRST_ID] = staging.head(part)
        raw = np.empty((len(part), schema.NUM_CATEGORIES), np.uint32)
        for column in range(schema.NUM_CATEGORIES):
            raw[:, column] = staging.column(column, part)
        records[:, FIRST_ID:] = encoder(raw)
        return records

    digest = hashlib.sha256()
    clicks = 0
    with open(path, "wb", buffering=0) as file:
        blocks = blocks_of(rows, _BLOCK_ROWS)
        for records in ordered_map(encode, blocks, workers):
            clicks += int(records[:, 0].sum())
            digest.update(records.data)
            write_all(file, records.data)
    return {
        "name": path.name,
        "rows": len(rows),
        "clicks": clicks,
        "sha256": digest.hexdigest(),
    }
