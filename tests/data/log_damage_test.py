"""Damaged prepared logs are refused, in one kind of error."""

import copy
import json
import random
import shutil

import numpy as np
import polars as pl
import pytest
from json_damage import outcome, places, put
from log_frames import blocks
from log_schema import SCHEMA, as_frame, made_rows

from keras_pss.data import load
from keras_pss.data.storage.prepare_log import prepare_values
from keras_pss.features import Dense

JUNK = [
    *[None, True, -1, 0, 3, 10**18, 1.5, float("nan"), "", "../x"],
    *["/etc/passwd", [], {}, [3] * 5, [[]], {"rows": 1}, "float32", "id"],
    "train-00000-of-00001.bin",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    rows = blocks(as_frame(made_rows(200)), 60)
    return prepare_values(rows, out, SCHEMA, rows_per_shard=90)


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole.directory, tmp_path / "out")


def use(folder):
    """All that reads a folder's description."""
    data = load(folder)
    for table, (first, *_) in data.schema.tables.items():
        if not isinstance(first, Dense) and first.ids == "vocabulary":
            data.vocabulary(table)
            data.counts(first.name)
    data.counts("age")
    data.transform()
    [data.shards(split) for split in data.splits]
    assert data.cardinalities
    assert (data.rejects, data.incomplete) is not None
    return data


def test_any_value_anywhere_is_refused_or_harmless(folder):
    """500 mutations of the metadata; names never lead out of the folder."""
    path = folder / "metadata.json"
    whole = json.loads(path.read_text())
    chosen, refused = random.Random(1), 0
    found = [p for p in places(whole) if p]
    for _ in range(500):
        content = copy.deepcopy(whole)
        at = chosen.choice(found)
        put(content, at, chosen.choice(JUNK))
        path.write_text(json.dumps(content))
        data, message = outcome(use, folder)
        if data is None:
            refused += 1
            assert "again" in message, at
            assert len(message) < 2000
            continue
        for split in data.splits:
            for shard in data.shards(split):
                assert shard.parent == folder
        # What was accepted says nothing wrong of the rows.
        for name in ("splits", "rows_per_shard"):
            assert content[name] == whole[name]
        offsets = [(c["name"], c["offset"]) for c in whole["layout"]]
        assert [(c.name, c.offset) for c in data.layout.columns] == offsets
        assert data.tables == {k: v["rows"] for k, v in whole["tables"].items()}
        assert all(np.isfinite(part).all() for part in data.transform())
    assert refused > 250


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), "keras_pss.other"),
        (("version",), 3),
        (("schema",), {}),
        (("schema", "feature", 0, "kind"), "nonsense"),
        (("schema", "label"), None),
        (("schema", "group"), None),
        (("layout", 0, "offset"), 1),
        (("layout", 1, "dtype"), "int32"),
        (("layout", 1, "width"), True),
        (("layout",), []),
        (("statistics",), {}),
        (("statistics", "price", "mean"), [float("inf")]),
        (("statistics", "price", "deviation"), [-1.0]),
        (("statistics", "age", "borders"), [3.0, 2.0, 1.0, 0.0]),
        (("statistics", "vector", "mean"), [1.0]),
        (("tables", "items", "rows"), 0),
        (("tables", "items", "rows"), 10**18),
        (("tables", "items", "oov"), -1),
        (("tables", "ad", "rows"), 38),
        (("tables", "pair", "rows"), 3),
        (("tables", "age", "rows"), 5),
        (("tables", "age", "counts"), [1] * 5),
        (("tables", "more"), {"rows": 3}),
        (("vocabulary",), None),
        (("vocabulary", "rows"), 3),
        (("vocabulary", "sha256"), "x"),
        (("splits", "train", "rows"), 10**18),
        (("splits", "train", "shards", 0, "rows"), 10**18),
        (("splits", "train", "shards", 0, "name"), "../x"),
        (("splits", "train", "shards", 0, "name"), "/etc/passwd"),
        (("splits", "train", "shards", 0, "clicks"), None),
        (("splits", "train", "shards"), []),
        (("splits", "other"), {}),
        (("rows_per_shard",), 0),
        (("sources",), [{"name": 3}]),
        (("rejects",), {"x": -1}),
    ],
)
def test_absurd_metadata(folder, place, value):
    path = folder / "metadata.json"
    content = json.loads(path.read_text())
    put(content, place, value)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="again"):
        use(folder)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("tables", "city", "oov"), 1),
        (("tables", "age", "counts", 0), 1000),
        (("vocabulary", "sha256"), "0" * 64),
        (("splits", "train", "shards", 0, "sha256"), "0" * 64),
    ],
)
def test_what_only_reading_everything_finds(folder, place, value):
    path = folder / "metadata.json"
    content = json.loads(path.read_text())
    put(content, place, value)
    path.write_text(json.dumps(content))
    data = load(folder)
    with pytest.raises(ValueError, match="again"):
        data.verify()


def test_one_flipped_bit_is_found(folder):
    chosen = random.Random(2)
    files = [*sorted(folder.glob("*.bin")), folder / "vocabulary.parquet"]
    for _ in range(20):
        path = chosen.choice(files)
        held = path.read_bytes()
        data = bytearray(held)
        data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"must have sha256.*again"):
            load(folder).verify()
        path.write_bytes(held)
    load(folder).verify()


@pytest.mark.parametrize(
    ("name", "kind", "word"),
    [
        ("label", None, 2),
        ("item", None, 10**6),
        ("item", None, -1),
        ("age", None, 6),
        ("seen", "ids", -2),
        ("tags", None, 11),
        ("group", None, -1),
        ("price", None, 0x7FC00000),  # NaN
        ("seen", "weights", 0x7F800000),  # infinity
    ],
)
def test_words_that_no_row_has(folder, name, kind, word):
    """Also where the checksum is that of the changed shard."""
    import hashlib

    data = load(folder)
    shard = data.shards("train")[0]
    records = np.fromfile(shard, "<i4").reshape(-1, data.layout.words)
    records[3, data.layout.find(name, kind).offset] = word
    records.tofile(shard)
    path = folder / "metadata.json"
    content = json.loads(path.read_text())
    entry = content["splits"]["train"]["shards"][0]
    entry["sha256"] = hashlib.sha256(shard.read_bytes()).hexdigest()
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"values that do not fit.*again"):
        load(folder).verify()


def test_a_vocabulary_of_another_kind(folder):
    data = load(folder)
    path = folder / "vocabulary.parquet"
    size = path.stat().st_size
    for content in (b"x" * size, path.read_bytes()[::-1]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"vocabulary\.parquet.*again"):
            data.vocabulary("items")
    pl.DataFrame({"table": [1], "value": [None]}).write_parquet(path)
    with pytest.raises(ValueError, match=r"vocabulary\.parquet.*again"):
        data.vocabulary("items")


@pytest.mark.parametrize(
    "name",
    ["metadata.json", "vocabulary.parquet", "train-00000-of-00002.bin"],
)
def test_missing_and_short_files(folder, name):
    path = folder / name
    held = path.read_bytes()
    path.write_bytes(held[:-3])
    with pytest.raises(ValueError, match="again"):
        load(folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"again|Prepare the data"):
        load(folder)


def test_names_that_do_not_exist(whole):
    with pytest.raises(ValueError, match=r"`split`.*split='dev'"):
        whole.shards("dev")
    with pytest.raises(ValueError, match=r"`table`.*items, city.*table='ad'"):
        whole.vocabulary("ad")
    with pytest.raises(ValueError, match=r"`name`.*item, age.*name='price'"):
        whole.counts("price")
    with pytest.raises(ValueError, match=r"hash.*name='ad'"):
        whole.counts("ad")
    with pytest.raises(ValueError, match=r"`name`.*label, price.*name='x'"):
        whole.column("train", "x")
