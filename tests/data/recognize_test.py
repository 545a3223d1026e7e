"""Files that are no log of the expected form are named for what they are."""

import gzip
import lzma
import re

import pytest

from keras_pss.data.inference.describe import check_criteo
from keras_pss.data.readers.recognize import recognize
from keras_pss.features import Schema

CRITEO = Schema.load("criteo")
ROW = "\t".join(["1", *["3"] * 13, *["0a"] * 26])
ROWS = f"{ROW}\n".encode() * 12


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("log.tsv", ROWS, "Criteo's rows"),
        ("log.gz", gzip.compress(ROWS, mtime=0), "Criteo's rows"),
        # One good row among the first is enough: the others are set aside.
        ("log.tsv", b"1,2\n" + ROWS, "Criteo's rows"),
        (
            "log.csv",
            ROWS.replace(b"\t", b","),
            "40 columns separated by commas",
        ),
        ("log.csv", ROWS.replace(b"\t", b";"), "separated by semicolons"),
        (
            "log.tsv",
            ROWS.replace(b"1\t3", b"3"),
            "39 columns, as Criteo's test",
        ),
        (
            "log.txt",
            gzip.compress(ROWS, mtime=0),
            "compressed as .gz files are",
        ),
        ("log.txt", lzma.compress(ROWS), "compressed as .xz files are"),
        (
            "log.zst",
            gzip.compress(ROWS, mtime=0),
            "compressed as .gz files are",
        ),
        ("log.tsv.gz", ROWS, "plain text"),
        ("log.tsv", b"PAR1\x15\x04", "a Parquet file"),
        ("log.tsv", b"ARROW1\0\0", "an Arrow file"),
        ("log.tfrecord", b"\1\0\0\0", "a TFRecord file"),
        ("log.tsv", b"PK\x03\x04", "a zip archive"),
        ("a.txt", b"1::2::4::9\n" * 3, "MovieLens' ratings"),
        (
            "a.txt",
            b"userId,movieId,rating,timestamp\n1,2,3,4\n",
            "MovieLens' r",
        ),
        ("u.data", b"196\t242\t3\t881250949\n", "separated by tabs"),
        ("a.csv", b"1,2,3.5,1112486027\n", "ratings without a header"),
        ("log.tsv", b"x\n" * 3, None),
        ("log.tsv", b"", None),
        ("log.gz", b"", None),
        ("log.gz", gzip.compress(ROWS, mtime=0)[:12], None),
        ("log.gz", b"\0\1\2", None),
        ("log.tsv", b"\n\n\n", None),
        ("log.tsv", b"1" * 3000000, None),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_forms(name, content, what, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    form = recognize(path)
    if what is None:
        assert form is None
        check_criteo([path], CRITEO)  # It is read, and its rows tell.
        return
    assert what in form.what
    if form.name == "criteo":
        check_criteo([path], CRITEO)
        return
    with pytest.raises(ValueError, match="`sources` must be rows of a label"):
        check_criteo([path], CRITEO)
    assert form.fix.endswith((".", ".tsv"))


def test_rows_without_labels_are_what_some_read(tmp_path):
    path = tmp_path / "test.txt"
    path.write_bytes(ROWS.replace(b"1\t3", b"3"))
    check_criteo([path], CRITEO, labelled=False)
    with pytest.raises(ValueError, match="Give a file with labels"):
        check_criteo([path], CRITEO)


@pytest.mark.parametrize(
    ("content", "what", "fix"),
    [
        (
            "id,click,hour\n" + "7,1,14102100\n" * 3,
            "3 columns separated by commas, with a header",
            "`keras-pss schema infer FILE` drafts one.",
        ),
        (
            "31, ?, 0\n" * 3,
            "3 columns separated by commas and blanks, without",
            "Declare its columns with a `schema`",
        ),
        (
            "a\tb\n1\tx\n",
            "2 columns separated by tabs, with a header",
            "`schema`",
        ),
        ("a::b\n" * 3, "2 columns separated by '::', without", "`schema`"),
        ('{"a": 1, "b": [2]}\n' * 3, "JSON lines of 2 fields", "`schema`"),
        (
            ",".join(Schema.load("avazu").columns) + "\n" + "1," * 23 + "1\n",
            "separated by commas, with a header",
            r"Did you mean schema='avazu' (Avazu: the labelled",
        ),
        ("1\t2\n" * 3, None, None),
        ("one word a line\n" * 3, None, None),
    ],
)
def test_a_table_of_other_columns_is_described(content, what, fix, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(content)
    if what is None:
        check_criteo([path], CRITEO)
        return
    with pytest.raises(ValueError, match=re.escape(what)) as raised:
        check_criteo([path], CRITEO)
    assert fix in str(raised.value)


def test_files_of_other_schemas_are_not_looked_into(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,2\n")
    check_criteo([path], Schema.load("movielens"))
    with pytest.raises(ValueError, match="`sources` must be rows of a label"):
        check_criteo([path], CRITEO)
