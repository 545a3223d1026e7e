"""Damaged prepared folders and encoders: refused, in one kind of error."""

import copy
import json
import random
import shutil
import zipfile

import numpy as np
import pytest

from keras_pss.arrays import DamagedArraysError, open_arrays
from keras_pss.data import criteo
from keras_pss.data.pipelines.prepared_log import PreparedLog

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
def folder(prepared, tmp_path):
    return shutil.copytree(prepared.directory, tmp_path / "out")


def places(value, path=()):
    """Paths to all values of a JSON document."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def put(document, path, value):
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


def use(folder):
    """All that reads a folder's description."""
    data = criteo.load(folder)
    data.encoder()
    [data.counts(column) for column in (0, 25)]
    [data.shards(split) for split in data.splits]
    assert data.rejects is not None
    assert data.incomplete is not None
    return data


def outcome(function, path):
    """What a function returns, or the text of the one error that it has."""
    try:
        return function(path), ""
    except (ValueError, FileNotFoundError) as error:
        return None, str(error)


def test_any_value_anywhere_is_refused_or_harmless(folder):
    """500 mutations of the metadata; names never lead out of the folder."""
    path = folder / "metadata.json"
    whole = json.loads(path.read_text())
    chosen, refused = random.Random(1), 0
    found = [p for p in places(whole) if p]
    for _ in range(500):
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
    assert refused > 250


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


def test_hashed_ids_have_the_cardinalities_of_their_hash(log, tmp_path):
    out = criteo.prepare(
        log, tmp_path / "out", ids="hash", hash_buckets=50
    ).directory
    path = out / "metadata.json"
    whole = path.read_text()
    path.write_text(whole.replace(" 50", " 3", 26 * 2))
    content = json.loads(path.read_text())
    assert content["cardinalities"] == [3] * 26
    if content["ids"]["buckets"] != 3:
        content["ids"]["buckets"] = 3
        path.write_text(json.dumps(content))
    data = criteo.load(out)  # consistent, but not with the shards
    with pytest.raises(ValueError, match=r"ids that are not below.*again"):
        data.verify()


def test_one_flipped_bit_is_found(folder):
    chosen = random.Random(2)
    shards = sorted(folder.glob("*.bin"))
    log = PreparedLog(criteo.load(folder))
    log.verify()
    for _ in range(20):
        shard = chosen.choice(shards)
        whole = shard.read_bytes()
        flip(shard, chosen)
        with pytest.raises(ValueError, match=r"must have sha256.*again"):
            log.verify()
        shard.write_bytes(whole)
    log.verify()


def flip(path, chosen):
    data = bytearray(path.read_bytes())
    data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
    path.write_bytes(data)


@pytest.mark.parametrize("policy", ["vocabulary", "hash"])
def test_damaged_encoders_are_one_error_or_as_they_were(
    prepared, rows, tmp_path, policy
):
    path = tmp_path / "encoder"
    encoder = prepared.encoder() if policy == "vocabulary" else None
    encoder = encoder or criteo.HashEncoder(7, 50)
    encoder.save(path)
    whole, expected = path.read_bytes(), encoder(rows.categories[:50])
    chosen, refused = random.Random(3), 0
    for turn in range(300):
        path.write_bytes(whole)
        if turn % 3:
            flip(path, chosen)
        else:
            path.write_bytes(whole[: chosen.randrange(len(whole))])
        again, message = outcome(criteo.load_encoder, path)
        if again is None:
            assert "Save the encoder again" in message
            refused += 1
            continue
        assert again.config() == encoder.config()
        np.testing.assert_array_equal(again(rows.categories[:50]), expected)
    assert refused > 250


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
    with pytest.raises(ValueError, match=r"encoder's `save`.*x\.npz"):
        criteo.load_encoder(path)


@pytest.mark.parametrize(
    "change",
    [
        {"values_C3": np.zeros(4, np.int64)},
        {"values_C3": np.zeros((2, 2), np.uint32)},
        {"counts_C3": np.zeros(1, np.int64)},
        {"counts_C3": np.array("x")},
    ],
)
def test_arrays_that_no_encoder_has(prepared, tmp_path, change):
    encoder = prepared.encoder()
    path = tmp_path / "x.npz"
    config = np.array(json.dumps(encoder.config()))
    np.savez(path, config=config, **{**encoder.arrays(), **change})
    with pytest.raises(ValueError, match=r"encoder's `save`.*of C3"):
        criteo.load_encoder(path)


def header(shape, descr="<i8"):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape})
    text = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def test_nothing_is_allocated_before_its_size_is_known(tmp_path):
    path = tmp_path / "bomb.npz"
    # Deflated zeros, and headers that ask for more than there is.
    np.savez_compressed(path, config=np.zeros(1 << 24, np.uint8))
    with pytest.raises(ValueError, match=r"bytes unpack to 16777"):
        criteo.load_encoder(path)
    for shape in ((10**12,), (-1,), (2**40, 2**40), (3,), ("x",)):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.npy", header(shape) + bytes(16))
        with pytest.raises(ValueError, match="encoder's `save`"):
            criteo.load_encoder(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.npy", header("(" * 5000) + bytes(16))
    with pytest.raises(ValueError, match="encoder's `save`"):
        criteo.load_encoder(path)


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, config=np.array([print], object))
    with pytest.raises(ValueError, match="Python objects"):
        criteo.load_encoder(path)


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


def test_a_vocabulary_of_another_folder_is_refused(folder, log, tmp_path):
    other = criteo.prepare(log, tmp_path / "other", min_count=3)
    shutil.copy(other.directory / "vocabulary.npz", folder)
    with pytest.raises(ValueError, match="must have the cardinalities"):
        criteo.load(folder)
    (folder / "vocabulary.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"vocabulary\.npz must be written"):
        criteo.load(folder)
    (folder / "vocabulary.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold vocabulary\.npz"):
        criteo.load(folder)
