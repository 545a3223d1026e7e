"""How files are read for a draft: separators, quotes, names, errors."""

import gzip
import random
import re

import polars as pl
import pytest
from drafts import table

from keras_pss.data.infer_schema import infer
from keras_pss.features import (
    Categorical,
    Dense,
    Group,
    Label,
    Schema,
    Timestamp,
)


@pytest.mark.parametrize(
    ("text", "header", "separator"),
    [
        ("a,b\n1,2\n3,4", True, ","),
        ("1,2\n3,4", False, ","),
        ("p,x\ne,y\np,x\ne,x", False, ","),
        ("1\t2\t3|4\n1\t2\t5|6", False, "\t"),
        ("a;b\n1,5;2,5\n2,5;3,5", True, ";"),
        ("id,list\n1,a;b;c\n2,b;c;d", True, ","),
        ("1::2::3\n2::3::4", False, "::"),
        ('a,b\n"x, y",1\n"z",2', True, ","),
    ],
)
def test_lines_are_divided(tmp_path, text, header, separator):
    schema, _ = table(tmp_path, text)
    assert schema.format.header == header
    assert schema.format.separator == separator


def test_quotes_are_those_around_fields(tmp_path):
    text = 'click,t\n1,"x, ""y"""\n0,"z\nz"\n1,"x, ""y"""\n'
    schema, report = table(tmp_path, text)
    assert schema.format.quote == '"'
    assert report.rows == 3
    assert report.columns[1].examples[0] == 'x, "y"'
    inches = "click,t\n" + '1,5" disk\n0,3" disk\n' * 2
    schema, report = table(tmp_path, inches)
    assert schema.format.quote is None
    assert report.columns[1].examples == ('3" disk', '5" disk')


def test_a_quote_that_the_last_row_leaves_open_is_dropped(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text('click,t\n1,"a"\n0,"b"\n1,"c\nd"\n')
    _, report = infer(path, rows=3)
    assert report.rows == 2


def test_a_column_without_a_name_is_left_out(tmp_path):
    # As pandas writes its index.
    schema, report = table(tmp_path, ",click,x\n0,1,a\n1,0,b\n2,1,a\n")
    assert schema.features == (Categorical("x"),)
    assert report.columns[0].why == "the header gives it no name"
    schema, _ = table(tmp_path, ",click,x\n2020-01-01,1,a\n2020-01-02,0,b\n")
    assert schema.timestamp is None


def test_missing_texts_are_found(tmp_path):
    text = "click,a,b,c\n1,?,3,NA\n0,x,NA,de\n1,y,\\N,x\n0,x,4,NA\n"
    schema, report = table(tmp_path, text)
    # A country NA is a category; among numbers, NA is none.
    assert schema.format.missing == ("", "?", "NA", "\\N")
    assert [row.missing for row in report.columns] == [0, 0.25, 0.5, 0]


def test_names_that_are_taken_are_changed(tmp_path):
    schema, _ = table(
        tmp_path, "click,label,a/b,time\n1,a,b,q\n0,c,b,q\n1,a,c,q"
    )
    assert schema.label == Label("click")
    assert schema.features == (
        Categorical("label_value", "label"),
        Categorical("a_b", "a/b"),
        Categorical("time_value", "time"),
    )


def test_tables_are_shared_by_values_and_names(tmp_path):
    draw = random.Random(1)
    sites = [f"site{i}.com" for i in range(30)]
    lines = ["click\tfrom\tto\tuser_id\tfilm_id\tfriend_user_id"]
    for _ in range(2000):
        row = draw.choices(sites, k=2)
        row += [str(draw.randint(1, 200)) for _ in range(3)]
        lines.append("\t".join([draw.choice("01"), *row]))
    schema, report = table(tmp_path, "\n".join(lines))
    assert schema["to"].table == schema["from"].table
    assert schema["film_id"].table == "film_id"
    assert schema["friend_user_id"].table == schema["user_id"].table
    assert "; shares values with " in report.columns[2].why
    assert report.columns[2].why.endswith(" (100%)")


def test_a_history_shares_the_items_table(tmp_path):
    draw = random.Random(2)
    ids = [[draw.randint(1, 300) for _ in range(4)] for _ in range(999)]
    lines = [f"{i[0] % 2},{i[1]},{i[2]} {i[3]},{i[1] % 200}" for i in ids]
    text = "click,itemid,hist,shopid\n" + "\n".join(lines)
    schema, _ = table(tmp_path, text)
    assert schema["hist"].table == "itemid"
    assert schema["shopid"].table == "shopid"


def test_presets_are_recognized(tmp_path):
    row = ["1", *map(str, range(13)), *("68fd1e64",) * 26]
    schema, report = table(tmp_path, "\n".join(["\t".join(row)] * 3))
    assert "The preset 'criteo' describes such files" in report.notes[0]
    assert schema.format.columns == Schema.load("criteo").format.columns
    schema, report = table(tmp_path, "1::2::4::978300760\n1::3::5::978300761")
    assert "The preset 'movielens_1m'" in report.notes[0]
    assert schema.group == Group("userId")
    schema, report = table(tmp_path, "1::a::4::2\n0::b::5::2\n1::a::4::1")
    assert schema.format.columns[0] == "column_1"


def test_parquet_with_other_types(tmp_path):
    path = tmp_path / "log.parquet"
    pl.DataFrame(
        {
            "click": [True, False, True, False] * 5,
            "whole": [1.0, None, 2.0, float("nan")] * 5,
            "vector": pl.Series(
                [[0.5, 1.5]] * 20, dtype=pl.Array(pl.Float32, 2)
            ),
            "record": [{"a": 1}] * 20,
            "lists": [[[1], [2]]] * 20,
            "none": [[]] * 20,
            "kind": pl.Series(["a", "b"] * 10, dtype=pl.Categorical),
        }
    ).with_columns(at=pl.lit("2020-01-01").str.to_date()).write_parquet(path)
    schema, report = infer(path)
    assert schema.features == (
        Categorical("whole", dtype="integer"),
        Dense("vector", size=2),
        Categorical("kind"),
    )
    assert schema.label == Label("click")
    assert schema.timestamp == Timestamp("at", None, ("weekday", "weekend"))
    left = {r.column for r in report.columns if r.decision == "left out"}
    assert left == {"record", "lists", "none"}


def test_byte_order_marks_and_carriage_returns_are_no_text(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xef\xbb\xbfclick,x\r\n1,a\r\n0,b\r\n1,a\r\n")
    schema, report = infer(path)
    assert schema.label == Label("click")
    assert report.columns[1].examples == ("a", "b")


def test_a_damaged_archive_is_read_up_to_its_damage(tmp_path):
    rows = "".join(f"{i % 2},{i % 7}\n" for i in range(100_000))
    packed = gzip.compress(f"click,x\n{rows}".encode())
    path = tmp_path / "log.csv.gz"
    path.write_bytes(packed[: len(packed) // 2])
    schema, report = infer(path)
    assert schema.label == Label("click")
    assert 0 < report.rows < 100_000
    assert "The archive is damaged" in report.notes[0]


def test_only_the_first_rows_are_read(tmp_path):
    _, report = table(tmp_path, "click,x\n" + "1,a\n0,b\n" * 100, rows=20)
    assert report.rows == 20


WRONG = {
    "empty": ("", "`file` must hold at least one line."),
    "one column": ("click\n1\n0", "`file` must have columns divided by a tab"),
    "an open quote": ('"', "`file` must have columns divided by a tab"),
    "control characters": ("\0\x01", "`file` must be whole text, JSON lin"),
    "twice": ("x,x\n1,b\n2,d", "`file` must name each column once"),
    "texts": (
        "click,x\nabc,1\nd,1\ne,2",
        "`label` must be a column of",
    ),
    "only a label": (
        "click,x\n1,\n0,",
        "`file` must have a column that can be",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_refused(tmp_path, case):
    text, message = WRONG[case]
    label = "click" if case == "texts" else None
    with pytest.raises(ValueError, match=re.escape(message)):
        table(tmp_path, text, label=label)


def test_wrong_arguments_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="`file` must name a file that"):
        infer(tmp_path / "log.csv")
    with pytest.raises(ValueError, match=r"Did you mean 'click'\? Received"):
        table(tmp_path, "click,x\n1,a\n", label="clik")
    with pytest.raises(ValueError, match="`rows` must be an integer of at le"):
        table(tmp_path, "click,x\n1,a\n", rows=0)
    (tmp_path / "log.csv").write_bytes(gzip.compress(b"click,x\n1,a\n"))
    with pytest.raises(ValueError, match=r"Rename it to log\.csv\.gz"):
        infer(tmp_path / "log.csv")
    (tmp_path / "log.tfrecord").write_bytes(b"\1\0\0\0")
    with pytest.raises(ValueError, match=r"kind = 'tfrecord'.*a TFRecord file"):
        infer(tmp_path / "log.tfrecord")
