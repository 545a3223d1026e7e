"""Blocks of values made in tests, in place of a reader of files."""

from collections import Counter
from types import SimpleNamespace

import polars as pl


class Frames:
    """Gives frames of values as a reader of a log does.

    Args:
        frames: The frames, in order.
    """

    def __init__(self, *frames: pl.DataFrame):
        self.frames = frames
        self.sources = []
        self.rejects = Counter()
        self.first_reject = None
        self.bytes_total = sum(map(len, frames))
        self.bytes_done = 0

    def __iter__(self):
        self.bytes_done = 0
        for frame in self.frames:
            self.bytes_done += len(frame)
            yield SimpleNamespace(rows=frame, rejects=[], lines=len(frame))


def blocks(frame: pl.DataFrame, size: int) -> Frames:
    """A frame, given in blocks of at most `size` rows."""
    starts = range(0, len(frame), size)
    return Frames(*(frame.slice(start, size) for start in starts))
