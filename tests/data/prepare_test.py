"""Criteo's log: ids, parts, records, rejects and their options."""

import hashlib
import json
import math
from collections import Counter

import numpy as np
import pytest

from keras_pss.data import criteo
from keras_pss.data.criteo.preset import options_of
from keras_pss.data.encoders.hashed_texts import hash_texts
from keras_pss.data.readers.reasons import BAD_HEX, WRONG_FIELDS
from keras_pss.data.storage.splits import split_rows
from keras_pss.features import Split


def records(prepared, split):
    return np.concatenate(
        [np.fromfile(p, "<i4").reshape(-1, 40) for p in prepared.shards(split)]
    )


def test_vocabulary_and_records(prepared, rows):
    """Every record against a `Counter` of the rows that are not for testing."""
    num_test = math.ceil(len(rows.labels) / 7)
    develop = len(rows.labels) - num_test
    assert prepared.rows("test") == num_test
    assert prepared.rows("validation") == math.ceil(develop * 0.1)
    got = np.concatenate([records(prepared, s) for s in prepared.splits])
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got[:, 0], rows.labels)
    np.testing.assert_array_equal(got[:, 1:14], rows.integers)
    for column in range(26):
        raw = rows.categories[:, column].tolist()
        counter = Counter(raw[:develop])
        kept = [v for v, n in counter.items() if n >= 2]
        kept.sort(key=lambda v: (-counter[v], v))
        ids = {v: i + 1 for i, v in enumerate(kept)}
        assert got[:, 14 + column].tolist() == [ids.get(v, 0) for v in raw]
        assert prepared.cardinalities[column] == len(kept) + 1
        counts = prepared.counts(criteo.CATEGORIES[column])
        assert counts.sum() == develop
        assert counts[1:].tolist() == [counter[v] for v in kept]
        texts = prepared.vocabulary(criteo.CATEGORIES[column])
        assert texts.to_list() == [f"{value:08x}" for value in kept]


def test_metadata(prepared, log, rows):
    again = criteo.load(str(prepared.directory))
    assert again == prepared
    again.verify()
    content = json.loads((prepared.directory / "metadata.json").read_text())
    assert content["format"] == "keras_pss.log"
    assert [c["name"] for c in content["layout"]] == list(criteo.COLUMNS)
    assert {c["dtype"] for c in content["layout"]} == {"int32"}
    (source,) = content["sources"]
    digest = hashlib.sha256(log.read_bytes()).hexdigest()
    assert source["name"] == "log.tsv"
    assert (source["sha256"], source["rows"]) == (digest, len(rows.labels))
    assert content["rejects"] == {}
    for split in prepared.splits:
        shards = content["splits"][split]["shards"]
        assert [s["rows"] for s in shards[:-1]] == [700] * (len(shards) - 1)
        clicks = int(records(prepared, split)[:, 0].sum())
        assert prepared.clicks(split) == clicks
    assert not (prepared.directory / "rejects.tsv").exists()
    assert len(list(prepared.directory.iterdir())) == 2 + sum(
        len(prepared.shards(s)) for s in prepared.splits
    )


def test_hash_policy_and_random_split(log, rows, tmp_path):
    import polars as pl

    stages = []
    data = criteo.prepare(
        log,
        tmp_path / "out",
        ids="hash",
        hash_buckets=50,
        split="random",
        test_fraction=0.1,
        validation_fraction=0.2,
        progress=lambda *call: stages.append(call),
    )
    assert data.cardinalities == [50] * 26
    parts = split_rows(len(rows.labels), "random", 0.1, 0.2, 2020)
    for split, index in parts.items():
        got = records(data, split)
        np.testing.assert_array_equal(got[:, 0], rows.labels[index])
        for column in range(26):
            raw = rows.categories[index, column].tolist()
            texts = pl.Series([f"{value:08x}" for value in raw])
            np.testing.assert_array_equal(
                got[:, 14 + column], hash_texts(texts, 50)
            )
    for stage in ("read", "write"):
        done, total, _ = [s for s in stages if s[2] == stage][-1]
        assert done == total
    with pytest.raises(ValueError, match=r"`counts`.*ids='vocabulary'"):
        data.counts("C1")


def test_open_hash_has_no_cardinalities(log, tmp_path):
    data = criteo.prepare(log, tmp_path / "out", ids="hash", split="none")
    assert data.cardinalities == [None] * 26
    assert data.splits == ["train"]
    assert data.rows("test") == data.clicks("test") == 0
    with pytest.raises(ValueError, match=r"one of train.*split='test'"):
        data.shards("test")


def test_rejects_are_written(log, tmp_path):
    lines = log.read_bytes().splitlines()[:20]
    lines[3] = b"too\tfew"
    lines[7] = lines[7] + b"x"
    source = tmp_path / "broken.tsv"
    source.write_bytes(b"\n".join(lines))
    data = criteo.prepare(source, tmp_path / "out")
    assert data.rejects == {WRONG_FIELDS: 1, BAD_HEX: 1}
    assert sum(data.rows(s) for s in data.splits) == 18
    text = (tmp_path / "out" / "rejects.tsv").read_bytes()
    name = str(source).encode()
    assert text == b"".join(
        name + tail + b"\n"
        for tail in (
            b"\t4\twrong number of fields\t\ttoo\tfew",
            b"\t8\tnot 1 to 8 hex digits\tC26\t" + lines[7],
        )
    )
    with pytest.raises(
        criteo.BrokenRowError,
        match=r"broken\.tsv:4: wrong number .*expected 40, found 2",
    ):
        criteo.prepare(source, tmp_path / "strict", strict=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.tsv", "out"]


def test_rejects_are_capped_and_all_counted(log, tmp_path, monkeypatch):
    import zstandard

    monkeypatch.setattr("keras_pss.data.storage.rejects.MAX_REJECTS", 100)
    packed = zstandard.ZstdCompressor().compress(b"\n" * 20_000)
    source = tmp_path / "a.tsv.zst"
    long = b"x" * 10_000 + b"\n"
    source.write_bytes(
        zstandard.ZstdCompressor().compress(long + log.read_bytes()) + packed
    )
    data = criteo.prepare(source, tmp_path / "out", ids="hash")
    assert data.rejects == {WRONG_FIELDS: 20_001}
    lines = (tmp_path / "out" / "rejects.tsv").read_bytes().split(b"\n")
    assert len(lines) == 100 + 1
    assert lines[0].endswith(b"\t" + b"x" * 4096)
    assert len(lines[0]) < 4096 + 1000


@pytest.mark.parametrize(
    ("options", "split"),
    [
        ({}, Split()),
        ({"split": "none", "test_fraction": 0.5}, Split(test=0, validation=0)),
        (
            {
                "split": "random",
                "test_fraction": 0.2,
                "validation_fraction": 0.3,
                "split_seed": 7,
            },
            Split("random", test=0.2, validation=0.3, seed=7),
        ),
    ],
)
@pytest.mark.parametrize(
    "ids", [{"min_count": 3}, {"ids": "hash", "hash_buckets": 9}]
)
def test_a_schema_has_the_options(options, split, ids):
    schema = criteo.schema(**options, **ids)
    assert schema.split == split
    for name in criteo.CATEGORIES:
        assert schema[name].ids == ids.get("ids", "vocabulary")
        assert schema[name].min_count == ids.get("min_count", 1)
        assert schema[name].buckets == ids.get("hash_buckets")
    found = options_of(schema)
    for name, value in (ids | options).items():
        if options.get("split") != "none" or name != "test_fraction":
            assert found[name] == value
    assert criteo.schema(**found) == schema


def test_argument_errors(log, tmp_path):
    for arguments, message in (
        ({"ids": "words"}, r"`ids` must be.*ids='words'"),
        ({"hash_buckets": 5}, r"`hash_buckets`.*Pass ids='hash'"),
        ({"ids": "hash", "min_count": 2}, r"`min_count`.*min_count=2"),
        ({"ids": "hash", "hash_buckets": 0}, r"hash_buckets=0\. Pass None"),
        ({"min_count": 0}, r"`min_count`.*at least 1"),
        ({"rows_per_shard": 0}, r"`rows_per_shard`.*at least 1"),
        ({"split": "x"}, r"`split` must be one of"),
        ({"test_fraction": 1}, r"`test_fraction` must lie in"),
    ):
        with pytest.raises(ValueError, match=message):
            criteo.prepare(log, tmp_path / "out", **arguments)
    assert not list(tmp_path.iterdir())


def test_integers_beyond_32_bits_are_clipped(log, tmp_path):
    """A record holds 32-bit integers whatever a single row says."""
    lines = log.read_bytes().splitlines()
    fields = lines[1].split(b"\t")
    fields[1:4] = b"2147483647", b"2147483648", b"-9999999999"
    source = tmp_path / "a.tsv"
    source.write_bytes(b"\n".join([lines[0], b"\t".join(fields)]))
    data = criteo.prepare(source, tmp_path / "out", split="none")
    largest = 2**31 - 1
    assert records(data, "train")[1, 1:4].tolist() == [largest, largest, 0]
    assert data.layout.find("I2").dtype == "int32"


@pytest.mark.real_data
def test_sampled_week(tmp_path):
    source = "../shared/data/criteo_week.train.tsv.xz"
    data = criteo.prepare(source, tmp_path / "out")
    assert data.rejects == {}
    assert [data.rows(s) for s in data.splits] == [105_792, 11_755, 19_592]
    assert sum(data.cardinalities) == 280_498
