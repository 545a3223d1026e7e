"""Preparation: ids, parts, rejects, and what a failure leaves behind."""

import hashlib
import importlib
import json
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from keras_pss.data import criteo
from keras_pss.data.criteo import schema
from keras_pss.data.readers.block import BAD_HEX, WRONG_COLUMNS
from keras_pss.data.storage.splits import split_rows


def records(prepared, split):
    return np.concatenate(
        [np.fromfile(p, "<i4").reshape(-1, 40) for p in prepared.shards(split)]
    )


@pytest.mark.parametrize("rows", [10, 137, 1000])
@pytest.mark.parametrize("test", [0.1, 1 / 7, 0.0])
@pytest.mark.parametrize("validation", [0.2, 0.1, 0.0])
def test_random_split_equals_scikit_learn(rows, test, validation):
    train, held = np.arange(rows), {}
    for name, fraction in (("test", test), ("validation", validation)):
        if fraction:
            train, held[name] = train_test_split(
                train, test_size=fraction, random_state=2020
            )
    parts = split_rows(rows, "random", test, validation, 2020)
    assert sorted(parts) == sorted(["train", *held])
    np.testing.assert_array_equal(parts["train"], np.sort(train))
    for name in held:
        np.testing.assert_array_equal(parts[name], np.sort(held[name]))


def test_chronological_split_of_the_sampled_week():
    parts = split_rows(137_139, "chronological", 1 / 7, 0.1, 0)
    assert parts["test"] == range(117_547, 137_139)
    assert len(parts["validation"]) == math.ceil(11_754.7)
    assert parts["train"].stop == parts["validation"].start


def test_split_errors():
    with pytest.raises(ValueError, match=r"chronological, random, none.*'x'"):
        split_rows(10, "x", 0.1, 0.1, 0)
    with pytest.raises(ValueError, match=r"test_fraction.*1\.0.*Pass 0"):
        split_rows(10, "random", 1.0, 0.1, 0)
    with pytest.raises(ValueError, match=r"split_seed=-1"):
        split_rows(10, "random", 0.1, 0.1, -1)
    with pytest.raises(ValueError, match=r"left for training.*2 rows"):
        split_rows(2, "random", 0.5, 0.5, 1)


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


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    "place",
    ["Staging.append", "by_frequency", "records.write_shard", "metadata.write"],
)
def test_a_failure_leaves_nothing(log, tmp_path, monkeypatch, place, error):
    def fail(*args):
        raise error

    *owner, name = place.split(".")
    module = importlib.import_module("keras_pss.data.storage.prepare")
    where = getattr(module, owner[0]) if owner else module
    old = criteo.prepare(log, tmp_path / "old", ids="hash")
    monkeypatch.setattr(where, name, fail)
    with pytest.raises(type(error)):
        criteo.prepare(log, tmp_path / "new")
    with pytest.raises(type(error)):
        criteo.prepare(log, tmp_path / "old", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["old"]
    old.verify()


def test_existing_output(log, tmp_path):
    out = tmp_path / "out"
    criteo.prepare(log, out, ids="hash")
    with pytest.raises(
        FileExistsError, match=r"`out`.*new or empty.*overwrite.*already"
    ):
        criteo.prepare(log, out)
    again = criteo.prepare(log, out, overwrite=True)
    assert again.metadata["ids"]["policy"] == "vocabulary"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    other = tmp_path / "precious"
    other.mkdir()
    (other / "thesis.txt").write_text("...")
    with pytest.raises(
        FileExistsError, match=r"a prepared log and nothing else.*another"
    ):
        criteo.prepare(log, other, overwrite=True)
    assert (other / "thesis.txt").exists()


def test_a_link_is_followed(log, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    criteo.prepare(log, link, ids="hash")
    criteo.prepare(log, link, ids="hash", seed=7, overwrite=True)
    assert criteo.load(target).metadata["ids"]["seed"] == 7
    assert {p.name for p in tmp_path.iterdir()} == {"target", "link"}
    assert link.is_symlink()


def test_a_failure_while_replacing_restores_the_folder(
    log, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    old = criteo.prepare(log, out, ids="hash")
    rename = os.rename

    def stopped(path, target):
        rename(path, target)
        if Path(target).name == "old":
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", stopped)
    with pytest.raises(KeyboardInterrupt):
        criteo.prepare(log, out, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert criteo.load(out).metadata == old.metadata


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes and no rows"),
        (
            b"x\n" * 3,
            r"3 rows with wrong column count, the first .*:1: wrong column "
            r"count \(expected 40 with the label, found 1\)",
        ),
    ],
)
def test_no_good_row_is_an_error(tmp_path, content, message):
    source = tmp_path / "a.tsv"
    source.write_bytes(content)
    with pytest.raises(ValueError, match=f"one valid row.*{message}.*strict"):
        criteo.prepare(source, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tsv"]


def test_argument_errors(log, tmp_path):
    for arguments, message in (
        ({"ids": "words"}, r"`ids` must be.*ids='words'"),
        ({"hash_buckets": 5}, r"`hash_buckets`.*Pass ids='hash'"),
        ({"ids": "hash", "min_count": 2}, r"`min_count`.*min_count=2"),
        ({"min_count": 0}, r"`min_count`.*at least 1"),
        ({"rows_per_shard": 0}, r"`rows_per_shard`.*at least 1"),
        ({"split": "x"}, r"`split` must be one of"),
        ({"ids": "hash", "seed": -1}, r"`seed`.*2\^64.*seed=-1"),
    ):
        with pytest.raises(ValueError, match=message):
            criteo.prepare(log, tmp_path / "out", **arguments)
    assert not list(tmp_path.iterdir())


def test_loading_errors(log, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metadata\.json.*Prepare"):
        criteo.load(tmp_path)
    out = tmp_path / "out"
    data = criteo.prepare(log, out, ids="hash", split="none")
    (shard,) = data.shards("train")
    content = shard.read_bytes()
    shard.write_bytes(content[:-4] + b"\0\0\0\1")
    with pytest.raises(ValueError, match=r"must have sha256.*Received"):
        criteo.load(out).verify()
    shard.write_bytes(content[:-160])
    with pytest.raises(ValueError, match=r"480000 bytes. Received: 479840"):
        criteo.load(out)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"must exist.*train-00000"):
        criteo.load(out)
    metadata = out / "metadata.json"
    metadata.write_text(
        metadata.read_text().replace('"version": 1', '"version": 9')
    )
    with pytest.raises(ValueError, match=r"version 1.*version=9.*again"):
        criteo.load(out)
    metadata.write_text("[]")
    with pytest.raises(ValueError, match=r"must hold a JSON object"):
        criteo.load(out)


@pytest.mark.parametrize("kind", ["folder", "prepared"])
def test_what_appears_at_out_meanwhile_is_kept(log, tmp_path, kind):
    """Another process makes `out` while the log is prepared."""
    out = tmp_path / "out"

    def appear(done, total, stage):
        if stage != "write" or done < total:
            return
        if kind == "prepared":
            criteo.prepare(log, out, ids="hash", seed=8)
        else:
            out.mkdir()
            (out / "thesis.txt").write_text("...")

    with pytest.raises(FileExistsError, match=r"`out` must be a new.*already"):
        criteo.prepare(log, out, ids="hash", progress=appear)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    if kind == "prepared":
        assert criteo.load(out).metadata["ids"]["seed"] == 8
    else:
        assert (out / "thesis.txt").read_text() == "..."


def test_rejects_are_capped_and_all_counted(log, tmp_path, monkeypatch):
    import zstandard

    module = importlib.import_module("keras_pss.data.storage.prepare")
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
