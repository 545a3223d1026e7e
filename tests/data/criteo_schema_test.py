"""Criteo's schema: the bytes of `criteo.prepare`, and its older folders."""

from dataclasses import replace

import numpy as np
import pytest
from log_frames import blocks, criteo_frame

from keras_pss import data
from keras_pss.data import criteo
from keras_pss.data.storage.prepare_log import prepare_values
from keras_pss.data.storage.version_1.criteo_folder import CriteoFolder
from keras_pss.features import Categorical, Schema, Split

SPLITS = {
    "chronological": Split(),
    "random": Split("random", test=0.2, validation=0.3, seed=7),
    "none": Split(test=0, validation=0),
}


def schema_of(split, **options):
    base = Schema.load("criteo")
    features = tuple(
        replace(f, **options) if isinstance(f, Categorical) else f
        for f in base.features
    )
    return replace(base, features=features, split=SPLITS[split])


def same_shards(one, other):
    for split in other.splits:
        found, wanted = one.shards(split), other.shards(split)
        assert [p.name for p in found] == [p.name for p in wanted]
        for path, by in zip(found, wanted, strict=True):
            assert path.read_bytes() == by.read_bytes()


@pytest.mark.parametrize("min_count", [1, 3])
@pytest.mark.parametrize("split", SPLITS)
def test_shards_equal_those_of_criteo(log, rows, tmp_path, split, min_count):
    schema = schema_of(split, min_count=min_count)
    wanted = criteo.prepare(
        log,
        tmp_path / "wanted",
        min_count=min_count,
        split=split,
        test_fraction=schema.split.test,
        validation_fraction=schema.split.validation,
        split_seed=schema.split.seed,
        rows_per_shard=700,
    )
    found = prepare_values(
        blocks(criteo_frame(rows), 999),
        tmp_path / "found",
        schema,
        rows_per_shard=700,
    )
    assert found.splits == wanted.splits
    same_shards(found, wanted)
    assert found.cardinalities == wanted.cardinalities
    opened = data.load(wanted.directory)
    for column in (0, 11, 25):
        name = criteo.CATEGORIES[column]
        counts = wanted.counts(column)
        np.testing.assert_array_equal(found.counts(name), counts)
        np.testing.assert_array_equal(opened.counts(name), counts)
        texts = opened.vocabulary(name).to_list()
        assert found.vocabulary(name).to_list() == texts


def test_a_folder_of_version_1_opens_as_a_log(prepared):
    opened = data.load(prepared.directory)
    assert isinstance(opened, CriteoFolder)
    opened.verify()
    assert opened.cardinalities == prepared.cardinalities
    assert opened.splits == prepared.splits
    assert opened.layout.record_bytes == 160
    assert opened.schema == schema_of("chronological", min_count=2)
    assert opened.sources == prepared.metadata["sources"]
    for split in prepared.splits:
        assert opened.rows(split) == prepared.rows(split)
        assert opened.clicks(split) == prepared.clicks(split)
        assert opened.shards(split) == prepared.shards(split)
    with pytest.raises(ValueError, match=r"`table` must be.*table='I1'"):
        opened.vocabulary("I1")


@pytest.mark.parametrize("buckets", [50, None])
def test_hashed_ids_of_version_1(log, tmp_path, buckets):
    made = criteo.prepare(
        log, tmp_path / "out", ids="hash", hash_buckets=buckets, split="none"
    )
    opened = data.load(made.directory)
    assert opened.cardinalities == [buckets] * 26
    assert opened.schema["C1"].buckets == buckets
    assert opened.schema.split == SPLITS["none"]
    with pytest.raises(ValueError, match=r"`counts` needs a vocabulary"):
        opened.counts("C1")
    with pytest.raises(ValueError, match=r"there is none"):
        opened.vocabulary("C1")


@pytest.mark.tf_only
def test_a_pipeline_of_version_1(prepared):
    opened = data.load(prepared.directory)
    for options in (
        {"seed": 3},
        {"shuffle": False},
        {"split": "test"},
        {"repeat": True, "skip": 70, "seed": 1},
        {"drop_remainder": True},
    ):
        pair = (
            made(folder, batch_size=100, **options).take(40)
            for made, folder in (
                (data.dataset, opened),
                (criteo.dataset, prepared),
            )
        )
        found, wanted = (list(batches.as_numpy_iterator()) for batches in pair)
        assert len(found) == len(wanted)
        for (x, y), (features, label) in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(y, label)
            assert set(x) == set(features)
            for key, values in features.items():
                np.testing.assert_array_equal(x[key], values)
