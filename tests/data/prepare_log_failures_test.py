"""What a preparation that fails leaves behind, and what it refuses."""

import importlib
from types import SimpleNamespace

import polars as pl
import pytest
from log_frames import Frames, blocks

from keras_pss import data
from keras_pss.data.readers.block import Reject
from keras_pss.data.readers.reasons import WRONG_FIELDS
from keras_pss.data.storage.prepare_log import prepare_values
from keras_pss.features import (
    Categorical,
    Format,
    Label,
    Schema,
    Split,
)

ALL = Split(test=0, validation=0)
SCHEMA = Schema([Categorical("a")], label=Label("y"), split=ALL)
FRAME = pl.DataFrame(
    {"label": [0, 1, 1], "a": ["x", "y", "x"]},
    schema_overrides={"label": pl.Int8},
)


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    "place",
    [
        "one_machine.LogStaging.append",
        "one_machine.LogStaging.fit",
        "one_machine.split_log",
        "one_machine.write_shard",
        "engine.vocabulary_file.write",
        "engine.log_metadata.write",
        "engine.parquet_export.write",
    ],
)
def test_a_failure_leaves_nothing(tmp_path, monkeypatch, place, error):
    def fail(*args):
        raise error

    module, *owner, name = place.split(".")
    module = importlib.import_module(f"keras_pss.data.engines.{module}")
    where = getattr(module, owner[0]) if owner else module
    old = prepare_values(blocks(FRAME, 2), tmp_path / "old", SCHEMA)
    monkeypatch.setattr(where, name, fail)
    for out, overwrite in (("new", False), ("old", True)):
        with pytest.raises(type(error)):
            prepare_values(
                blocks(FRAME, 2),
                tmp_path / out,
                SCHEMA,
                overwrite=overwrite,
                parquet=True,
            )
    assert [p.name for p in tmp_path.iterdir()] == ["old"]
    old.verify()


def test_existing_output(tmp_path):
    out = tmp_path / "out"
    prepare_values(blocks(FRAME, 2), out, SCHEMA)
    with pytest.raises(FileExistsError, match=r"`out`.*new or empty.*already"):
        prepare_values(blocks(FRAME, 2), out, SCHEMA)
    longer = pl.concat([FRAME, FRAME])
    again = prepare_values(blocks(longer, 2), out, SCHEMA, overwrite=True)
    assert again.rows("train") == 6
    other = tmp_path / "precious"
    other.mkdir()
    (other / "thesis.txt").write_text("...")
    with pytest.raises(FileExistsError, match=r"a prepared log and nothing"):
        prepare_values(blocks(FRAME, 2), other, SCHEMA, overwrite=True)
    assert (other / "thesis.txt").exists()


def test_rejects_are_listed_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_pss.data.storage.rejects.MAX_REJECTS", 3)
    reader = Frames(FRAME)
    rejects = [
        Reject("a.csv", line, WRONG_FIELDS, "", b"x" * 5_000)
        for line in range(2, 7)
    ]
    reader.rejects[WRONG_FIELDS] = 5
    found = SimpleNamespace(rows=FRAME, rejects=rejects, lines=8)
    monkeypatch.setattr(Frames, "__iter__", lambda self: iter([found]))
    made = prepare_values(reader, tmp_path / "out", SCHEMA)
    assert made.rejects == {WRONG_FIELDS: 5}
    lines = (tmp_path / "out" / "rejects.tsv").read_bytes().splitlines()
    wanted = b"a.csv\t%d\twrong number of fields\t\t" + b"x" * 4096
    assert lines == [wanted % number for number in (2, 3, 4)]


def test_no_valid_rows(tmp_path):
    reader = Frames(FRAME.clear())
    reader.rejects[WRONG_FIELDS] = 2
    reader.first_reject = Reject("a.csv", 1, WRONG_FIELDS, "", b"1,2")
    with pytest.raises(
        ValueError,
        match=r"`sources`.*2 rows with wrong number of fields, the first "
        r"a\.csv:1",
    ):
        prepare_values(reader, tmp_path / "out", SCHEMA)
    with pytest.raises(ValueError, match=r"0 bytes and no rows"):
        prepare_values(Frames(), tmp_path / "out", SCHEMA)
    assert not any(tmp_path.iterdir())


def test_blocks_without_valid_rows_do_no_harm(tmp_path):
    frames = FRAME.clear(), FRAME, FRAME.clear()
    made = prepare_values(Frames(*frames), tmp_path / "out", SCHEMA)
    assert made.column("train", "a").tolist() == [1, 2, 1]


def test_no_rows_left_for_training(tmp_path):
    schema = Schema([Categorical("a")], split=Split(test=0.9))
    with pytest.raises(ValueError, match=r"one row must be left.*3 rows"):
        prepare_values(blocks(FRAME, 2), tmp_path / "out", schema)


def test_rows_per_shard(tmp_path):
    with pytest.raises(ValueError, match=r"at least 1.*rows_per_shard=0"):
        prepare_values(
            blocks(FRAME, 2), tmp_path / "out", SCHEMA, rows_per_shard=0
        )
    with pytest.raises(ValueError, match=r"at least 1.*rows_per_shard=-1"):
        data.prepare("log.csv", tmp_path / "out", SCHEMA, rows_per_shard=-1)


def test_a_folder_that_nothing_prepared(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`folder`.*Prepare the data"):
        data.load(tmp_path)
    (tmp_path / "metadata.json").write_text('{"format": 3}')
    with pytest.raises(ValueError, match=r"must have format.*format=3"):
        data.load(tmp_path)


def test_a_file_without_valid_rows_is_described(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("city;price\n" + "Rome;1\nParis;2\n" * 3)
    form = Format(header=False, columns=["city", "price", "age"])
    with pytest.raises(
        ValueError,
        match=r"7 rows with wrong number of fields.* log.csv looks like 2 "
        r"columns separated by semicolons, with a header. Check the files",
    ):
        data.prepare(
            path, tmp_path / "out", Schema([Categorical("city")], format=form)
        )


def test_engines(tmp_path, monkeypatch):
    schema = Schema([Categorical("a")])
    path = tmp_path / "a.csv"
    path.write_text("a\nx\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for engine, options, message in (
        ("beam", [], r"not installed.*pip install 'keras-pss\[beam\]'"),
        ("Beam", [], r"'local' or 'beam'\. Received: engine='Beam'"),
        ("local", ["--x"], r"need engine='beam'.*beam_options=\['--x'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            data.prepare(
                path,
                tmp_path / "out",
                schema,
                engine=engine,
                beam_options=options,
            )
    assert [each.name for each in tmp_path.iterdir()] == ["a.csv"]
