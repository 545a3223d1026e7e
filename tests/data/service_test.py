"""Input servers send the batches that would be read here."""

import numpy as np
import pytest
import tensorflow as tf

from keras_pss import data
from keras_pss.data.pipelines.log_dataset import element_of
from keras_pss.data.pipelines.record_batches import Records, record_batches

pytestmark = pytest.mark.tf_only

WINDOW = 1_500  # rows: 2 shards of 700


@pytest.fixture(scope="module")
def servers():
    made = [data.InputServer("localhost", 0) for _ in range(2)]
    yield made
    for server in made:
        server.stop()


def here(prepared, batch_size, seed, skip):
    """The batches of `dataset` with small windows."""
    records = Records(
        "train",
        tuple(map(str, prepared.shards("train"))),
        prepared.layout.words,
        prepared.rows("train"),
        prepared.metadata["rows_per_shard"],
    )
    return record_batches(
        records,
        element_of(prepared),
        batch_size=batch_size,
        shuffle=True,
        seed=seed,
        drop_remainder=False,
        repeat=True,
        skip=skip,
        window_rows=WINDOW,
    )


def service(*servers, **options):
    return data.InputService(
        [each.address for each in servers], window_rows=WINDOW, **options
    )


def same(found, expected):
    tf.nest.map_structure(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize(
    ("count", "batch_size", "skip"), [(2, 256, 3), (1, 333, 25), (2, 2500, 0)]
)
def test_batches_are_those_read_here(
    prepared, servers, count, batch_size, skip
):
    """Over two epochs, from the middle of a window on."""
    batches = service(*servers[:count]).batches(
        prepared, batch_size=batch_size, seed=7, skip=skip
    )
    expected = here(prepared, batch_size, 7, skip)
    assert batches.element_spec == expected.element_spec
    steps = 2 * -(-prepared.rows("train") // batch_size)
    pairs = zip(
        batches.take(steps).as_numpy_iterator(),
        expected.take(steps).as_numpy_iterator(),
        strict=True,
    )
    for found, wanted in pairs:
        same(found, wanted)
