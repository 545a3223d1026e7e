"""Datasets of TFDS are read as files are: the same values, nothing dropped."""

import hashlib
import sys
from pathlib import Path

import polars as pl
import pytest
import tensorflow_datasets as tfds
import tfds_kinds

from keras_pss import data
from keras_pss.data.infer_schema import infer
from keras_pss.data.locate import locate
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.data.readers.tfds import batches
from keras_pss.data.readers.tfds.columns import frames
from keras_pss.data.readers.tfds.split_source import TFDSSplit, split_sources
from keras_pss.features import (
    Categorical,
    Dense,
    Label,
    MultiCategorical,
    Schema,
    Split,
)

pytestmark = [pytest.mark.tf_only, pytest.mark.usefixtures("tfds_dir")]

NAME = "tfds:kinds_of_features"
SCHEMA = Schema(
    [
        Dense("price"),
        Dense("count", dtype="integer"),
        Categorical("member"),
        Categorical("city"),
        Categorical("user"),
        Categorical("shelf", dtype="integer"),
        MultiCategorical("viewed", dtype="integer", max_length=9),
        MultiCategorical("friends", max_length=9),
        Dense("vector", size=3),
    ],
    label=Label("clicked"),
    split=Split("column", column="tfds_split", values={"test": "test"}),
)


def values(number, split):
    """Row `number` of a split as values."""
    row = tfds_kinds.row(number)
    return {
        "label": row["clicked"],
        "price": row["price"],
        "count": row["count"],
        "member": str(row["member"]).lower(),
        "city": row["city"],
        "user": row["user"] or "",
        "shelf": "" if row["shelf"] is None else str(row["shelf"]),
        "viewed": [str(each) for each in row["viewed"]],
        "friends": row["friends"],
        "vector": row["vector"],
        "split": split,
    }


def test_every_kind_of_feature_is_read_in_order():
    reader = LogReader(NAME, SCHEMA, block_rows=64)
    found = [row for block in reader for row in block.rows.to_dicts()]
    wanted = [
        values(number, split)
        for split in ("train", "test", "extra")
        for number in range(tfds_kinds.SPLITS[split])
    ]
    assert found == [{k: row[k] for k in found[0]} for row in wanted]
    assert found[0].keys() == wanted[0].keys()
    assert not reader.rejects
    assert reader.bytes_done == reader.bytes_total > 0


def test_a_part_is_read_in_tfds_own_syntax():
    reader = LogReader(f"{NAME}:1.2.0[train[10:12]+extra[:50%]]", SCHEMA)
    found = [row["count"] for block in reader for row in block.rows.to_dicts()]
    assert found == [5, 6, *range(-5, 5)]
    assert [source.name for source in reader.sources] == [
        "kinds_of_features:1.2.0[train[10:12]]",
        "kinds_of_features:1.2.0[extra[:50%]]",
    ]


@pytest.mark.parametrize(
    ("parts", "shared"),
    [
        (["[test]", "[extra+test]"], True),
        (["[train[:50%]+train[99:]]"], True),
        (["[train[10:12]]", "[train]"], True),
        (["[train[:50%]+train[100:]]", "[test]"], False),
        (["[train[3:3]+train]"], False),
    ],
)
def test_no_row_is_read_twice(parts, shared):
    names = [NAME + part for part in parts]
    if shared:
        with pytest.raises(ValueError, match="must name each row once"):
            LogReader(names, SCHEMA)
    else:
        assert LogReader(names, SCHEMA).sources


def test_a_dataset_is_prepared_by_its_own_splits(tmp_path):
    log = data.prepare(NAME, tmp_path / "out", SCHEMA)
    assert log.rows("train") == 220  # the split "extra" trains
    assert log.rows("test") == 30
    source = log.sources[1]
    assert source["name"] == "kinds_of_features:1.2.0[test]"
    assert source["rows"] == source["lines"] == 30
    builder = tfds.builder("kinds_of_features")
    digest = hashlib.sha256()
    for path in builder.info.splits["test"].filepaths:
        digest.update(path.read_bytes())
    assert source["sha256"] == digest.hexdigest()
    features, label = next(iter(data.dataset(log, "test", batch_size=30)))
    assert features["viewed"].shape == (30, 9)
    assert label.numpy().tolist() == [n % 2 for n in range(30)]


def test_rows_that_cannot_be_read_are_rejected():
    schema = Schema([Categorical("city")], label=Label("user", "Ann", "Bo"))
    reader = LogReader(f"{NAME}[test]", schema)
    rows = sum(len(block) for block in reader)
    missing = sum(tfds_kinds.row(n)["user"] is None for n in range(30))
    others = sum(tfds_kinds.row(n)["user"] == "Cy" for n in range(30))
    assert rows == 30 - missing - others
    assert sum(reader.rejects.values()) == missing + others
    assert "kinds_of_features:1.2.0[test]:1:" in str(reader.first_reject)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("picture", r"Leave 'picture' out of the schema.*\(2, 2\)"),
        ("place", "Leave 'place' out of the schema"),
        ("visits", "Leave 'visits' out of the schema"),
        ("citi", "has no 'citi'. Did you mean 'city'"),
        ("viewed", "Declare it as MultiCategorical"),
    ],
)
def test_a_feature_that_cannot_be_read(name, message):
    reader = LogReader(NAME, Schema([Categorical(name)]))
    with pytest.raises(ValueError, match=message):
        next(iter(reader))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tfds:kinds_of_feature", "Near names: kinds_of_features"),
        ("tfds:qqqqqq", "Check its name"),
        ("tfds:avazu/tinny", "Near names: tiny.* the configs full, tiny"),
        ("tfds:avazu/tiny:7.0.0", "must have the version"),
        ("tfds:kinds_of_features[tran]", "has test, train, extra; slices"),
        ("tfds:", "must be named as tfds:NAME"),
        ("tfds:huggingface:x/y", "must be named as tfds:NAME"),
    ],
)
def test_a_name_that_is_not_there(name, message):
    with pytest.raises(ValueError, match=message):
        LogReader(name, SCHEMA)


def test_a_log_that_is_not_downloaded_says_how(tmp_path):
    with pytest.raises(ValueError, match=r"Download train.gz of the Click"):
        LogReader("tfds:avazu/full", SCHEMA)


@pytest.mark.parametrize(
    "use",
    [
        lambda out: LogReader(NAME, SCHEMA),
        lambda out: infer(NAME),
        lambda out: data.prepare(NAME, out, SCHEMA),
        lambda out: locate(NAME, out),
        lambda out: locate(NAME, out, schema="avazu"),
    ],
    ids=["read", "infer", "prepare", "locate", "locate with a schema"],
)
def test_tfds_that_is_not_installed(use, monkeypatch, tmp_path):
    for name in list(sys.modules):
        if f"{name}.".startswith("keras_pss.data.tfds."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match=r"pip install 'keras-pss\[tfds\]'"):
        use(tmp_path / "out")


def test_a_draft_takes_the_flat_features_and_the_splits():
    schema, report = infer(NAME, "clicked")
    assert schema.split == Split(
        "column", column="tfds_split", values={"test": ("test",)}
    )
    assert schema.title == f"Draft of {NAME}"
    assert report.rows == 250
    assert schema["user"].dtype == "string"
    assert isinstance(schema["friends"], MultiCategorical)
    notes = " ".join(report.notes)
    assert "picture, place, visits is left out" in notes
    # What it drafts can be read.
    rows = sum(len(block) for block in LogReader(NAME, schema))
    assert rows == 250


def test_a_run_prepares_its_dataset_once(tmp_path):
    found = locate("tfds:avazu/tiny", tmp_path)
    assert found.prepared.rows("test") == 240
    assert found.name == ("avazu/tiny:1.0.0[train] to avazu/tiny:1.0.0[test]")
    assert locate("tfds:avazu/tiny", tmp_path).prepared is None
    with pytest.raises(ValueError, match="from another log"):
        locate("tfds:avazu/tiny[train+test]", tmp_path)
    told = locate("tfds:avazu/tiny", tmp_path, settings={"min_count": 2})
    assert "not with the recipe's min_count=2" in told.differences[0]
    with pytest.raises(ValueError, match="schema infer 'tfds:kinds_of_feat"):
        locate(NAME, tmp_path / "other")


@pytest.mark.parametrize("log", ["criteo_kaggle", "criteo_terabyte"])
def test_missing_integers_of_criteo_are_missing(log):
    schema = Schema.load("criteo")
    reader = LogReader(f"tfds:{log}/tiny[test]", schema)
    (block,) = reader
    assert block.rows["I1"].null_count() > 0
    assert block.rows["I1"].min() >= -3


def test_whole_batches_are_what_tfds_gives_row_by_row(monkeypatch):
    names = ("count", "member", "city", "shelf", "viewed", "friends", "vector")
    (source,) = split_sources(f"{NAME}[train[3:150]]")
    fast = pl.concat(frames(source, names, 64))
    monkeypatch.setattr(batches, "_is_plain", lambda feature: False)
    slow = pl.concat(frames(source, names, 64))
    assert fast.equals(slow)
    assert fast.schema == slow.schema
    assert fast.height == 147
    # No feature needs to be asked for.
    assert pl.concat(frames(source, ["tfds_split"], 64)).height == 147


@pytest.mark.parametrize("damage", [b"", b"damaged" * 9])
def test_a_damaged_file_is_an_error(damage, tfds_dir, tmp_path):
    builder = tfds.builder("kinds_of_features", data_dir=tmp_path)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
    (path,) = builder.info.splits["test"].filepaths
    path.write_bytes(path.read_bytes()[:-60] + damage)
    source = TFDSSplit(Path(f"{NAME}[test]"), builder, "test")
    with pytest.raises(ValueError, match=r"again. Received: \d+ of 30 rows"):
        list(frames(source, ["price"], 5))
