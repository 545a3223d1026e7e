"""Parquet, Arrow, NDJSON and TFRecord files, and files that are refused."""

import gzip
import json
from datetime import datetime

import polars as pl
import pytest

from keras_pss.data.readers import reasons as why
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.data.readers.reasons import BAD_ARCHIVE
from keras_pss.features import (
    Categorical,
    Dense,
    Format,
    Label,
    MultiCategorical,
    Schema,
    Timestamp,
)

ROWS = [
    {
        "y": 1,
        "a": "x",
        "n": 7,
        "f": 0.5,
        "l": ["p", None, "q"],
        "v": [1.0, 2.0],
    },
    {"y": 0, "a": None, "n": -(2**63), "f": None, "l": [], "v": None},
    {
        "y": 1,
        "a": "é\n,",
        "n": 2**63 - 1,
        "f": -1e300,
        "l": None,
        "v": [3.0, 4.0],
    },
]
TYPES = {
    "y": pl.Int8,
    "a": pl.String,
    "n": pl.Int64,
    "f": pl.Float64,
    "l": pl.List(pl.String),
    "v": pl.List(pl.Float64),
}
SCHEMA = Schema(
    [
        Categorical("a"),
        Categorical("n", dtype="integer"),
        Dense("whole", column="n", dtype="integer"),
        Dense("f"),
        MultiCategorical("l", max_length=3),
        Dense("v", size=2),
    ],
    label=Label("y"),
)
VALUES = [
    {
        "label": row["y"],
        "a": row["a"] or "",
        "n": str(row["n"]),
        "whole": row["n"],
        "f": row["f"],
        "v": row["v"],
        "l": [x for x in row["l"] or [] if x],
    }
    for row in ROWS
]


def write_tfrecord(path, rows, compression=""):
    import tensorflow as tf

    def feature(value):
        values = value if isinstance(value, list) else [value]
        values = [v for v in values if v is not None]
        if any(isinstance(v, str | bytes) for v in values):
            values = [v.encode() if isinstance(v, str) else v for v in values]
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if any(isinstance(v, float) for v in values):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        if values:
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        return tf.train.Feature()

    with tf.io.TFRecordWriter(str(path), compression) as file:
        for row in rows:
            features = {k: feature(v) for k, v in row.items()}
            example = tf.train.Example(
                features=tf.train.Features(feature=features)
            )
            file.write(example.SerializeToString())


def write(path, rows, types=TYPES):
    kind = path.name.partition(".")[2]
    if kind == "parquet":
        pl.DataFrame(rows, schema=types).write_parquet(path)
    elif kind == "arrow":
        pl.DataFrame(rows, schema=types).write_ipc(path)
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif kind == "jsonl.gz":
        text = "\n".join(json.dumps(r, ensure_ascii=False) for r in rows)
        path.write_bytes(gzip.compress(text.encode() + b"\n"))
    else:
        write_tfrecord(path, rows, "GZIP" if kind.endswith("gz") else "")


def read(path, schema=SCHEMA, **settings):
    reader = LogReader(path, schema, **settings)
    blocks = list(reader)
    rows = [row for block in blocks for row in block.rows.to_dicts()]
    rejects = [r for block in blocks for r in block.rejects]
    (source,) = reader.sources
    assert source.lines == len(rows) + len(rejects) - (not source.complete)
    assert source.sha256
    assert reader.bytes_done == reader.bytes_total
    return rows, [(r.line, r.reason, r.column) for r in rejects]


@pytest.mark.parametrize(
    "kind", ["parquet", "arrow", "jsonl", "jsonl.gz", "tfrecord", "tfrecord.gz"]
)
@pytest.mark.parametrize("block", [1, 2, 100_000])
def test_all_formats_give_the_same_rows(tmp_path, kind, block):
    path = tmp_path / f"log.{kind}"
    rows = [dict(row) for row in ROWS]
    expected = [dict(row) for row in VALUES]
    if "tfrecord" in kind:  # its numbers are of 32 bits
        rows[2]["f"], expected[2]["f"] = -1.5, -1.5
    write(path, rows)
    found, rejects = read(path, block_bytes=block, block_rows=block)
    assert found == expected
    assert rejects == []


def test_a_name_is_not_needed_where_the_content_says_it(tmp_path):
    write(tmp_path / "a.parquet", ROWS)
    path = (tmp_path / "a.parquet").rename(tmp_path / "part-0")
    assert read(path)[0] == VALUES


def test_types_of_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    schema = Schema(
        [
            Categorical("u"),
            Categorical("w", dtype="integer"),
            Categorical("e"),
            Dense("d"),
        ],
        label=Label("b"),
        timestamp=Timestamp("t", features=("hour",)),
    )
    pl.DataFrame(
        {
            "u": pl.Series([2**64 - 1, 5, None, 7], dtype=pl.UInt64),
            "w": [1.0, float("nan"), 2.5, 1e30],
            "e": pl.Series(["p", "q", "p", "q"], dtype=pl.Categorical),
            "d": pl.Series(["1.25", "2", "3", "4"]).cast(pl.Decimal(9, 2)),
            "b": [True, False, True, False],
            "t": [datetime(2020, 1, 2, 3)] * 4,
        }
    ).write_parquet(path)
    rows, rejects = read(path, schema)
    moment = 1_577_934_000 * 10**6
    assert rows == [
        {"label": 1, "u": str(2**64 - 1), "w": "1", "e": "p"}
        | {"hour": "3", "d": 1.25, "time": moment},
        {"label": 0, "u": "5", "w": "", "e": "q"}
        | {"hour": "3", "d": 2.0, "time": moment},
    ]
    assert rejects == [
        (3, why.BAD_INTEGER, "w"),
        (4, why.TOO_LARGE, "w"),
    ]


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl", "tfrecord"])
def test_a_column_that_a_file_lacks(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "csv":
        path.write_text("city,price\nx,1\n")
    else:
        types = {"city": pl.String, "price": pl.Int64}
        write(path, [{"city": "x", "price": 1}], types)
    with pytest.raises(
        ValueError, match=r"no 'prize'\. Did you mean 'price'\?.*'city'"
    ):
        read(path, Schema([Categorical("prize")]))


def test_lines_that_are_no_objects(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"n": 1, "l": ["a"]}\n'
        b'{"n": 2, "l": "a"}\n'
        b'{"n": [2], "l": null}\n'
        b"\n"
        b'{"n": 3, "n": 4}\r\n'
        b'{"n": 5,}\n'
        b"[1]\n"
        b'{"n": "x\xff"}\n'
        b'{"n": "\\ud800"}\n'
        b'{"n": 1.5}\n'
        b'{"n": 2.0, "l": [1, true, 2.5, {}]}\n'
        b'{"n": 1e2, "l": [1, true, 2.5]}'
    )
    schema = Schema(
        [Dense("n", dtype="integer"), MultiCategorical("l", max_length=9)]
    )
    rows, rejects = read(path, schema)
    assert rows == [
        {"n": 1, "l": ["a"]},
        {"n": 3, "l": []},
        {"n": 100, "l": ["1", "true", "2.5"]},
    ]
    assert rejects == [
        (2, why.WRONG_TYPE, "l"),
        (3, why.WRONG_TYPE, "n"),
        (4, why.NOT_JSON, ""),
        (6, why.NOT_JSON, ""),
        (7, why.NOT_JSON, ""),
        (8, why.NOT_UTF8, ""),
        (9, why.NOT_UTF8, ""),
        (10, why.BAD_INTEGER, "n"),
        (11, why.WRONG_TYPE, "l"),
    ]
    for size in (1, 30, 100):
        assert read(path, schema, block_bytes=size) == (rows, rejects)


def test_records_that_are_rejected(tmp_path):
    path = tmp_path / "a.tfrecord"
    rows = [{"a": "x"}, {"a": ["x", "y"]}, {"a": b"\xff"}, {"a": 3}, {"a": "z"}]
    write_tfrecord(path, rows)
    found, rejects = read(path, Schema([Categorical("a")]))
    assert found == [{"a": "x"}, {"a": "z"}]
    assert rejects == [
        (2, why.MANY_VALUES, "a"),
        (3, why.NOT_UTF8, "a"),
        (4, why.NOT_EXAMPLE, ""),
    ]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "tfrecord"])
def test_damaged_files(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    types = {"a": pl.String}
    write(path, [{"a": str(i)} for i in range(100)], types)
    path.write_bytes(path.read_bytes()[:-20])
    rows, rejects = read(path, Schema([Categorical("a")]), block_rows=7)
    assert rows == [{"a": str(i)} for i in range(len(rows))]
    assert len(rows) == (99 if kind == "tfrecord" else 0)
    assert rejects == [(len(rows) + 1, BAD_ARCHIVE, "")]


def test_times(tmp_path):
    path = tmp_path / "a.csv"
    texts = {
        None: [
            "2020-01-02T03:04:05Z",
            "2020-01-02 03:04:05",
            "2020-01-02T03:04:05",
        ],
        "%d/%m/%Y %H:%M:%S": ["02/01/2020 03:04:05"],
        "epoch_ms": ["1577934245000"],
    }
    for form, stamps in texts.items():
        path.write_text("\n".join(["t", *stamps]))
        schema = Schema(
            [], timestamp=Timestamp("t", form, features=("weekday",))
        )
        rows, rejects = [], []
        for block in LogReader(path, schema):
            rows += block.rows.to_dicts()
            rejects += block.rejects
        moment = {"weekday": "4", "time": 1_577_934_245 * 10**6}
        assert rows == [moment] * len(stamps)
        assert rejects == []


@pytest.mark.parametrize("kind", ["parquet", "ndjson", "tfrecord"])
def test_damage_in_a_file_with_lists(tmp_path, kind):
    schema = Schema(
        [MultiCategorical("m", max_length=2), Dense("v", size=2)],
        format=Format(kind=kind),
    )
    path = tmp_path / ("a.json.gz" if kind == "ndjson" else "a.parquet")
    frame = pl.DataFrame({"m": [["x"], []], "v": [[1.0, 2.0]] * 2})
    if kind == "ndjson":
        text = frame.write_ndjson().encode() * 500
        path.write_bytes(gzip.compress(text, 0)[:-2_000])
    elif kind == "tfrecord":
        path.write_bytes(b"damaged" * 9)
    else:
        frame.write_parquet(path)
        path.write_bytes(path.read_bytes()[:-9])
    reader = LogReader(path, schema)
    rows = sum(len(block) for block in reader)
    assert (rows > 900) == (kind == "ndjson")
    assert reader.rejects == {BAD_ARCHIVE: 1}
