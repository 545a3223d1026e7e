"""Drafts of schemas from files of every format."""

import gzip
import random
import tomllib

import polars as pl
import pytest

from keras_pss.data.infer_schema import infer
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.features import (
    Categorical,
    Dense,
    Format,
    Group,
    Label,
    MultiCategorical,
    Schema,
    Split,
    Timestamp,
)

ROWS = 1500
GENRES = ("Drama", "War", "Comedy", "Crime", "Sci-Fi")
WORDS = "the a red shop sells old green shoes to young people in many towns"


def log(seed=0):
    """Columns of a made-up shop, typed."""
    draw = random.Random(seed)
    views = [
        [draw.randint(1, 400) for _ in range(draw.randint(1, 8))]
        for _ in range(ROWS)
    ]
    return {
        "row_id": [10**18 + 7919 * i for i in range(ROWS)],
        "clicked": [int(draw.random() < 0.3) for _ in range(ROWS)],
        "clicked_at": [1_600_000_000 + 60 * i for i in range(ROWS)],
        "user_id": [draw.randint(1, 300) for _ in range(ROWS)],
        "item_id": [draw.randint(1, 400) for _ in range(ROWS)],
        "price": [round(draw.lognormvariate(3, 2), 2) for _ in range(ROWS)],
        "visits": [int(draw.expovariate(0.05) ** 2) for _ in range(ROWS)],
        "warmth": [round(draw.gauss(0, 9), 1) for _ in range(ROWS)],
        "weekdays": [draw.randint(1, 7) for _ in range(ROWS)],
        "zip": [f"{draw.randint(0, 99999):05}" for _ in range(ROWS)],
        "city": [f"city {draw.randint(1, 60)}" for _ in range(ROWS)],
        "hashed": [f"{draw.randrange(200) * 9999991:08x}" for _ in range(ROWS)],
        "genres": [
            draw.sample(GENRES, draw.randint(1, 3)) for _ in range(ROWS)
        ],
        "items_viewed": views,
        "seconds": [[round(draw.random(), 3) for _ in v] for v in views],
        "text": [
            " ".join(draw.choices(WORDS.split(), k=12)) for _ in range(ROWS)
        ],
        "nothing": [None] * ROWS,
    }


def joined(columns):
    """Lists as text, as CSV holds them."""
    return {
        name: [
            "|".join(map(str, v)) if isinstance(v, list) else v for v in values
        ]
        for name, values in columns.items()
    }


def write(path, kind):
    """The log in one of the formats."""
    if kind in ("parquet", "ipc", "ndjson"):
        rows = pl.DataFrame(log())
        if kind != "ndjson":  # Polars writes no column of nulls to IPC
            rows = rows.with_columns(pl.col("nothing").cast(pl.String))
        getattr(rows, f"write_{kind}")(path)
        return
    columns = joined(log())
    lines = [kind.join(columns)] + [
        kind.join("" if v is None else str(v) for v in row)
        for row in zip(*columns.values(), strict=True)
    ]
    text = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("log.csv", ","),
        ("log.csv.gz", ","),
        ("log.tsv", "\t"),
        ("log.txt", ";"),
        ("log.data", ", "),
        ("log.dat", "::"),
        ("log[1].parquet", "parquet"),
        ("log[1].arrow", "ipc"),
        ("log.json", "ndjson"),
    ],
)
def test_every_format_gives_the_same_features(tmp_path, name, kind):
    write(tmp_path / name, kind)
    schema, report = infer(tmp_path / name)
    text = kind not in ("parquet", "ipc", "ndjson")
    inner = "|" if text else None
    assert schema.features == (
        Categorical("user_id", dtype="integer"),
        Categorical("item_id", dtype="integer"),
        Dense("price", transform="log1p"),
        Dense("visits", dtype="integer", transform="log1p"),
        Dense("warmth", transform="standard"),
        Categorical("weekdays", dtype="integer"),
        Categorical("zip"),
        Categorical("city"),
        Categorical("hashed", dtype="hex"),
        MultiCategorical("genres", separator=inner, max_length=3),
        MultiCategorical(
            "items_viewed",
            dtype="integer",
            separator=inner,
            max_length=8,
            table="item_id",
            weights="seconds",
        ),
    )
    assert schema.label == Label("clicked")
    hours = ("hour", "weekday", "weekend")
    assert schema.timestamp == Timestamp("clicked_at", "epoch_s", hours)
    assert schema.group == Group("user_id")
    assert schema.keys == ("row_id",)
    assert schema.split == Split("order")
    if text:
        assert schema.format.separator == kind
    else:
        assert schema.format == Format(kind)
    assert tuple(row.column for row in report.columns) == tuple(log())
    if text:
        reader = LogReader(tmp_path / name, schema, strict=True)
        assert sum(map(len, reader)) == ROWS
    assert Schema.from_dict(tomllib.loads(schema.to_toml())) == schema


def test_the_report_says_why(tmp_path):
    write(tmp_path / "log.csv", ",")
    _, report = infer(tmp_path / "log.csv")
    rows = {row.column: row for row in report.columns}
    assert rows["zip"].why == "leading zeros, which integers would lose"
    assert rows["row_id"].decision == "key"
    assert rows["text"].decision == "left out"
    assert rows["nothing"].missing == 1
    assert rows["seconds"].decision == "weights"
    assert rows["items_viewed"].decision == "multi, table item_id"
    assert rows["user_id"].decision == "categorical integer, group"
    assert rows["weekdays"].distinct == 7
    assert len(rows["city"].examples) == 3
    shown = " ".join(str(report).split())
    assert "1,500 rows read, separator ',', with a header" in shown
    for row in report.columns:
        assert row.column[:8] in shown
