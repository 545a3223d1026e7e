"""Every source of batches that Keras takes is checked or refused."""

import pickle
from functools import partial

import id_models
import keras
import numpy as np
import pytest
from compiling import WITHOUT_XLA
from id_models import (
    BACKEND,
    GOOD,
    SLOW_BUT_ON_TORCH,
    batch,
    errors,
    tables,
)
from keras.src.trainers.data_adapters.array_data_adapter import (
    ArrayDataAdapter,
)

from keras_pss.models import Model
from keras_pss.ops.model_inputs import sources
from keras_pss.ops.model_inputs.exact_inputs import ExactInputs

# Keras does not know the length of generators and of Grain's datasets.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")

LABELS = np.ones((2, 1), "float32")
model_of = partial(id_models.model_of, jit_compile=WITHOUT_XLA)
WRONG = {"2^32 + 5": GOOD + 2**32, "fraction": GOOD + 0.7}


def grain_map(*all_ids):
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source([(batch(ids), LABELS) for ids in all_ids])


def grain_iter(*all_ids):
    return grain_map(*all_ids).to_iter_dataset()


def grain_loader(*all_ids):
    grain = pytest.importorskip("grain")
    batches = [(batch(ids), LABELS) for ids in all_ids]
    sampler = grain.samplers.IndexSampler(
        len(batches), grain.sharding.NoSharding(), num_epochs=1
    )
    return grain.DataLoader(data_source=batches, sampler=sampler)


class Batches(keras.utils.PyDataset):
    def __init__(self, *all_ids):
        super().__init__()
        self.all_ids = all_ids

    def __len__(self):
        return len(self.all_ids)

    def __getitem__(self, index):
        return batch(self.all_ids[index]), LABELS


def generator(*all_ids):
    for ids in all_ids:
        yield batch(ids), LABELS


def torch_loader(*all_ids):
    torch = pytest.importorskip("torch")
    rows = [
        ({"dense": np.zeros(2, "float32"), "categorical": row}, label)
        for ids in all_ids
        for row, label in zip(ids, LABELS, strict=True)
    ]
    return torch.utils.data.DataLoader(rows, batch_size=2)


def fit(model, *args, **kwargs):
    return model.fit(*args, shuffle=False, verbose=0, **kwargs)


@pytest.mark.parametrize("source", [grain_map, grain_iter, grain_loader])
def test_grains_datasets_are_checked(source):
    model = model_of()
    expected = model.predict(batch(GOOD), verbose=0)
    for ids in GOOD, GOOD.astype("float64"):
        found = model.predict(source(ids, ids), verbose=0)
        np.testing.assert_allclose(found, [*expected, *expected], rtol=1e-6)
    fit(model, source(GOOD, GOOD))
    # A first batch of int32 must not set the dtype of those that follow.
    first = GOOD.astype("int32")
    with pytest.raises(errors(), match="takes integers that"):
        model.predict(source(WRONG["fraction"]), verbose=0)
    for function in (
        lambda ids: model.predict(source(ids), verbose=0),
        lambda ids: model.predict(source(first, first, ids), verbose=0),
        lambda ids: fit(model, source(ids)),
        lambda ids: model.evaluate(source(ids), verbose=0),
        lambda ids: fit(
            model, batch(GOOD), LABELS, validation_data=source(ids)
        ),
    ):
        with pytest.raises(errors(), match="takes integers that"):
            function(WRONG["2^32 + 5"])


@pytest.mark.parametrize(
    "data",
    [
        ArrayDataAdapter(batch(GOOD)),
        iter([batch(GOOD)]),
        map(batch, [GOOD]),
        range(3),
        GOOD.tolist(),
        [batch(GOOD), 7],
    ],
    ids=["adapter", "iterator", "map", "range", "numbers", "in a list"],
)
def test_other_data_is_refused(data):
    model = model_of()
    for function in (
        lambda: model.predict(data, verbose=0),
        lambda: model.predict_on_batch(data),
        lambda: model.fit(data, verbose=0),
        lambda: model.train_on_batch(data, LABELS),
    ):
        with pytest.raises(
            ValueError, match=r"`x` must be arrays or tensors, .*Received: x w"
        ):
            function()
    for validation in data, (data, LABELS):
        if isinstance(validation, list):
            continue  # which Keras reads as x and y
        with pytest.raises(ValueError, match="`validation_data` must be"):
            fit(model, batch(GOOD), LABELS, validation_data=validation)


def test_more_arrays_than_inputs_are_refused():
    """On JAX, Keras would use the first one without a check."""
    ids = keras.Input((3,), dtype="int32", name="ids")
    model = Model(ids, tables()(ids))
    for given in [GOOD + 2**32, GOOD], (GOOD, GOOD), {"a": GOOD, "b": GOOD}:
        for function in model, lambda x: model.predict(x, verbose=0):
            with pytest.raises(
                ValueError, match=r"(2 values for 1 inp|but it rec|Missing)"
            ):
                function(given)
    # Keras takes a single value under any name, so it is checked as well.
    with pytest.raises(ValueError, match="takes integers that"):
        model.predict({"other": GOOD + 2**32}, verbose=0)
    model = Model({"ids": ids}, tables()(ids))
    with pytest.warns(UserWarning, match="doesn't match the expected"):
        found = model.predict({"ids": GOOD, "other": GOOD + 2**32}, verbose=0)
    expected = model.predict({"ids": GOOD}, verbose=0)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.tf_only
def test_a_distributed_dataset_is_checked_by_the_model():
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = model_of()

    def distributed(ids):
        data = tf.data.Dataset.from_tensor_slices((batch(ids), LABELS))
        return strategy.experimental_distribute_dataset(data.batch(2))

    assert isinstance(distributed(GOOD), tf.distribute.DistributedDataset)
    model.evaluate(distributed(GOOD), steps=1, verbose=0)
    for wrong in WRONG.values():
        with pytest.raises(errors(), match="takes integers that"):
            model.evaluate(distributed(wrong), steps=1, verbose=0)


def test_ragged_and_sparse_tensors_of_tensorflow_on_any_backend():
    tf = pytest.importorskip("tensorflow")
    ids = keras.Input((2,), dtype="int32", name="ids")
    exactly = ExactInputs.of(
        Model(ids, tables()(keras.ops.pad(ids, [[0, 0], [0, 1]])))
    )
    for x in (
        tf.ragged.constant([[1, 2], [2**32 + 5]], dtype=tf.int64),
        tf.sparse.from_dense(np.array([[1, 2], [2**32 + 5, 0]])),
    ):
        with pytest.raises(errors(), match="takes integers that"):
            exactly(x)


def test_a_checked_dataset_goes_to_other_processes():
    """Which `spawn` starts, so that it is pickled there."""
    exactly = ExactInputs.of(model_of())
    for ids in GOOD, WRONG["2^32 + 5"]:
        data = sources.converted(Batches(ids), exactly, "x")
        copy = pickle.loads(pickle.dumps(data))
        if ids is GOOD:
            (x, y), (x_copy, y_copy) = data[0], copy[0]
            assert x_copy["categorical"].dtype == "int32"
            np.testing.assert_array_equal(x_copy["categorical"], GOOD)
            np.testing.assert_array_equal(x["categorical"], GOOD)
            np.testing.assert_array_equal(y, y_copy)
        else:
            with pytest.raises(ValueError, match="takes integers that"):
                copy[0]


@pytest.mark.parametrize(
    ("source", "good"),
    [(Batches, 0), (generator, 3)]
    + [
        pytest.param(torch_loader, good, marks=SLOW_BUT_ON_TORCH)
        for good in (0, 3)
    ],
)
def test_a_refused_batch_leaves_the_model_usable(source, good):
    """On JAX, Keras takes the weights out of a model that it trains."""
    model = model_of()
    expected = model.get_weights()
    data = [GOOD] * good + [GOOD + 2**32]
    for way in "predict", "evaluate", "predict":
        with pytest.raises(errors(), match="takes integers that"):
            getattr(model, way)(source(*data), verbose=0)
        for found, wanted in zip(model.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    with pytest.raises(errors(), match="takes integers that"):
        fit(model, source(*data))
    same = model_of()
    same.set_weights(expected)
    if good == 3 and BACKEND != "tensorflow":  # which reads ahead
        fit(same, source(*data[:-1]))
        for found, wanted in zip(
            model.get_weights(), same.get_weights(), strict=True
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-6)
    for validation in None, source(*data):
        try:
            fit(model, batch(GOOD), LABELS, validation_data=validation)
        except errors():
            assert validation is not None
        found = model.predict(batch(GOOD), verbose=0)
        assert np.isfinite(found).all()


def test_a_step_before_other_weights_is_not_put_back():
    """What a refused call puts back is of the same call."""
    model = model_of()
    model.train_on_batch(batch(GOOD), LABELS)
    wanted = [np.ones_like(weight) for weight in model.get_weights()]
    model.set_weights(wanted)
    for function in (
        lambda data: model.predict(data, verbose=0),
        lambda data: model.evaluate(data, verbose=0),
        lambda data: fit(model, data),
    ):
        with pytest.raises(errors(), match="takes integers that"):
            function(generator(GOOD + 2**32))
        for found, each in zip(model.get_weights(), wanted, strict=True):
            np.testing.assert_array_equal(found, each)


def test_every_kind_of_source_that_keras_has_is_known():
    """A new data adapter of Keras needs a way here."""
    from keras.src.trainers import data_adapters

    names = {n for n in dir(data_adapters) if n.endswith("Adapter")}
    assert names == {
        "ArrayDataAdapter",
        "GeneratorDataAdapter",
        "GrainDatasetAdapter",
        "PyDatasetAdapter",
        "TFDatasetAdapter",
        "TorchDataLoaderAdapter",
    }
    checks = {n for n in dir(data_adapters) if n.startswith("is_")}
    assert checks == {
        "is_tf_dataset",
        "is_torch_dataloader",
        "is_grain_dataset",
    }
