"""Files that the reader of any log refuses, and what it says then."""

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
