"""What a preparation makes of its folder in the face of others."""

import os
from pathlib import Path

import pytest

from keras_pss.data import criteo


def test_a_link_is_followed(log, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    criteo.prepare(log, link, ids="hash")
    criteo.prepare(log, link, ids="hash", hash_buckets=7, overwrite=True)
    assert criteo.load(target).cardinalities[0] == 7
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
            r"3 rows with wrong number of fields, the first .*:1: wrong "
            r"number of fields \(expected 40, found 1\)",
        ),
    ],
)
def test_no_good_row_is_an_error(tmp_path, content, message):
    source = tmp_path / "a.tsv"
    source.write_bytes(content)
    with pytest.raises(ValueError, match=f"one valid row.*{message}.*strict"):
        criteo.prepare(source, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tsv"]


@pytest.mark.parametrize("kind", ["folder", "prepared"])
def test_what_appears_at_out_meanwhile_is_kept(log, tmp_path, kind):
    """Another process makes `out` while the log is prepared."""
    out = tmp_path / "out"

    def appear(done, total, stage):
        if stage != "write" or done < total:
            return
        if kind == "prepared":
            criteo.prepare(log, out, ids="hash", hash_buckets=8)
        else:
            out.mkdir()
            (out / "thesis.txt").write_text("...")

    with pytest.raises(FileExistsError, match=r"`out` must be a new.*already"):
        criteo.prepare(log, out, ids="hash", progress=appear)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    if kind == "prepared":
        assert criteo.load(out).cardinalities[0] == 8
    else:
        assert (out / "thesis.txt").read_text() == "..."
