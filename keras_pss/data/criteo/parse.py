"""One block of whole lines to arrays, each broken line with its reason.

There is one path: framing by positions of tabs and newlines, then the field
parsers of `fields.py`, all vectorised. A broken line costs its own time only.
"""

import numpy as np

from keras_pss.data.criteo import schema
from keras_pss.data.readers import text_fields as fields
from keras_pss.data.readers.block import (
    BAD_HEX,
    BAD_INTEGER,
    BAD_LABEL,
    OUT_OF_RANGE,
    WRONG_COLUMNS,
    Block,
    Reject,
)

_TAB, _NEWLINE, _RETURN = 9, 10, 13
_INTEGER_REASONS = {
    fields.MALFORMED: BAD_INTEGER,
    fields.TOO_LARGE: OUT_OF_RANGE,
}


def parse_block(
    data: bytes, file: str = "", first_line: int = 1, labelled: bool = True
) -> Block:
    """Parses tab separated Criteo rows.

    Missing integers are 0 and negative ones become 0, so that log(x + 1) is
    defined; missing categories are 0, which merges them with the value
    `00000000`. Both are what facebookresearch/dlrm does.

    Args:
        data: Whole lines; the last may lack its newline. `\\r\\n` is a
            newline too.
        file: The name that rejects carry.
        first_line: Number of the first line in its file, from 1.
        labelled: False for rows of 39 columns without the label; their
            labels are 0.

    Returns:
        A block without the broken rows; these are in `block.rejects`.
    """
    num_columns = schema.NUM_COLUMNS - (not labelled)
    text = _pad(data)
    separators = np.flatnonzero((text - np.uint8(_TAB)) < 2)
    newlines = np.flatnonzero(text[separators] == _NEWLINE)
    counts = np.diff(newlines, prepend=-1)  # separators a line
    whole = counts == num_columns
    line_starts = np.empty(len(newlines), np.int64)
    line_starts[:1] = fields.PADDING
    line_starts[1:] = separators[newlines[:-1]] + 1
    if not whole.all():
        separators = separators[np.repeat(whole, counts)]
        line_starts = line_starts[whole]
    lines = np.flatnonzero(whole)  # counted from this block's first line
    ends = separators.reshape(-1, num_columns)  # (n, columns)
    starts = np.empty_like(ends)
    starts[:, 0] = line_starts
    starts[:, 1:] = ends[:, :-1] + 1
    # A carriage return before the newline belongs to it.
    crlf = (text[ends[:, -1] - 1] == _RETURN) & (ends[:, -1] > starts[:, -1])
    if crlf.any():
        ends[:, -1] -= crlf

    labels = np.zeros(len(ends), np.int32)
    codes = np.zeros((len(ends), schema.NUM_COLUMNS), np.uint8)
    if labelled:
        characters = text[starts[:, 0]]
        labels = (characters == ord("1")).astype(np.int32)
        codes[:, 0] = (ends[:, 0] - starts[:, 0] != 1) | (
            (characters != ord("0")) & (characters != ord("1"))
        )
    first = int(labelled)
    middle = first + schema.NUM_INTEGERS
    integers, codes[:, 1 : 1 + schema.NUM_INTEGERS] = fields.integer_fields(
        text, starts[:, first:middle], ends[:, first:middle]
    )
    categories, codes[:, 1 + schema.NUM_INTEGERS :] = fields.hex_fields(
        text, starts[:, middle:], ends[:, middle:]
    )
    block = Block(labels, integers, categories, len(newlines))
    if not whole.all() or codes.any():
        _reject(block, data, file, first_line, whole, lines, codes)
    return block


def _pad(data: bytes) -> fields.Bytes:
    end = b"" if data.endswith(b"\n") or not data else b"\n"
    # The bytes before the first field may be anything but a separator.
    return np.frombuffer(bytes(fields.PADDING) + data + end, np.uint8)


def _reject(
    block: Block,
    data: bytes,
    file: str,
    first_line: int,
    whole: np.ndarray,
    lines: np.ndarray,
    codes: np.ndarray,
) -> None:
    """Moves the broken rows of a block into its rejects."""
    raw = data.split(b"\n")
    broken = dict.fromkeys(np.flatnonzero(~whole).tolist(), (WRONG_COLUMNS, ""))
    bad = codes.any(1)
    for row in np.flatnonzero(bad):
        column = int(np.argmax(codes[row] != fields.GOOD))
        if column == 0:
            reason = BAD_LABEL
        elif column <= schema.NUM_INTEGERS:
            reason = _INTEGER_REASONS[int(codes[row, column])]
        else:
            reason = BAD_HEX
        broken[int(lines[row])] = reason, schema.COLUMNS[column]
    block.rejects = [
        Reject(file, first_line + i, *broken[i], raw[i].removesuffix(b"\r"))
        for i in sorted(broken)
    ]
    block.labels = block.labels[~bad]
    block.integers = block.integers[~bad]
    block.categories = block.categories[~bad]
