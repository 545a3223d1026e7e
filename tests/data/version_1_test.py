"""Folders and encoders of version 1, whole and damaged."""

import copy
import json
import random
import shutil
import zipfile

import numpy as np
import pytest
from criteo_text import parsed
from golden_files import FOLDER
from json_damage import outcome, places, put

from keras_pss.arrays import DamagedArraysError, open_arrays
from keras_pss.data import criteo, load
from keras_pss.data.encoders.row_encoder import RowEncoder
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.data.storage.open_folder import load_encoder
from keras_pss.data.storage.version_1.old_folder import OldFolder
from keras_pss.features import Split
from keras_pss.ops.hash_families import pss1

PREPARED = FOLDER / "prepared"
LOG = PREPARED / "log.tsv.gz"
JUNK = [
    *[
        None,
        True,
        -1,
        0,
        3,
        10**18,
        1.5,
        float("nan"),
        "",
        "../x",
        "/etc/passwd",
    ],
    *[[], {}, [3] * 26, [[]], {"rows": 1}, "train-00000-of-00001.bin"],
]


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(PREPARED / "vocabulary", tmp_path / "out")


@pytest.fixture
def hashed(tmp_path):
    return shutil.copytree(PREPARED / "hash", tmp_path / "hashed")


@pytest.fixture(scope="module")
def values():
    """The values of the log of the folders, as a frame and as integers."""
    (block,) = LogReader(LOG, criteo.schema())
    return block.rows, parsed(LOG).categories


def use(folder):
    """All that reads a folder's description."""
    data = load(folder)
    assert isinstance(data, OldFolder)
    [data.counts(name) for name in criteo.CATEGORIES]
    [data.shards(split) for split in data.splits]
    assert data.rejects is not None
    assert data.incomplete is not None
    return data


def test_any_value_anywhere_is_refused_or_harmless(folder):
    """300 mutations of the metadata; names never lead out of the folder."""
    path = folder / "metadata.json"
    whole = json.loads(path.read_text())
    chosen, refused = random.Random(1), 0
    found = [p for p in places(whole) if p]
    for _ in range(300):
        content = copy.deepcopy(whole)
        put(content, chosen.choice(found), chosen.choice(JUNK))
        path.write_text(json.dumps(content))
        data, message = outcome(use, folder)
        if data is None:
            refused += 1
            assert "again" in message
            assert len(message) < 2000
            continue
        for split in data.splits:
            for shard in data.shards(split):
                assert shard.parent == folder
        # What was accepted says nothing wrong of the rows.
        for name in ("ids", "cardinalities", "splits", "rows_per_shard"):
            assert content[name] == whole[name]
    assert refused > 150


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("cardinalities",), [3] * 26),
        (("cardinalities", 0), 10**18),
        (("cardinalities",), None),
        (("splits", "train", "rows"), 10**18),
        (("splits", "train", "shards", 0, "rows"), 10**18),
        (("splits", "train", "shards", 0, "name"), "../x"),
        (("splits", "train", "shards", 0, "name"), "/etc/passwd"),
        (("splits", "train", "shards", 0, "clicks"), -1),
        (("splits", "train", "clicks"), 0),
        (("splits", "train", "shards"), []),
        (("rows_per_shard",), 0),
        (("rows_per_shard",), 3),
        (("ids", "policy"), "nonsense"),
        (("ids", "min_count"), 1),
    ],
)
def test_absurd_metadata(folder, place, value):
    path = folder / "metadata.json"
    content = json.loads(path.read_text())
    put(content, place, value)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="again"):
        use(folder)


def test_hashed_ids_have_the_cardinalities_of_their_hash(hashed):
    path = hashed / "metadata.json"
    content = json.loads(path.read_text())
    content["cardinalities"] = [3] * 26
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"must be \[50, .*again"):
        load(hashed)
    content["ids"]["buckets"] = 3
    path.write_text(json.dumps(content))
    data = load(hashed)  # consistent, but not with the shards
    with pytest.raises(ValueError, match=r"values that do not fit.*again"):
        data.verify()


def test_one_flipped_bit_is_found(folder):
    chosen = random.Random(2)
    shards = sorted(folder.glob("*.bin"))
    data = load(folder)
    data.verify()
    for _ in range(8):
        shard = chosen.choice(shards)
        whole = shard.read_bytes()
        flip(shard, chosen)
        with pytest.raises(ValueError, match=r"must have sha256.*again"):
            data.verify()
        shard.write_bytes(whole)
    data.verify()


def test_what_a_folder_tells(folder):
    content = json.loads((folder / "metadata.json").read_text())
    opened = load(folder)
    assert opened.schema == criteo.schema(min_count=2)
    assert opened.cardinalities == content["cardinalities"]
    assert opened.layout.record_bytes == 160
    assert opened.sources == content["sources"]
    for split, part in content["splits"].items():
        assert opened.rows(split) == part["rows"]
        assert opened.clicks(split) == part["clicks"]
    with pytest.raises(ValueError, match=r"`table` must be.*table='I1'"):
        opened.vocabulary("I1")


def test_hashed_ids(hashed, values):
    opened = load(hashed)
    assert opened.cardinalities == [50] * 26
    assert opened.schema["C1"].buckets == 50
    assert opened.schema.split == Split("random")
    with pytest.raises(ValueError, match=r"`counts` needs a vocabulary"):
        opened.counts("C1")
    with pytest.raises(ValueError, match=r"there is none"):
        opened.vocabulary("C1")
    frame, raw = values
    ids = RowEncoder(opened)(frame)["categorical"]
    for column in range(26):
        wanted = pss1.starts(raw[:, column], 50, 3, table=column)
        np.testing.assert_array_equal(ids[:, column], wanted[:, 0])


def test_open_ids(hashed):
    path = hashed / "metadata.json"
    content = json.loads(path.read_text())
    content["ids"]["buckets"] = content["cardinalities"] = None
    path.write_text(json.dumps(content))
    assert load(hashed).cardinalities == [None] * 26


@pytest.mark.parametrize("policy", ["vocabulary", "hash"])
def test_a_new_run_keeps_an_encoder_of_version_1(policy, values, tmp_path):
    opened = load(PREPARED / policy)
    opened.save_encoder(tmp_path / "encoder")
    opened.save_encoder(tmp_path / "encoder")  # as a resumed run does
    again = load_encoder(tmp_path / "encoder")
    assert again.hash_family == opened.hash_family
    frame, _ = values
    np.testing.assert_array_equal(
        RowEncoder(again)(frame)["categorical"],
        RowEncoder(opened)(frame)["categorical"],
    )


def flip(path, chosen):
    data = bytearray(path.read_bytes())
    data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
    path.write_bytes(data)


@pytest.mark.parametrize("policy", ["vocabulary", "hash"])
def test_damaged_encoders_are_one_error_or_as_they_were(
    values, tmp_path, policy
):
    def encoded(path):
        return RowEncoder(load_encoder(path))(frame)["categorical"]

    path, frame = tmp_path / "encoder", values[0][:50]
    whole = (PREPARED / f"{policy}.encoder").read_bytes()
    expected = encoded(PREPARED / f"{policy}.encoder")
    chosen, refused = random.Random(3), 0
    for turn in range(90):
        path.write_bytes(whole)
        if turn % 3:
            flip(path, chosen)
        else:
            path.write_bytes(whole[: chosen.randrange(len(whole))])
        ids, message = outcome(encoded, path)
        if ids is None:
            assert "again" in message
            refused += 1
            continue
        np.testing.assert_array_equal(ids, expected)
    assert refused > 60


@pytest.mark.parametrize(
    "config",
    [
        *['"x"', "[]", "null", "3", "{}", "[" * 100_000, '{"a":' * 100_000],
        '{"policy": "nonsense", "min_count": 1}',
        '{"policy": "vocabulary"}',
        '{"policy": "vocabulary", "min_count": "1"}',
        '{"policy": "hash", "hash": "pss1"}',
        '{"policy": "hash", "hash": "pss1", "seed": 1.5, "buckets": 3}',
        '{"policy": "hash", "hash": "pss1", "seed": 1, "buckets": "3"}',
        '{"policy": ["hash"]}',
    ],
    ids=range(14),
)
def test_configs_that_no_encoder_has(tmp_path, config):
    path = tmp_path / "x.npz"
    np.savez(path, config=np.array(config))
    with pytest.raises(ValueError, match=r"the encoder of a run.*x\.npz"):
        load_encoder(path)


@pytest.mark.parametrize(
    "change",
    [
        {"values_C3": np.zeros(4, np.int64)},
        {"values_C3": np.zeros((2, 2), np.uint32)},
        {"counts_C3": np.zeros(1, np.int64)},
        {"counts_C3": np.array("x")},
    ],
)
def test_arrays_that_no_encoder_has(tmp_path, change):
    path = tmp_path / "x.npz"
    with np.load(PREPARED / "vocabulary.encoder") as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{**arrays, **change})
    with pytest.raises(ValueError, match=r"(?s)again.*(C3|x\.npz)"):
        RowEncoder(load_encoder(path))


def header(shape, descr="<i8"):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape})
    text = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def test_nothing_is_allocated_before_its_size_is_known(tmp_path):
    path = tmp_path / "bomb.npz"
    # Deflated zeros, and headers that ask for more than there is.
    np.savez_compressed(path, config=np.zeros(1 << 24, np.uint8))
    with pytest.raises(ValueError, match=r"bytes unpack to 16777"):
        load_encoder(path)
    for shape in ((10**12,), (-1,), (2**40, 2**40), (3,), ("x",)):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.npy", header(shape) + bytes(16))
        with pytest.raises(ValueError, match="the encoder of a run"):
            load_encoder(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.npy", header("(" * 5000) + bytes(16))
    with pytest.raises(ValueError, match="the encoder of a run"):
        load_encoder(path)


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, config=np.array([print], object))
    with pytest.raises(ValueError, match="Python objects"):
        load_encoder(path)


@pytest.mark.parametrize(
    "array",
    [
        *[
            np.zeros(0, np.uint32),
            np.zeros((3, 0)),
            np.array("text"),
            np.int8(3),
        ],
        *[np.asfortranarray(np.arange(6).reshape(2, 3)), np.ones((2, 2), bool)],
    ],
)
def test_arrays_come_back_as_numpy_reads_them(tmp_path, array):
    path = tmp_path / "x.npz"
    np.savez(path, a=array, b=np.arange(3))
    with open_arrays(path) as found, np.load(path) as wanted:
        assert found.names == ["a", "b"]
        for name in found.names:
            np.testing.assert_array_equal(found[name], wanted[name])
            assert found[name].dtype == wanted[name].dtype
            assert found.shape(name) == wanted[name].shape
        with pytest.raises(DamagedArraysError, match="KeyError"):
            found["c"]


def test_a_vocabulary_of_another_folder_is_refused(folder):
    path = folder / "vocabulary.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for name, change in (
        ("values_C1", arrays["values_C1"][:-1]),
        ("counts_C1", arrays["counts_C1"][:-1]),
        ("config", np.array('{"policy": "vocabulary", "min_count": 3}')),
    ):
        np.savez(path, **{**arrays, name: change})
        with pytest.raises(ValueError, match="again"):
            use(folder)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"must be written by.*again"):
        load(folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold vocabulary\.npz"):
        load(folder)


def test_files_of_the_rows(folder):
    (shard, *_) = load(folder).shards("train")
    content = shard.read_bytes()
    shard.write_bytes(content[:-160])
    with pytest.raises(ValueError, match=r"32000 bytes. Received: 31840"):
        load(folder)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"must exist.*train-00000"):
        load(folder)
    metadata = folder / "metadata.json"
    text = metadata.read_text()
    metadata.write_text(text.replace('"version": 1', '"version": 9'))
    with pytest.raises(ValueError, match=r"version 1.*version=9.*again"):
        load(folder)
