"""What the command line made, once for the tests of a session."""

import gzip

import pytest
from command_line import NARROW, call


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A log, its records and a run, all made by the command line."""
    folder = tmp_path_factory.mktemp("cli")
    for command in (
        "synth --out log.tsv.gz --rows 6000 --scale 0.001",
        "prepare log.tsv.gz --out data",
        f"train --data data --out run {NARROW}",
    ):
        done = call(*command.split(), folder=folder)
        assert done.returncode == 0, done.stderr
    (folder / "empty").mkdir()
    (folder / "twice").mkdir()
    for name in ("day_0.gz", "day_0", "day_1"):
        (folder / "twice" / name).touch()
    (folder / "later.tsv").write_text("no log\n")
    rows = gzip.decompress((folder / "log.tsv.gz").read_bytes())
    lines = rows.splitlines(keepends=True)[:20]
    text = b"".join(lines)
    (folder / "comma.csv").write_bytes(text.replace(b"\t", b","))
    (folder / "test.txt").write_bytes(b"".join(x[2:] for x in lines))
    (folder / "packed.txt").write_bytes(gzip.compress(text))
    (folder / "plain.tsv.gz").write_bytes(text)
    (folder / "log.parquet").write_bytes(b"PAR1....")
    (folder / "short.tsv").write_text("1\t2\n" * 3)
    (folder / "ratings.dat").write_text(
        "".join(
            f"{u}::{m}::{u % 5 + 1}::9\n" for u in range(9) for m in range(9)
        )
    )
    (folder / "made").mkdir()
    (folder / "made" / "data.json").write_text('{"source": []}')
    return folder
