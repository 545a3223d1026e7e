"""How a file is written, told by its content or its name."""

from __future__ import annotations

from pathlib import Path

from keras_pss.features import Format

_MAGIC = {b"PAR1": "parquet", b"ARROW1": "ipc"}
_NAMES = {
    ".parquet": "parquet",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".ipc": "ipc",
    ".jsonl": "ndjson",
    ".ndjson": "ndjson",
    ".tfrecord": "tfrecord",
    ".tfrecords": "tfrecord",
}
_ARCHIVES = (".gz", ".xz", ".zst")


def kind_of(path: Path, form: Format) -> str:
    """The kind of a file: one of `Format`'s, but not `"auto"`."""
    if form.kind != "auto":
        return form.kind
    if form.columns is not None:
        return "csv"  # the others name their columns
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _ARCHIVES:
        suffixes.pop()
    if suffixes and suffixes[-1] in _NAMES:
        return _NAMES[suffixes[-1]]
    if path.is_file():  # a pipe is read once
        with open(path, "rb") as file:
            head = file.read(8)
        for magic, kind in _MAGIC.items():
            if head.startswith(magic):
                return kind
    return "csv"
