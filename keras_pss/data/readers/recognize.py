"""What a file is that is no log of the expected form, told by its beginning.

A name says little: archives are called `.txt`, tables of other separators
`.tsv`. Only what all of the first lines have in common is taken for a form,
so that single broken rows stay what they are, rows to be set aside.
"""

import re
from pathlib import Path
from typing import NamedTuple

from keras_pss.data.readers.source import ArchiveError, Source

CRITEO, UNLABELLED, RATINGS = "criteo", "unlabelled", "ratings"

# What to do with a log of other columns than this package knows.
SCHEMA = (
    "Declare its columns with a `schema`; `keras-pss schema infer FILE` "
    "drafts one."
)

_COLUMNS = 40  # of Criteo's rows, with the label
_LINES = 10
_MAGIC = {
    ".gz": b"\x1f\x8b",
    ".xz": b"\xfd7zXZ\x00",
    ".zst": b"\x28\xb5\x2f\xfd",
}
_RATING = r"\d+{0}\d+{0}\d(\.\d)?{0}\d+"
_HEADERS = (b"userId,movieId,rating,timestamp", b"user_id,movie_id,like")

RECORDS = (
    "Declare its features with a `schema` whose [format] has "
    "kind = 'tfrecord'; these files do not say what they hold."
)


class Form(NamedTuple):
    """What a file is.

    Attributes:
        name: One of this module's names, or "" for a form that nothing reads.
        what: In words.
        fix: What to do with it.
    """

    name: str
    what: str
    fix: str = ""


def recognize(path: Path) -> Form | None:
    """The form of a file; None where its beginning does not show one."""
    head = _head(path)
    for magic, what in (
        (b"PAR1", "a Parquet file"),
        (b"ARROW1", "an Arrow file"),
    ):
        if head.startswith(magic):
            return Form("", what, SCHEMA)
    if path.suffix.lower() in (".tfrecord", ".tfrecords"):
        return Form("", "a TFRecord file", RECORDS)
    if (found := packed(path)) is not None:
        return found
    if path.suffix.lower() in _MAGIC and not _is_archive(path, head):
        return None
    lines = first_lines(path)
    return _of_lines(lines) if lines else None


def packed(path: Path) -> Form | None:
    """The form of an archive whose name does not say so, or the reverse."""
    head = _head(path)
    if head.startswith(b"PK\x03\x04"):
        return Form("", "a zip archive", "Unpack it first.")
    suffix = path.suffix.lower()
    for ending, magic in _MAGIC.items():
        if head.startswith(magic) and suffix != ending:
            return Form(
                "",
                f"compressed as {ending} files are",
                f"Rename it to {path.name}{ending}.",
            )
    plain = re.fullmatch(rb"[\t\n\r -~]+", head)
    if suffix in _MAGIC and plain:
        return Form("", "plain text", f"Rename it to {path.stem}.")
    return None


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(1 << 12)


def _is_archive(path: Path, head: bytes) -> bool:
    return head.startswith(_MAGIC[path.suffix.lower()])


def _of_lines(lines: list[bytes]) -> Form | None:
    def rated(separator: str) -> bool:
        form = re.compile(_RATING.format(separator).encode())
        return all(form.fullmatch(line) for line in lines)

    if any(line.count(b"\t") == _COLUMNS - 1 for line in lines):
        return Form(CRITEO, "Criteo's rows")
    if rated("::") or lines[0] in _HEADERS:
        return Form(
            RATINGS,
            "MovieLens' ratings",
            "Train on them as they are: name the file ratings.dat, or "
            "ratings.csv where it has commas.",
        )
    if rated("\t"):
        return Form(
            "",
            "MovieLens' ratings, separated by tabs",
            "Write '::' in place of the tabs and name the file ratings.dat.",
        )
    if rated(","):
        return Form(
            "",
            "MovieLens' ratings without a header",
            f"Put '{_HEADERS[0].decode()}' before the first line and name the "
            "file ratings.csv.",
        )
    if {line.count(b"\t") for line in lines} == {_COLUMNS - 2}:
        return Form(
            UNLABELLED,
            f"{_COLUMNS - 1} columns, as Criteo's test.txt without labels has",
            "Give a file with labels, such as train.txt.",
        )
    for separator, name in ((b",", "commas"), (b";", "semicolons")):
        if {line.count(separator) for line in lines} == {_COLUMNS - 1}:
            return Form(
                "",
                f"{_COLUMNS} columns separated by {name}",
                "Write tabs in their place, and no header: tr "
                f"'{separator.decode()}' '\\t' < FILE > log.tsv",
            )
    return None


def first_lines(path: Path) -> list[bytes]:
    """Some whole lines, decompressed; without those that are empty."""
    chunks = Source(path).chunks()
    text, ended = b"", False
    try:
        while text.count(b"\n") <= _LINES and len(text) < 1 << 20:
            text += next(chunks)
    except StopIteration:
        ended = True
    except ArchiveError:
        pass
    finally:
        chunks.close()  # type: ignore[attr-defined]
    lines = text.split(b"\n")
    if not ended:
        lines = lines[:-1]
    return [x.removesuffix(b"\r") for x in lines if x.strip()][:_LINES]
