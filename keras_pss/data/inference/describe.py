"""Files that were given as Criteo's log or ratings and are another log."""

from collections.abc import Iterable
from pathlib import Path

from keras_pss.data.criteo.columns import COLUMNS
from keras_pss.data.inference.sample import LogSample, read_sample
from keras_pss.data.inference.sniff import in_words
from keras_pss.data.readers.recognize import (
    CRITEO,
    SCHEMA,
    UNLABELLED,
    Form,
    recognize,
)
from keras_pss.features import Schema

_ROWS = 100
_KINDS = {"ndjson": "JSON lines"}


def check_criteo(
    paths: Iterable[Path], schema: Schema, labelled: bool = True
) -> None:
    """Raises where a schema reads Criteo's rows and a file holds others.

    Such files have no header, whose columns would tell.

    Args:
        paths: Files, or pipes, which are not looked into.
        schema: What they are read with.
        labelled: Whether the rows must have a label.

    Raises:
        ValueError: It says what the file is, and what to do.
    """
    if schema.format.columns != COLUMNS:
        return
    for path in paths:
        form = describe(path) if path.is_file() else None
        if form is None or form.name == CRITEO:
            continue
        if form.name == UNLABELLED and not labelled:
            continue
        raise ValueError(
            "`sources` must be rows of a label, 13 integers and 26 hex "
            f"values, separated by tabs. {form.fix} "
            f"Received: {path}, {form.what}"
        )


def describe(path: Path) -> Form | None:
    """What a file is, with its separator and number of columns.

    Rows of tabs without a header are not described: they may be Criteo's and
    broken, and are set aside then.

    Args:
        path: A file that is there.

    Returns:
        The form; None where the file's beginning does not show one.
    """
    if (known := recognize(path)) is not None:
        return known
    try:
        sample = read_sample(path, None, _ROWS)
    except (ValueError, OSError):
        return None
    form = sample.format
    if sample.text and form.separator == "\t" and not form.header:
        return None
    fix = SCHEMA
    if sample.preset:
        title = Schema.load(sample.preset).title
        fix = f"Did you mean schema={sample.preset!r} ({title})?"
    return Form("", _in_words(sample), fix)


def _in_words(sample: LogSample) -> str:
    form, width = sample.format, sample.rows.width
    if not sample.text:
        return f"{_KINDS[form.kind]} of {width} fields"
    return in_words(width, form.separator, form.header)
