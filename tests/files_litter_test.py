"""What writers that were killed left behind, and who removes it."""

import subprocess
import sys
from contextlib import ExitStack

import pytest
from writing import listing, write

from keras_pss import files
from keras_pss.files import TargetExistsError

# A writer that says when it has begun, and waits.
WRITER = """
import importlib.util, os, sys
from pathlib import Path
# Without the package, which loads a framework.
spec = importlib.util.spec_from_file_location("files", sys.argv.pop(1))
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)
path, kind, moment = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
def stop():
    print("ready", flush=True)
    sys.stdin.read()
rename = os.rename
def renamed(source, target):
    rename(source, target)
    if moment == "aside" and Path(target).name == "old":
        stop()
os.rename = renamed
if kind == "file":
    writer = files.complete_file(path)
else:
    writer = files.complete_folder(
        path, True, "a log", lambda p: (p / "marker").is_file()
    )
with writer as part:
    (part if kind == "file" else part / "marker").write_text("half")
    if moment == "writing":
        stop()
"""


@pytest.fixture
def writer():
    """Starts writers in other processes, and ends them."""
    with ExitStack() as stack:

        def start(path, kind, moment="writing"):
            process = subprocess.Popen(
                [
                    *[sys.executable, "-c", WRITER, files.__file__],
                    *[str(path), kind, moment],
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.__exit__, None, None, None)
            stack.callback(process.kill)
            assert process.stdout.readline() == "ready\n"
            return process

        yield start


def again(path, kind):
    if kind == "file":
        files.write_text("new", path)
    else:
        write(path, "new", overwrite=True)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_litter_goes_with_the_next_call_and_what_is_in_use_stays(
    tmp_path, writer, kind
):
    path, other = tmp_path / "out", tmp_path / "out.other"
    killed, alive = writer(path, kind), writer(path, kind)
    elsewhere = writer(other, kind)
    assert len(list(tmp_path.glob(".out*.tmp"))) == 3
    for process in killed, elsewhere:
        process.kill()
        process.wait()
    again(path, kind)
    # Those of the living one and of another target.
    assert len(list(tmp_path.glob(".out.*.tmp"))) == 2
    assert len(list(tmp_path.glob(".out.other.*.tmp"))) == 1
    alive.communicate()
    assert alive.returncode == 0
    text = (path if kind == "file" else path / "marker").read_text()
    assert text == "half"
    again(other, kind)
    assert {p.name for p in tmp_path.iterdir()} == {"out", "out.other"}


def test_a_folder_moved_aside_by_a_killed_process_comes_back(tmp_path, writer):
    out = tmp_path / "out"
    write(out, "old")
    process = writer(out, "folder", "aside")
    assert not out.exists()
    process.kill()
    process.wait()
    with pytest.raises(TargetExistsError, match="already exists"):
        write(out, "new", overwrite=False)
    assert (out / "marker").read_text() == "old"
    assert listing(tmp_path) == ["out/marker"]


def test_litter_of_other_machines_and_names_is_left(tmp_path, monkeypatch):
    write(tmp_path / "out", "old")
    names = (".out.tmp", ".out.elsewhere-0123abcd.tmp", ".out.x.tmp")
    for name in names:
        (tmp_path / name).mkdir()
    write(tmp_path / "out", "new", overwrite=True)
    assert {p.name for p in tmp_path.iterdir()} == {"out", *names}


def test_without_locks_everything_works_but_litter_stays(tmp_path, monkeypatch):
    def refuse(file, how):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    out = tmp_path / "out"
    litter = tmp_path / f"{files._prefix(out)}0123abcd.tmp"
    litter.mkdir()
    write(out, "new")
    assert (out / "marker").read_text() == "new"
    assert litter.is_dir()
