"""Targets are whole, and kept from others' writers."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from writing import listing, write

from keras_pss import files
from keras_pss.files import (
    TargetExistsError,
    complete_file,
    read_json,
    write_json,
)


@pytest.fixture(params=["folder", "file", "nothing but a folder"])
def foreign(request, tmp_path):
    """Makes something of another at `out`, and what is there then."""

    def make():
        out = tmp_path / "out"
        if request.param == "file":
            out.write_text("thesis")
            return
        (out / "sub").mkdir(parents=True)
        if request.param == "folder":
            (out / "sub" / "thesis.txt").write_text("thesis")

    make.kind = request.param
    return make


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_what_appears_at_a_folders_name_is_kept(
    tmp_path, foreign, overwrite, when
):
    out = tmp_path / "out"
    if when == "before":
        foreign()
    with pytest.raises(TargetExistsError, match="out="):
        write(out, "new", overwrite, foreign if when == "meanwhile" else None)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert out.is_file() or (out / "sub").is_dir()
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or file.read_text() == "thesis"
    assert bool(listing(tmp_path)) == (foreign.kind != "nothing but a folder")


def test_an_overwritten_folder_is_kept_if_another_kind_took_its_name(tmp_path):
    out = tmp_path / "out"
    write(out, "old")

    def swap():
        os.rename(out, tmp_path / "moved")
        out.mkdir()
        (out / "thesis.txt").write_text("thesis")

    with pytest.raises(TargetExistsError, match="a log and nothing else"):
        write(out, "new", True, swap)
    assert listing(tmp_path) == ["moved/marker", "out/thesis.txt"]


def test_nothing_is_lost_where_the_old_folder_cannot_go_back(
    tmp_path, monkeypatch
):
    """Another kind of folder appears after the old one was moved aside."""
    out, rename = tmp_path / "out", os.rename
    write(out, "old")

    def renamed(path, target):
        rename(path, target)
        if Path(target).name == "old":
            out.mkdir()
            (out / "thesis.txt").write_text("thesis")

    monkeypatch.setattr(os, "rename", renamed)
    with pytest.raises(TargetExistsError, match="a log and nothing else"):
        write(out, "new", overwrite=True)
    assert (out / "thesis.txt").read_text() == "thesis"
    (kept,) = tmp_path.glob("out.old-*")
    assert (kept / "marker").read_text() == "old"


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_empty_folder_is_taken(tmp_path, overwrite):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", "new", overwrite)
    assert listing(tmp_path) == ["out/marker"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_two_writers_of_one_new_folder(tmp_path, overwrite):
    out = tmp_path / "out"
    # The second ends first.
    if overwrite:
        write(out, "1", True, lambda: write(out, "2", True))
    else:
        with pytest.raises(TargetExistsError, match="already exists"):
            write(out, "1", False, lambda: write(out, "2"))
    assert (out / "marker").read_text() == ("1" if overwrite else "2")
    assert listing(tmp_path) == ["out/marker"]


def test_many_writers_at_once(tmp_path):
    out = tmp_path / "out"

    def attempt(number):
        try:
            write(out, str(number))
        except TargetExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        (first,) = [n for n in pool.map(attempt, range(40)) if n is not None]
    assert (out / "marker").read_text() == str(first)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: write(out, str(n), overwrite=True), range(40)))
    assert listing(tmp_path) == ["out/marker"]


@pytest.mark.parametrize("links", [True, False])
def test_what_appears_at_a_files_name_is_kept(tmp_path, monkeypatch, links):
    if not links:  # as on FAT

        def refuse(*paths):
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a.tsv"

    def lose():
        with complete_file(path, overwrite=False) as part:
            part.write_text("new")
            path.write_text("thesis")

    with pytest.raises(TargetExistsError, match="already exists"):
        lose()
    assert path.read_text() == "thesis"
    with complete_file(path, overwrite=True) as part:
        part.write_text("newer")
    assert path.read_text() == "newer"
    other = tmp_path / "b.tsv"
    with complete_file(other, overwrite=False) as part:
        part.write_text("b")
    assert listing(tmp_path) == ["a.tsv", "b.tsv"]


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a.tsv").mkdir()
    with (
        pytest.raises(TargetExistsError, match="which is a folder"),
        complete_file(tmp_path / "a.tsv"),
    ):
        pass


def test_the_file_behind_a_link_is_replaced(tmp_path):
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    for number in range(2):
        write_json({"number": number}, link)
        assert read_json(target, "") == {"number": number}
    assert link.is_symlink()


def test_a_name_of_255_bytes(tmp_path):
    path = tmp_path / ("é" * 127)
    write(path, "new")
    write(path, "newer", overwrite=True)
    assert (path / "marker").read_text() == "newer"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with (
        pytest.raises(OSError, match=r"'/proc'$"),
        complete_file(Path("/proc/foo")),
    ):
        pass


def test_all_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done, fsync, rename = [], os.fsync, os.rename

    def synced(file):
        fsync(file)
        done.append(os.path.basename(os.readlink(f"/proc/self/fd/{file}")))

    def renamed(source, target):
        rename(source, target)
        done.append("rename")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(os, "replace", renamed)
    write(tmp_path / "out", "new")
    assert done == ["marker", "new", "rename", tmp_path.name]
    done.clear()
    files.write_text("", tmp_path / "file")
    assert done == ["file", "rename", tmp_path.name]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "null", "[" * 100_000, '{"a":' * 100_000, "\xff", "9" * 9],
    ids=range(8),
)
def test_what_is_no_json_object_is_one_error(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"a\.json .*Do this\. Received: "):
        read_json(path, "Do this.")
