"""Preparation: ids, parts, records and rejects."""

import hashlib
import importlib
import json
import math
from collections import Counter

import numpy as np
import pytest

from keras_pss.data import criteo
from keras_pss.data.criteo import schema
from keras_pss.data.readers.block import BAD_HEX, WRONG_COLUMNS
from keras_pss.data.storage.splits import split_rows


def records(prepared, split):
    return np.concatenate(
        [np.fromfile(p, "<i4").reshape(-1, 40) for p in prepared.shards(split)]
    )


def test_vocabulary_and_records(prepared, rows):
    """Every record against a `Counter` of the rows that are not for testing."""
    num_test = math.ceil(len(rows) / 7)
    develop = len(rows) - num_test
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
        counts = prepared.counts(column)
        assert counts.sum() == develop
        assert counts[1:].tolist() == [counter[v] for v in kept]


def test_metadata(prepared, log, rows):
    again = criteo.load(str(prepared.directory))
    assert again == prepared
    again.verify()
    content = json.loads((prepared.directory / "metadata.json").read_text())
    assert content["format"] == "keras_pss.criteo"
    assert content["columns"] == list(schema.COLUMNS)
    (source,) = content["sources"]
    digest = hashlib.sha256(log.read_bytes()).hexdigest()
    assert source["name"] == "log.tsv"
    assert (source["sha256"], source["rows"]) == (digest, len(rows))
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
    stages = []
    data = criteo.prepare(
        log,
        tmp_path / "out",
        ids="hash",
        seed=3,
        hash_buckets=50,
        split="random",
        test_fraction=0.1,
        validation_fraction=0.2,
        progress=lambda *call: stages.append(call),
    )
    encoder = data.encoder()
    assert encoder.config() == criteo.HashEncoder(3, 50).config()
    assert data.cardinalities == [50] * 26
    parts = split_rows(len(rows), "random", 0.1, 0.2, 2020)
    for split, index in parts.items():
        got = records(data, split)
        np.testing.assert_array_equal(got[:, 0], rows.labels[index])
        np.testing.assert_array_equal(
            got[:, 14:], encoder(rows.categories[index])
        )
    for stage in ("read", "write"):
        done, total, _ = [s for s in stages if s[2] == stage][-1]
        assert done == total
    with pytest.raises(ValueError, match=r"`counts`.*ids='vocabulary'"):
        data.counts(0)


def test_open_hash_has_no_cardinalities(log, tmp_path):
    data = criteo.prepare(log, tmp_path / "out", ids="hash", split="none")
    assert data.cardinalities is None
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
    assert data.rejects == {WRONG_COLUMNS: 1, BAD_HEX: 1}
    assert sum(data.rows(s) for s in data.splits) == 18
    text = (tmp_path / "out" / "rejects.tsv").read_bytes()
    name = str(source).encode()
    assert text == b"".join(
        name + tail + b"\n"
        for tail in (
            b"\t4\twrong column count\t\ttoo\tfew",
            b"\t8\tnot 1 to 8 hex digits\tC26\t" + lines[7],
        )
    )
    with pytest.raises(criteo.BrokenRowError, match=r"broken\.tsv:4: wrong"):
        criteo.prepare(source, tmp_path / "strict", strict=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.tsv", "out"]


def test_rejects_are_capped_and_all_counted(log, tmp_path, monkeypatch):
    import zstandard

    module = importlib.import_module("keras_pss.data.storage.version_1.prepare")
    monkeypatch.setattr(module, "MAX_REJECTS", 100)
    packed = zstandard.ZstdCompressor().compress(b"\n" * 20_000)
    source = tmp_path / "a.tsv.zst"
    long = b"x" * 10_000 + b"\n"
    source.write_bytes(
        zstandard.ZstdCompressor().compress(long + log.read_bytes()) + packed
    )
    data = criteo.prepare(source, tmp_path / "out", ids="hash")
    assert data.rejects == {WRONG_COLUMNS: 20_001}
    lines = (tmp_path / "out" / "rejects.tsv").read_bytes().split(b"\n")
    assert len(lines) == 100 + 1
    assert lines[0].endswith(b"\t" + b"x" * 4096)
    assert len(lines[0]) < 4096 + 1000


def test_a_broken_archive_is_told(log, tmp_path, caplog):
    import gzip

    source = tmp_path / "a.tsv.gz"
    packed = gzip.compress(log.read_bytes())
    source.write_bytes(packed[: len(packed) // 2])
    data = criteo.prepare(source, tmp_path / "out", ids="hash")
    assert data.incomplete == ["a.tsv.gz"]
    assert "a.tsv.gz is truncated or corrupt; its rest is missing" in (
        caplog.text
    )
    (reason,) = data.rejects
    assert "the rest of it is missing" in reason
    source.write_bytes(packed)
    data = criteo.prepare(source, tmp_path / "whole", ids="hash")
    assert (data.incomplete, data.rejects) == ([], {})


@pytest.mark.real_data
def test_sampled_week(tmp_path):
    source = "../shared/data/criteo_week.train.tsv.xz"
    data = criteo.prepare(source, tmp_path / "out")
    assert data.rejects == {}
    assert [data.rows(s) for s in data.splits] == [105_792, 11_755, 19_592]
    assert sum(data.cardinalities) == 280_498
