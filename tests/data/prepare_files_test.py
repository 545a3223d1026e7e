"""From files of any schema to batches, and against `criteo.prepare`."""

import random

import numpy as np
import pytest
from log_schema import TEXTS

from keras_pss import data
from keras_pss.data import criteo
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


def broken(lines):
    """Criteo's rows with missing fields, and broken ones among them."""
    draw = random.Random(7)
    for line in lines:
        fields = line.split(b"\t")
        for place in range(1, 40):
            if draw.random() < 0.1:
                fields[place] = b""
        chance = draw.random()
        if chance < 0.02:
            fields[draw.randrange(14, 40)] = b"xyz"
        elif chance < 0.04:
            fields[draw.randrange(1, 14)] = b"1.5"
        elif chance < 0.06:
            fields[0] = b"2"
        elif chance < 0.08:
            fields.pop()
        yield b"\t".join(fields)


@pytest.mark.parametrize("split", ["chronological", "random"])
def test_files_of_criteo(log, tmp_path, split):
    source = tmp_path / "log.tsv"
    source.write_bytes(b"\n".join(broken(log.read_bytes().splitlines())))
    by = {"chronological": "order", "random": "random"}[split]
    schema = Schema.load("criteo")
    schema = Schema(
        schema.features,
        label=schema.label,
        format=schema.format,
        split=Split(by, test=0.2, validation=0.1, seed=3),
    )
    wanted = criteo.prepare(
        source,
        tmp_path / "wanted",
        split=split,
        test_fraction=0.2,
        validation_fraction=0.1,
        split_seed=3,
    )
    found = data.prepare(source, tmp_path / "found", schema)
    assert sum(found.rejects.values()) == sum(wanted.rejects.values()) > 100
    assert found.splits == wanted.splits
    for part in wanted.splits:
        one, other = found.shards(part), wanted.shards(part)
        assert [p.read_bytes() for p in one] == [p.read_bytes() for p in other]
    (one,), (other,) = found.sources, wanted.metadata["sources"]
    assert (one["sha256"], one["rows"]) == (other["sha256"], other["rows"])


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
