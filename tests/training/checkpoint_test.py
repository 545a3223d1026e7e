"""States of a run in a file: foreign, damaged and impossible ones."""

import random

import keras
import numpy as np
import pytest

from keras_pss.training import checkpoint

pytestmark = pytest.mark.tf_only


def test_a_state_that_is_not_this_models_is_refused(tmp_path):
    def model(width):
        inputs = keras.Input((1,))
        made = keras.Model(inputs, keras.layers.Dense(width)(inputs))
        made.compile("sgd", "mse")
        return made

    path = tmp_path / "state.npz"
    checkpoint.save(model(2), path, {})
    with pytest.raises(ValueError, match=r"of shape \(1, 3\) and type float32"):
        checkpoint.restore(model(3), path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoint.restore(model(2), path)
    path.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoint.restore(model(2), path)


def test_a_damaged_state_is_refused_or_as_it_was(tmp_path):
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    path = tmp_path / "state.npz"
    state = {"round": 3, "stopped": False}
    checkpoint.save(model, path, state)
    assert [p.name for p in tmp_path.iterdir()] == ["state.npz"]
    whole, weights = path.read_bytes(), model.get_weights()
    chosen, refused = random.Random(1), 0
    for turn in range(200):
        content = bytearray(whole)
        at = chosen.randrange(len(whole))
        if turn % 3:
            content[at] ^= 1 << chosen.randrange(8)
        else:
            del content[at:]
        path.write_bytes(content)
        try:
            again = checkpoint.restore(model, path)
        except checkpoint.ForeignState:
            refused += 1
            continue
        assert again == state
        for got, wanted in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(got, wanted)
    assert refused > 150


@pytest.mark.parametrize(
    "change",
    [
        {"state": np.array("[" * 100_000)},
        {"state": np.array("[]")},
        {"state": np.array([print], object)},
        {"00000": np.zeros((1, 2), "float64")},
        {"00000": np.zeros((1, 2), "<U3")},
    ],
    ids=range(5),
)
def test_states_that_no_run_has(tmp_path, change):
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile("sgd", "mse")
    path = tmp_path / "state.npz"
    checkpoint.save(model, path, {})
    with np.load(path) as arrays:
        content = {**arrays, **change}
    np.savez(path, **content)
    with pytest.raises(checkpoint.ForeignState, match="estart the run"):
        checkpoint.restore(model, path)
