"""When layers are updated, and which of the optimizer's slots start anew."""

import keras
import numpy as np
import pytest
from compiling import WITHOUT_XLA
from keras import ops

import keras_pss
from keras_pss.callbacks import LayerUpdates, Recluster
from keras_pss.layers.base.updates import Replaced
from keras_pss.optimizers.slots import slots_of

ROWS = 48


class Asked(keras_pss.FullEmbedding):
    """A table that notes when it is asked, and gives its first row back."""

    def after_step(self, step, steps_per_epoch):
        self.steps = [*getattr(self, "steps", []), (step, steps_per_epoch)]
        return [Replaced(self.embeddings_table, np.array([0]))]

    def after_epoch(self, done):
        self.shares = [*getattr(self, "shares", []), done]
        return []


def model_of(layer):
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    model.compile("adam", "mse", jit_compile=WITHOUT_XLA)
    return model


def fit(model, *callbacks, **arguments):
    ids = np.arange(ROWS, dtype="int32") % 10
    model.fit(
        ids,
        np.ones((ROWS, 4), "float32"),
        batch_size=8,
        shuffle=False,
        callbacks=list(callbacks),
        verbose=0,
        **arguments,
    )


def test_layers_are_asked_after_each_step_and_epoch():
    layer = Asked(10, 4)
    model = model_of(layer)
    fit(model, LayerUpdates(6), epochs=2)
    assert list(layer.steps) == [(k, 6) for k in range(1, 13)]
    assert list(layer.shares) == [0.5, 1.0]
    slots = list(slots_of(model.optimizer, layer.embeddings_table))
    assert len(slots) == 2
    for slot in slots:
        values = ops.convert_to_numpy(slot)
        assert not values[0].any()
        assert values[1:].all()


def test_times_are_those_of_the_whole_training():
    """Half epochs, as a run that evaluates twice, gone on with at the third."""
    layer = Asked(10, 4)
    fit(model_of(layer), LayerUpdates(12, 6), epochs=4, initial_epoch=2)
    assert list(layer.steps) == [(k, 12) for k in range(13, 25)]
    assert list(layer.shares) == [1.0]


@pytest.mark.parametrize("epochs", [1, 2, 4, 5])
def test_clusters_change_at_the_times_of_recluster(epochs):
    found = []
    for callback in (LayerUpdates(6), Recluster()):
        keras.utils.set_random_seed(5)
        layer = keras_pss.ClusteredEmbedding(10, 4, num_clusters=3)
        model = model_of(layer)
        if epochs > 1 or isinstance(callback, LayerUpdates):
            fit(model, callback, epochs=epochs)
            found.append(model.get_weights())
            assert int(layer.epoch_table[0, 0]) == 3 * epochs // 4
    for mine, theirs in zip(*found, strict=True) if epochs > 1 else ():
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("trainable", [True, False])
def test_hot_rows_are_filled_ten_times_an_epoch(trainable):
    inner = keras_pss.HashedEmbedding(10, 4, num_buckets=5)
    layer = keras_pss.HotRows(inner, 2, trainable=trainable)
    model = keras.Sequential(
        [keras.Input((), dtype="int32"), layer, keras.layers.Dense(4)]
    )
    model.compile("adam", "mse", jit_compile=WITHOUT_XLA)
    fit(model, LayerUpdates(6))
    assert bool(len(layer.ids())) == trainable
    late = keras_pss.HotRows(inner, 2)
    assert late.after_step(19, 200) == []
    assert len(late.after_step(20, 200)) == 1


def test_a_model_without_such_layers_is_left_alone():
    layer = keras_pss.FullEmbedding(10, 4)
    model = model_of(layer)
    fit(model, LayerUpdates(6))
    assert np.isfinite(layer.materialize()).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "`steps_per_epoch` must be a positive integer"),
        ((6, 7), "`steps_per_evaluation` must be a positive integer of at mo"),
    ],
)
def test_wrong_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        LayerUpdates(*arguments)
