"""The `rejects.tsv` of a prepared folder."""

from keras_pss.data.readers.block import Reject
from keras_pss.data.readers.source import MAX_RAW

REJECTS = "rejects.tsv"
MAX_REJECTS = 10_000  # broken rows that are listed; all are counted


def reject_line(reject: Reject) -> bytes:
    """A line with file, line, reason, column and the row's first bytes."""
    head = f"{reject.file}\t{reject.line}\t{reject.reason}\t{reject.column}\t"
    row = reject.raw[:MAX_RAW]
    return head.encode(errors="surrogateescape") + row + b"\n"
