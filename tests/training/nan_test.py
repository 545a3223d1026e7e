"""A run that meets NaN stops, and keeps its best model and the batch."""

import keras
import numpy as np
import pytest
from runs import NARROW

from keras_pss.data import criteo
from keras_pss.data.locate import as_click_log
from keras_pss.training.config import RunConfig
from keras_pss.training.fit import fit, model_for
from keras_pss.training.run import train

pytestmark = [
    pytest.mark.tf_only,
    pytest.mark.usefixtures("plain_exports"),
]


@pytest.mark.slow
def test_the_best_epoch_outlives_a_divergence(data, tmp_path, monkeypatch):
    from keras_pss.training import fit as module

    class Diverges(module.BestModel):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                weight = self.model.get_layer("probability").bias
                weight.assign([float("nan")])
            super().on_epoch_end(epoch, logs)

    monkeypatch.setattr(module, "BestModel", Diverges)
    prepared = criteo.load(data / "prepared")
    config = RunConfig(
        model_options=NARROW, budget="20x", epochs=3, batch_size=512
    )
    report = train(prepared, config, tmp_path / "run", verbose=0)
    assert report["diverged"]
    # The second epoch, which diverged, is not recorded.
    assert (report["best_epoch"], report["epochs"]) == (1, 1)
    assert 0.5 < report["auc"] < 1


def broken_at(rows, step, batch_size):
    """Rows whose batch after so many steps holds a NaN."""
    stream = rows.stream

    def broken(size, seed, skip, shard=None):
        def spoil(index, batch):
            features, labels, *rows = batch
            return features, tf.where(index == step, np.nan, labels), *rows

        return stream(size, seed, skip, shard).enumerate(skip).map(spoil)

    import tensorflow as tf

    rows.stream = broken
    return rows


@pytest.mark.slow
def test_nan_stops_a_run_and_keeps_its_batch(data, tmp_path):
    rows = as_click_log(criteo.load(data / "prepared"))
    config = RunConfig(
        model_options=NARROW, budget="20x", epochs=3, batch_size=512
    )
    steps = config.rounds(rows.rows("train")).epoch
    with pytest.raises(ValueError, match=r"NaN after 3 steps.*nan_batch\.npz"):
        train(broken_at(rows, 3, 512), config, tmp_path / "early", verbose=0)
    kept = np.load(tmp_path / "early" / "nan_batch.npz")
    assert kept["step"] == 3
    assert np.isnan(kept["label"]).all()
    sound = as_click_log(criteo.load(data / "prepared"))
    features, _ = next(iter(sound.stream(512, 0, 3)))
    for name, value in features.items():
        np.testing.assert_array_equal(kept[name], value)
    # After an evaluation, the best checkpoint is kept.
    rows = broken_at(sound, steps + 2, 512)
    report = train(rows, config, tmp_path / "late", verbose=0)
    assert report["diverged"]
    assert report["epochs"] == 1
    assert np.load(tmp_path / "late" / "nan_batch.npz")["step"] == steps + 2


class BreakWeights(keras.callbacks.Callback):
    """After so many steps the weights are no numbers; no loss is NaN yet."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            bias = self.model.layers[-1].bias
            bias.assign(np.full(bias.shape, np.nan))


@pytest.mark.parametrize("rounds", [1, 2])
def test_nan_that_validation_finds_keeps_the_last_batch(data, tmp_path, rounds):
    rows = as_click_log(criteo.load(data / "prepared"))
    config = RunConfig(
        model_options=NARROW,
        budget="20x",
        epochs=3,
        batch_size=512,
        jit_compile=False,  # other runs are compiled
    )
    steps = config.rounds(rows.rows("train")).steps

    def run():
        model = model_for(rows, config)
        breaks = [BreakWeights(rounds * steps)]
        return fit(model, rows, config, tmp_path, breaks, verbose=0)

    if rounds == 1:
        with pytest.raises(ValueError, match=f"NaN after {steps - 1} steps"):
            run()
    else:
        fitted = run()
        assert fitted.diverged
        assert len(fitted.history["val_auc"]) == 1
    kept = np.load(tmp_path / "nan_batch.npz")
    assert kept["step"] == rounds * steps - 1
    _, labels = next(iter(rows.stream(512, 0, rounds * steps - 1)))
    np.testing.assert_array_equal(kept["label"], labels)
