"""How a file is written, told by its content or its name."""

from __future__ import annotations

from pathlib import Path

from keras_pss.data.readers.formats.text_form import text_form
from keras_pss.data.readers.recognize import packed
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
_WORDS = {
    "csv": "text with separators",
    "ndjson": "JSON lines",
    "parquet": "Parquet",
    "ipc": "Arrow",
    "tfrecord": "TFRecord",
}


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
    return _kind_by_content(path) or "csv"


def check_kind(path: Path, kind: str, form: Format) -> None:
    """Raises where the content of a file is plainly of another kind.

    Args:
        path: The file.
        kind: What it is read as.
        form: The schema's format.

    Raises:
        ValueError: It says what the file is, and what to do.
    """
    if not path.is_file():  # a pipe is read once
        return
    # The length of a first TFRecord may be any bytes.
    found = packed(path) if kind in ("csv", "ndjson") else None
    if found is not None:
        raise ValueError(
            f"`sources` must be files that can be read. {found.fix} "
            f"Received: {path}, {found.what}"
        )
    other = _kind_by_content(path)
    if other not in (kind, ""):
        raise _of_another_kind(
            path,
            kind,
            _WORDS[other],
            f"Set kind = {other!r} there, or give another file.",
        )
    if other or kind == "tfrecord" or _one_column(form):
        return
    text = text_form(path)
    if text is not None and text.kind != kind:
        raise _of_another_kind(path, kind, text.what, text.fix)


def _of_another_kind(path: Path, kind: str, what: str, fix: str) -> ValueError:
    return ValueError(
        f"`sources` must be {_WORDS[kind]}, as the schema's [format] or the "
        f"file's name says. {fix} Received: {path}, which is {what}"
    )


def _one_column(form: Format) -> bool:
    """Whether a line may be anything."""
    return form.columns is not None and len(form.columns) == 1


def _kind_by_content(path: Path) -> str:
    """The kind that the first bytes of a file show, or ""."""
    if not path.is_file():
        return ""
    with open(path, "rb") as file:
        head = file.read(8)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    return ""
