"""How a file of text is written, told by its first lines.

Only what all of them have in common counts: single broken lines are rows to be
set aside, not another kind of file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from keras_pss.data.inference.sniff import layout_of
from keras_pss.data.readers.recognize import first_lines

_BOM = b"\xef\xbb\xbf"


class TextForm(NamedTuple):
    """How a file is written.

    Attributes:
        kind: `"ndjson"`, `"csv"`, or `""` for JSON that is not in lines.
        what: In words.
        fix: What to do to read it.
    """

    kind: str
    what: str
    fix: str


def text_form(path: Path) -> TextForm | None:
    """How a file is written; None if its first lines do not show it.

    Args:
        path: A file that is there.
    """
    lines = [line.removeprefix(_BOM) for line in first_lines(path)]
    lines = [line for line in lines if line.strip()]
    if not lines or any(b"\0" in line for line in lines):
        return None
    values = [_parsed(line) for line in lines]
    if all(isinstance(value, dict) for value in values):
        return TextForm(
            "ndjson",
            "JSON lines, one object a line",
            "Set kind = 'ndjson' there, or give another file.",
        )
    head = lines[0].strip()
    if head in (b"[", b"{") or head[:2] == b"[{" or isinstance(values[0], list):
        return TextForm(
            "",
            "JSON, but not of one object a line",
            "Write it as JSON lines (jq -c '.[]' FILE if it is an array, "
            "jq -c . FILE if not) and set kind = 'ndjson' there.",
        )
    if any(line.lstrip().startswith(b"{") for line in lines):
        return None
    return _divided(lines)


def _divided(lines: list[bytes]) -> TextForm | None:
    try:
        texts = [line.decode() for line in lines]
    except UnicodeDecodeError:
        return None
    layout = layout_of(texts)
    if layout is None:
        return None
    fix = f"Set kind = 'csv' and separator = {layout.separator!r}"
    if layout.header is None:
        fix += ", header = false and `columns`"
    return TextForm(
        "csv", layout.in_words, f"{fix} there, or give another file."
    )


def _parsed(line: bytes) -> Any:
    """The JSON of a line; None if it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
