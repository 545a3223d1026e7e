"""Files that the reader of any log refuses, and what it says then."""

import gzip
from datetime import datetime

import polars as pl
import pytest

from keras_pss.data.readers import reasons as why
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.features import (
    Categorical,
    Dense,
    Format,
    MultiCategorical,
    Schema,
)


def read(path, schema):
    return sum(map(len, LogReader(path, schema)))


@pytest.mark.parametrize(
    ("feature", "values", "message"),
    [
        (Categorical("c"), [["a"]], "Declare it as MultiCategorical"),
        (MultiCategorical("c", max_length=2), ["a b"], "Give `separator`"),
        (Dense("c", size=2), [1.0], "lists of `size` numbers"),
        (Dense("c"), [datetime(2020, 1, 1)], "Write it as numbers"),
        (Categorical("c", dtype="hex"), [255], "dtype='integer'"),
        (Categorical("c"), [{"x": 1}], "texts or numbers"),
    ],
)
def test_a_column_of_a_wrong_type(tmp_path, feature, values, message):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"c": values}).write_parquet(path)
    with pytest.raises(ValueError, match=rf"(?s){message}.*column 'c'"):
        read(path, Schema([feature]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"a,b\r1,2\r", "carriage returns"),
        (b"a,a,b\n1,2,3\n", "'a' 2 times"),
        (b'"a,b\n1,2\n', "begin with a header"),
    ],
)
def test_text_that_is_refused(tmp_path, data, message):
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read(path, Schema([Categorical("a")]))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"PAR1", "kind = 'parquet' there.*, which is Parquet"),
        ("a.csv", b"ARROW1\0\0", "must be text.*a.csv, which is Arrow"),
        ("a.csv", b'{"a": 1}\n', "must be text.*, which is JSON lines"),
        ("a.jsonl", b"PAR1", "must be JSON lines.*, which is Parquet"),
        (
            "a.csv",
            gzip.compress(b"a\n1\n", mtime=0),
            "Rename it to a.csv.gz. Receive",
        ),
        ("a.csv.gz", b"a\n1\n", "Rename it to a.csv. Received"),
        ("a.csv", b"PK\x03\x04", "Unpack it first"),
        ("a.csv", b"x,y\n1,2\n", r"has no 'a'. If no line names the columns"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    kind = "auto" if name.endswith("l") else "csv"
    schema = Schema([Categorical("a")], format=Format(kind))
    with pytest.raises(ValueError, match=message):
        read(path, schema)


JSON = b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n'
TABS = b"a\tb\n1\tx\n2\ty\n"


@pytest.mark.parametrize("pack", ["", ".gz"])
@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        ("csv", JSON, "Set kind = 'ndjson' there.*which is JSON lines, one"),
        ("csv", b"\xef\xbb\xbf \n" + JSON, "Set kind = 'ndjson' there"),
        ("csv", b' {"a":1}\r\n', "Set kind = 'ndjson' there"),
        ("bare", JSON, "must be text with sep.*Set kind = 'ndjson' there"),
        ("parquet", JSON, "must be Parquet.*Set kind = 'ndjson' there"),
        ("ipc", TABS, r"must be Arrow.*kind = 'csv' and separator = '\\t' the"),
        (
            "ndjson",
            TABS,
            "must be JSON lines, as the schema's.*Set kind = 'csv' and "
            r"separator = '\\t' there.*2 columns separated by tabs, with a",
        ),
        ("ndjson", b"1;x\n2;y\n", "separator = ';', header = false and `col"),
        ("ndjson", b"[" + JSON, "but not of one object a line"),
        ("ndjson", b'{\n  "a": 1\n}\n', r"jq -c . FILE .*but not of one obj"),
        (
            "csv",
            b'[{"a": 1}, {"a": 2}]',
            r"jq -c '.\[\]' FILE .*not of one obj",
        ),
    ],
)
def test_json_is_not_taken_for_columns(tmp_path, kind, data, message, pack):
    path = tmp_path / f"log.txt{pack}"
    path.write_bytes(gzip.compress(data) if pack else data)
    form = Format("csv" if kind == "bare" else kind)
    if kind == "bare":
        form = Format("csv", header=False, columns=["a", "b"])
    if pack and kind in ("parquet", "ipc"):
        message = "."  # not text before it is unpacked
    schema = Schema([Categorical("a")], format=form)
    with pytest.raises(ValueError, match=message):
        read(path, schema)


def test_what_a_files_name_says_may_be_wrong(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(TABS)
    with pytest.raises(ValueError, match=r"name says\. Set kind = 'csv'"):
        read(path, Schema([Categorical("a")]))
    form = Format("csv", separator="\t")  # as the message says
    assert read(path, Schema([Categorical("a")], format=form)) == 2
    path = tmp_path / "log.csv"
    path.write_bytes(JSON)
    with pytest.raises(ValueError, match="Set kind = 'ndjson' there"):
        read(path, Schema([Categorical("a")]))
    form = Format("ndjson")
    assert read(path, Schema([Categorical("a")], format=form)) == 2


@pytest.mark.parametrize(
    ("kind", "data", "rows"),
    [
        # Some broken lines are rows to set aside.
        ("ndjson", b'a,b\n{"a": 1}\n', 1),
        ("ndjson", b'{"a": 1\n{"a": 2}\n', 1),
        ("csv", b'{"a": 1},{"b": 2}\n' + JSON, 3),
        ("one", JSON, 2),
    ],
)
def test_lines_that_have_not_all_one_form(tmp_path, kind, data, rows):
    path = tmp_path / "log.txt"
    path.write_bytes(data)
    form = Format("ndjson")
    if kind == "csv":
        form = Format("csv", header=False, columns=["a", "b"], quote=None)
    if kind == "one":
        form = Format(
            "csv", header=False, columns=["a"], quote=None, separator="\t"
        )
    reader = LogReader(path, Schema([Categorical("a")], format=form))
    assert sum(map(len, reader)) == rows


def test_lines_without_a_header_may_begin_with_a_brace(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'{"a":1},2\n')
    form = Format(header=False, columns=["a", "b"], quote=None)
    assert read(path, Schema([Categorical("a")], format=form)) == 1


def test_an_empty_file_has_no_rows(tmp_path):
    path = tmp_path / "a.csv"
    for data in (b"", b"\xef\xbb\xbf", b"a\n"):
        path.write_bytes(data)
        reader = LogReader(path, Schema([Categorical("a")]))
        assert sum(map(len, reader)) == 0
        assert reader.sources[0].lines == data.count(b"\n")


def test_quotes_must_be_ascii(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    schema = Schema([Categorical("a")], format=Format(quote="“"))
    with pytest.raises(ValueError, match="ASCII character"):
        read(path, schema)


def test_every_reason_says_its_fix():
    reasons = {v for k, v in vars(why).items() if k.isupper() and k != "FIXES"}
    assert reasons == set(why.FIXES)
