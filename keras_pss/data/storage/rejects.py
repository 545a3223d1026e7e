"""The `rejects.tsv` of a prepared folder."""

from collections.abc import Sequence
from pathlib import Path

from keras_pss.data.readers.block import Reject
from keras_pss.data.readers.source import MAX_RAW

REJECTS = "rejects.tsv"
MAX_REJECTS = 10_000  # broken rows that are listed; all are counted


class RejectsFile:
    """Lists the first broken rows of a log; without any, there is no file.

    Args:
        path: The new file.
    """

    def __init__(self, path: Path):
        self._path = path
        self.left = MAX_REJECTS

    def add(self, rejects: Sequence[Reject]) -> None:
        """Adds broken rows, which come in the order of the log."""
        first = rejects[: self.left]
        if first:
            with open(self._path, "ab") as file:
                file.writelines(map(reject_line, first))
            self.left -= len(first)


def reject_line(reject: Reject) -> bytes:
    """A line with file, line, reason, column and the row's first bytes."""
    head = f"{reject.file}\t{reject.line}\t{reject.reason}\t{reject.column}\t"
    row = reject.raw[:MAX_RAW]
    return head.encode(errors="surrogateescape") + row + b"\n"
