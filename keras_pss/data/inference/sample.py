"""The first rows of a file of any format, as columns of Polars."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import polars as pl

from keras_pss.data.inference.sniff import QUOTE, TextLayout, layout_of
from keras_pss.data.readers.recognize import RECORDS, recognize
from keras_pss.data.readers.source import ArchiveError, Source
from keras_pss.features import Cross, Format, Schema, Split
from keras_pss.messages import shown

_MOST_BYTES = 1 << 28
_CHECKED = 50  # lines that must have the values of a preset
_VALUES = {"integer": r"(-?\d+)?", "hex": r"([0-9a-f]{8})?"}
_BOM = "\ufeff"


@dataclass
class LogSample:
    """The first rows of a file.

    Args:
        rows: One column for each column of the file; those of text are
            String, with nothing missing yet but null.
        format: How the file is written.
        text: Whether all columns are text that has no types of its own.
        notes: What a user should know about the file.
        preset: Name of the preset that describes such files, or "".
        split: How the log itself divides its rows, or None.
    """

    rows: pl.DataFrame
    format: Format
    text: bool
    notes: list[str] = field(default_factory=list)
    preset: str = ""
    split: Split | None = None

    @property
    def in_words(self) -> str:
        """How the file is written."""
        form = self.format
        if form.kind == "auto":
            return "a dataset of TensorFlow Datasets"
        if not self.text:
            return form.kind
        header = "with a header" if form.header else "without a header"
        return f"separator {form.separator!r}, {header}"


def read_sample(path: Path, label: str | None, rows: int) -> LogSample:
    """Reads the first rows of a file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is empty, damaged, or of a format that is not
            known.
    """
    if not path.is_file():
        raise FileNotFoundError(
            "`file` must name a file that exists. Check the path. "
            f"Received: {str(path)!r}"
        )
    try:
        return _of_any(path, label, rows)
    except pl.exceptions.PolarsError as error:
        raise ValueError(
            "`file` must be whole text, JSON lines, Parquet or Arrow. Write "
            f"it again. Received: {path}: {str(error).splitlines()[0]}"
        ) from None


def _of_any(path: Path, label: str | None, rows: int) -> LogSample:
    with open(path, "rb") as file:
        head = file.read(8)
    if head.startswith(b"PAR1"):
        found = pl.scan_parquet(path, glob=False).head(rows).collect()
        return LogSample(found, Format("parquet"), text=False)
    if head.startswith(b"ARROW1"):
        with open(path, "rb") as file:
            found = pl.read_ipc(file, n_rows=rows)
        return LogSample(found, Format("ipc"), text=False)
    form = recognize(path)
    if form is not None and form.fix.startswith(("Rename", "Unpack", RECORDS)):
        raise ValueError(
            f"`file` must be text, JSON lines, Parquet or Arrow. {form.fix} "
            f"Received: {path}, {form.what}"
        )
    return _of_lines(path, label, rows)


def _of_lines(path: Path, label: str | None, rows: int) -> LogSample:
    notes: list[str] = []
    lines = list(islice(_lines(path, notes), rows + 1))
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise ValueError(
            "`file` must hold at least one line. Give another file. "
            f"Received: {path}, which is empty"
        )
    if lines[0].lstrip().startswith("{"):
        found = pl.read_ndjson(
            io.StringIO("\n".join(lines)), infer_schema_length=None
        )
        return LogSample(found, Format("ndjson"), text=False, notes=notes)
    # A quoted field may hold line breaks.
    layout = layout_of(lines, label)
    if layout is None and (records := _records(lines)):
        layout = layout_of(records, label)
    if layout is None:
        raise ValueError(
            "`file` must have columns divided by a tab, comma, semicolon, "
            "bar or '::'. Write it with one of these, or declare its "
            f"`[format]` by hand. Received: {path}, which begins with "
            f"{shown(lines[0][:80])}"
        )
    return _divided(path, lines, layout, label, notes)


def _lines(path: Path, notes: list[str]) -> Iterator[str]:
    """Lines of a file, decompressed, without their ends."""
    chunks = Source(path).chunks()
    rest, read = b"", 0
    broken = False
    try:
        for chunk in chunks:
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield _text(line, read == 0)
                read += len(line) + 1
            if read > _MOST_BYTES:
                return
    except ArchiveError:
        broken = True
        notes.append("The archive is damaged: only the rows before it count.")
    finally:
        chunks.close()  # type: ignore[attr-defined]
    if rest and not broken:
        yield _text(rest, read == 0)


def _text(line: bytes, first: bool) -> str:
    text = line.decode("utf-8", errors="replace").removesuffix("\r")
    return text.removeprefix(_BOM) if first else text


def _divided(
    path: Path,
    lines: list[str],
    layout: TextLayout,
    label: str | None,
    notes: list[str],
) -> LogSample:
    names = layout.header
    preset = _preset(layout, lines)
    if names is not None and len(set(names)) < len(names):
        raise ValueError(
            "`file` must name each column once in its first line. Rename "
            f"one of them. Received: {path}, {shown(list(names))}"
        )
    form = Format(
        "csv",
        separator=layout.separator,
        header=names is not None,
        columns=None if names else _names(layout.width, preset),
        quote=layout.quote,
    )
    if names is None and not preset:
        notes.append(
            "No line names the columns: column_1, ... are names to replace "
            "in `columns` and in the features."
        )
    columns = names or form.columns or ()
    rows = _table(lines[1:] if names else lines, layout, columns)
    if any("\ufffd" in line for line in lines):
        notes.append("Some bytes are not UTF-8.")
    return LogSample(rows, form, text=True, notes=notes, preset=preset)


def _names(width: int, preset: str) -> tuple[str, ...]:
    if preset:
        return Schema.load(preset).format.columns or ()
    return tuple(f"column_{index + 1}" for index in range(width))


def _preset(layout: TextLayout, lines: list[str]) -> str:
    """The preset that describes such files, or ""."""
    for name in Schema.presets():
        schema = Schema.load(name)
        if schema.format.separator != layout.separator:
            continue
        if layout.header is None:
            if schema.format.columns and _fits(schema, lines):
                return name
        elif schema.format.header and set(schema.columns) <= set(layout.header):
            return name
    return ""


def _fits(schema: Schema, lines: list[str]) -> bool:
    """Whether lines without a header have the columns of a schema."""
    names = schema.format.columns or ()
    patterns = dict.fromkeys(names, r".*")
    for feature in schema.features:
        dtype = getattr(feature, "dtype", "")
        if dtype in _VALUES and not isinstance(feature, Cross):
            patterns[feature.column] = _VALUES[dtype]
    line = re.escape(schema.format.separator).join(patterns.values())
    return all(re.fullmatch(line, each) for each in lines[:_CHECKED])


def _table(
    lines: list[str], layout: TextLayout, names: tuple[str, ...]
) -> pl.DataFrame:
    """Lines as columns of text; what a short line lacks is empty."""
    # The separator as one character, which CSV needs.
    mark = layout.separator
    if len(mark) > 1:
        mark = "\x1f"
        lines = [line.replace(layout.separator, mark) for line in lines]
    if layout.quote:
        lines = _records(lines)
    rows = pl.read_csv(
        io.StringIO("\n".join(lines) + "\n"),
        has_header=False,
        schema=dict.fromkeys(names, pl.String),
        separator=mark,
        quote_char=layout.quote,
        truncate_ragged_lines=True,
    )
    if mark != layout.separator:
        rows = rows.with_columns(
            pl.all().str.replace_all(mark, layout.separator, literal=True)
        )
    return rows.fill_null("")


def _records(lines: list[str]) -> list[str]:
    """The lines; those that a field in quotes spans are one."""
    records: list[str] = []
    inside = False
    for line in lines:
        if inside:
            records[-1] += f"\n{line}"
        else:
            records.append(line)
        inside ^= line.count(QUOTE) % 2 == 1
    return records[:-1] if inside else records
