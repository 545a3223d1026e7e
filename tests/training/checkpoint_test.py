"""States of a run in a file: foreign, damaged and impossible ones."""

import random

import keras
import numpy as np
import pytest

from keras_pss.metrics.click_metrics import Metrics
from keras_pss.training import checkpoint
from keras_pss.training.run_callbacks import (
    BestModel,
    SaveState,
    StepTimes,
    StopOnNaN,
)

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


@pytest.fixture
def stopped(tmp_path):
    """Callbacks of a run that was stopped after three rounds."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    model.stop_training = False
    scores = iter([0.5, 0.7, 0.6])
    best = BestModel(
        lambda: Metrics(next(scores), 0.5, 1, 1, 9, 4),
        tmp_path / "best.npz",
        9,
        StopOnNaN(1),
    )
    times = StepTimes(1, 1)
    save = SaveState(tmp_path / "state.npz", best, times)
    best.set_model(model)
    save.set_model(model)
    for round in range(3):
        model.set_weights([np.full((1, 1), round + 1.0), np.zeros(1)])
        logs = {"loss": 1.0}
        best.on_epoch_end(round, logs)
        save.on_epoch_end(round, logs)
    return save, model


@pytest.mark.parametrize(
    ("damaged", "missing", "round"),
    [
        ([], [], 3),
        (["state"], [], 2),
        ([], ["state"], 2),
        (["best"], [], 3),
        ([], ["best"], 3),
        (["state", "best"], [], 2),
        (["state.second", "best.second"], [], 3),
        ([], ["state", "state.second"], 0),
        (["state", "state.second"], [], None),
        (["best", "best.second"], [], None),
        ([], ["best", "best.second"], None),
    ],
)
def test_the_other_file_is_used_where_one_is_damaged(
    stopped, tmp_path, damaged, missing, round
):
    save, model = stopped
    for name in damaged:
        path = tmp_path / f"{name}.npz"
        path.write_bytes(path.read_bytes()[:-50])
    for name in missing:
        (tmp_path / f"{name}.npz").unlink()
    if round is None:
        with pytest.raises(checkpoint.DamagedState, match="in another folder"):
            save.restore(model)
        return
    model.set_weights([np.zeros((1, 1)), np.zeros(1)])
    state = save.restore(model)
    assert state["round"] == model.get_weights()[0].item() == round
    save.adopt(state)
    if round:
        assert save.best.best_round == 2
        assert len(save.history["loss"]) == round
        checkpoint.restore(model, tmp_path / "best.npz")
        assert model.get_weights()[0].item() == 2
