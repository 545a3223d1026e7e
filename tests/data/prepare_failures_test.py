"""What a preparation that fails leaves behind, and what it refuses."""

import importlib
import os
from pathlib import Path

import pytest

from keras_pss.data import criteo


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    "place",
    ["Staging.append", "by_frequency", "records.write_shard", "metadata.write"],
)
def test_a_failure_leaves_nothing(log, tmp_path, monkeypatch, place, error):
    def fail(*args):
        raise error

    *owner, name = place.split(".")
    module = importlib.import_module("keras_pss.data.storage.version_1.prepare")
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
