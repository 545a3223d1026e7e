"""From files of any schema to batches."""

import random

import numpy as np
import pytest
from log_schema import TEXTS

from keras_pss import data
from keras_pss.data.readers.block import BrokenRowError
from keras_pss.features import (
    Categorical,
    Dense,
    Label,
    MultiCategorical,
    Schema,
    Split,
)

SCHEMA = Schema(
    [
        Dense("price", transform="log1p"),
        Categorical("item"),
        MultiCategorical("seen", separator="|", max_length=3, table="item"),
    ],
    label=Label("clicked"),
    split=Split(test=0.25, validation=0),
)
CSV = """item,clicked,price,seen
a,1,3,b|a|c|d
b,0,,
a,x,1,a
,1,0.5,a||b
c,1,2,c
"""


def test_a_csv_file(tmp_path):
    source = tmp_path / "log.csv"
    source.write_text(CSV)
    log = data.prepare(source, tmp_path / "out", SCHEMA)
    assert sum(log.rejects.values()) == 1
    assert (tmp_path / "out" / "rejects.tsv").read_bytes().count(b"\n") == 1
    # a: 1 + 2, b: 1 + 2, then c and "", once each.
    assert log.vocabulary("item").to_list() == ["a", "b", "", "c"]
    assert log.column("train", "item").tolist() == [1, 2, 3]
    seen = [[2, 1, 4], [-1, -1, -1], [1, 2, -1]]
    assert log.column("train", "seen").tolist() == seen
    assert log.column("train", "price").tolist() == [3, 0, 0.5]
    assert log.column("test", "seen").tolist() == [[4, -1, -1]]
    assert (log.clicks("train"), log.rows("train")) == (2, 3)
    (entry,) = log.sources
    assert (entry["name"], entry["rows"]) == ("log.csv", 4)
    with pytest.raises(BrokenRowError, match=r"log\.csv:4"):
        data.prepare(source, tmp_path / "strict", SCHEMA, strict=True)
    assert not (tmp_path / "strict").exists()


@pytest.mark.tf_only
def test_batches_of_a_csv_file(tmp_path):
    source = tmp_path / "log.csv"
    source.write_text(CSV)
    log = data.prepare(source, tmp_path / "out", SCHEMA)
    ((features, label),) = data.dataset(log, batch_size=9, shuffle=False)
    np.testing.assert_allclose(
        features["dense"], np.log1p([[3], [0], [0.5]]), 1e-6
    )
    assert features["categorical"].numpy().tolist() == [[1], [2], [3]]
    assert label.numpy().tolist() == [1, 0, 1]


def test_texts_that_confuse_survive(tmp_path):
    import polars as pl

    source = tmp_path / "log.parquet"
    pl.DataFrame({"x": TEXTS}).write_parquet(source)
    schema = Schema([Categorical("x")], split=Split(test=0, validation=0))
    log = data.prepare(source, tmp_path / "out", schema)
    wanted = sorted(TEXTS, key=str.encode)
    assert log.vocabulary("x").to_list() == wanted
    assert log.column("train", "x").tolist() == [
        wanted.index(text) + 1 for text in TEXTS
    ]


def test_avazu(tmp_path):
    names = (
        "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,"
        "app_id,app_domain,app_category,device_id,device_ip,device_model,"
        "device_type,device_conn_type,C14,C15,C16,C17,C18,C19,C20,C21"
    )
    hours = [14102100 + 100 * (i % 10) + i % 24 for i in range(200)]
    lines = [
        f"{i},{i % 2},{hour}," + ",".join(["a", f"{i % 7}"] + ["x"] * 19)
        for i, hour in enumerate(hours)
    ]
    source = tmp_path / "train"
    source.write_text("\n".join([names, *lines]))
    log = data.prepare(source, tmp_path / "out", "avazu")
    log.verify()
    assert len(log.cardinalities) == 24
    # The latest day tests, whatever the order of the file.
    latest = [i for i, h in enumerate(hours) if h // 100 == 141030]
    assert log.rows("test") == len(latest) == 20
    labels = [i % 2 for i in latest]
    assert log.column("test", "label").tolist() == labels
    texts = log.vocabulary("hour").to_list()
    ids = [1 + texts.index(str(hours[i] % 100)) for i in latest]
    assert log.column("test", "hour").tolist() == ids
    assert set(log.vocabulary("weekend")) == {"0", "1"}


def test_movielens(tmp_path):
    draw = random.Random(2)
    rows = [
        (user, draw.randrange(50), draw.choice([3, 4.5]), draw.randrange(10**9))
        for user in range(1, 7)
        for _ in range(20)
    ]
    draw.shuffle(rows)
    source = tmp_path / "ratings.dat"
    source.write_text("".join("::".join(map(str, row)) + "\n" for row in rows))
    log = data.prepare(source, tmp_path / "out", "movielens_1m")
    log.verify()
    assert [log.rows(s) for s in log.splits] == [60, 30, 30]
    latest = []
    for user in range(1, 7):
        mine = sorted((r[3], i) for i, r in enumerate(rows) if r[0] == user)
        latest += [i for _, i in mine[-5:]]
    wanted = [rows[i] for i in sorted(latest)]
    assert log.column("test", "label").tolist() == [r[2] > 4 for r in wanted]
    users = log.vocabulary("userId").to_list()
    found = [users[at - 1] for at in log.column("test", "userId")]
    assert found == [str(r[0]) for r in wanted]
    order = list(dict.fromkeys(row[0] for row in rows))
    groups = log.column("test", "group").tolist()
    assert groups == [order.index(r[0]) for r in wanted]


def test_a_broken_archive_is_told(tmp_path, caplog):
    import gzip

    lines = ["item,clicked,price,seen"]
    lines += [f"{i},{i % 2},{i},a|b" for i in range(20_000)]
    packed = gzip.compress("\n".join(lines).encode())
    source = tmp_path / "log.csv.gz"
    source.write_bytes(packed[: len(packed) // 2])
    calls = []
    log = data.prepare(
        source,
        tmp_path / "out",
        SCHEMA,
        progress=lambda *call: calls.append(call),
    )
    assert log.incomplete == ["log.csv.gz"]
    assert "log.csv.gz is truncated or corrupt; its rest is missing" in (
        caplog.text
    )
    rows = sum(log.rows(split) for split in log.splits)
    assert 1_000 < rows < 19_000
    assert log.column("train", "price")[:3].tolist() == [0, 1, 2]
    done, total, _ = [call for call in calls if call[2] == "read"][-1]
    assert done == total == source.stat().st_size
