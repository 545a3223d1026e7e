"""Steps that run ahead of their callbacks are the same steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pss
from keras_pss import distribution
from keras_pss.distribution import replicas, steps_ahead

pytestmark = pytest.mark.tf_only

STEPS, TOTAL = 41, 41 + 30


class Seen(keras.callbacks.Callback):
    """Logs of each step, and its number; stops after the last one."""

    def __init__(self, stop=TOTAL):
        super().__init__()
        self.logs, self.epochs, self.stop = [], [], stop

    def on_train_batch_end(self, batch, logs=None):
        self.logs.append((batch, {k: float(v) for k, v in logs.items()}))
        finite = np.isfinite(self.logs[-1][1]["loss"])
        if len(self.logs) == self.stop or not finite:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        weights = [w.copy() for w in self.model.get_weights()]
        self.epochs.append((dict(logs), weights))


def trained(monkeypatch, ahead, jit, labels=None, updates=False):
    """What callbacks see of a small model, and how many calls were made."""
    keras.utils.set_random_seed(0)
    ids = np.random.default_rng(0).integers(0, 60, 131).astype("int32")
    labels = (ids % 2).astype("float32") if labels is None else labels
    batches = tf.data.Dataset.from_tensor_slices((ids, labels)).batch(8)
    layer = keras_pss.ROBEEmbedding(60, 4, memory_size=50)
    if updates:
        layer = keras_pss.HotRows(layer, 5)
    model = keras.Sequential(
        [
            keras.Input((), dtype="int32"),
            layer,
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile(
        "adam", "binary_crossentropy", metrics=["AUC"], jit_compile=jit
    )
    calls = []
    run = steps_ahead.StepsAhead._run

    def counted(self, iterator):
        found = run(self, iterator)
        calls.append(len(found))
        return found

    seen = Seen()
    with monkeypatch.context() as patch:
        patch.setattr(steps_ahead.StepsAhead, "_run", counted)
        distribution.Replicas().fit(
            model,
            batches.repeat(),
            epochs=3,
            steps_per_epoch=STEPS,
            callbacks=[seen],
            verbose=0,
            schedule=steps_ahead.Schedule(TOTAL, 17) if ahead else None,
        )
    return seen, calls, int(model.optimizer.iterations), model


@pytest.mark.parametrize("jit", [False, True])
def test_callbacks_see_the_logs_of_each_step(monkeypatch, jit):
    one, none, steps, _ = trained(monkeypatch, False, jit)
    both, calls, same, model = trained(monkeypatch, True, jit)
    assert none == []
    assert sum(calls) == len(both.logs) == TOTAL
    assert max(calls) > 1
    # Passes have 17 batches, the last of three rows; epochs have 41.
    begins = {0, *np.cumsum(calls).tolist()}
    assert {16, 17, 33, 34, 41, 50, 51, 67, 68} <= begins
    assert both.logs == one.logs
    assert steps == same == TOTAL
    assert model.train_function is None
    for mine, other in zip(both.epochs, one.epochs, strict=True):
        assert mine[0] == other[0]
        for a, b in zip(mine[1], other[1], strict=True):
            np.testing.assert_array_equal(a, b)


def test_no_step_follows_a_loss_of_nan(monkeypatch):
    labels = np.ones(131, "float32")
    labels[100] = np.nan  # in batch 12
    seen, calls, steps, _ = trained(monkeypatch, True, False, labels)
    assert (steps, sum(calls)) == (13, 13)
    assert [np.isfinite(log["loss"]) for _, log in seen.logs] == [True] * 12 + [
        False
    ]


def test_layers_that_change_between_steps_run_step_by_step(monkeypatch):
    _, calls, steps, model = trained(monkeypatch, True, False, updates=True)
    assert (calls, steps) == ([], TOTAL)
    assert not replicas._can_run_ahead(model)


def test_a_call_lasts_a_quarter_of_a_second_at_most(monkeypatch):
    """The clock advances by 0.1 s a step."""
    now = iter(np.cumsum([0.0] + [0.1] * 500))
    counts = []

    class Model:
        jit_compile = False

        def get_metrics_result(self):
            return {"loss": tf.zeros(())}

        def train_step(self, data):
            return {"loss": tf.zeros(())}

    schedule = steps_ahead.Schedule(1000, 1000)
    ahead = steps_ahead.StepsAhead(Model(), 1000, 0, schedule)

    def several(iterator, count):
        counts.append(int(count))
        for _ in range(int(count) - 1):
            next(now)
        return {"loss": tf.zeros(count)}

    ahead._several = several
    monkeypatch.setattr(steps_ahead.time, "perf_counter", lambda: next(now))
    for _ in range(20):
        ahead(iter([]))
    assert counts[:4] == [1, 2, 2, 2]
