"""A callback that fills and refreshes hot rows during training."""

from typing import Any

import keras

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.base.walk import every as every_layer
from keras_pss.layers.composite.hot.hot_cache import HotCache
from keras_pss.optimizers.slots import reset_rows


class RefreshHotRows(keras.callbacks.Callback):
    """Makes the most frequent ids hot, after a warm-up and periodically.

    The callback refreshes each trainable `keras_pss.HotRows` of the model, at
    any depth of nesting, and the hot rows that the tables of a collection
    share. The optimizer's slots of a row (Adam's moments,
    Adagrad's accumulator) are kept for an id that stays hot, and are reset for
    a row that is given to a new id.

    After each epoch the logs hold the hit rate, which is the share of the
    epoch's lookups that were of hot ids. Its key is `hot_rows_hit_rate`,
    followed by `_` and the layer's name if there are several layers. List the
    callback before those that write logs, such as
    `keras.callbacks.TensorBoard`.

    Steps are counted over all calls of `fit` with the same callback. Where
    Keras runs several steps at once (`steps_per_execution`), the refresh runs
    after the first execution that reaches its step.

    Args:
        warmup_steps: Integer, the number of training steps before the first
            refresh. TT-Rec uses a tenth of the first epoch.
        every: Integer, the number of steps from one refresh to the next, or
            None to refresh only once. Defaults to None. TT-Rec uses hundreds
            to thousands. A refresh reads the counts of all ids and discards
            what evicted ids learned.
        decay: Boolean, whether each refresh halves the counts, so that the
            hot rows follow traffic that drifts; see `HotRows.refresh`.
            Defaults to None, the `decay` of each layer.

    Raises:
        ValueError: At the start of training, if the model has no trainable
            `HotRows`.

    Example:

    ```python
    embedding = keras_pss.TTEmbedding(100_000, 8, rank=4)
    layer = keras_pss.HotRows(embedding, capacity=100)
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    model.compile("adam", "mse")
    ids = np.random.default_rng(0).zipf(1.1, 1024).clip(max=100_000) - 1
    refresh = keras_pss.callbacks.RefreshHotRows(warmup_steps=8, every=8)
    history = model.fit(
        ids, np.ones((1024, 8)), callbacks=[refresh], verbose=0
    )
    len(history.history["hot_rows_hit_rate"])  # 1
    ```

    References: Yin et al., "TT-Rec: Tensor train compression for deep
    learning recommendation models" (MLSys 2021), section 4.2, figure 4.
    """

    def __init__(
        self,
        warmup_steps: int,
        every: int | None = None,
        decay: bool | None = None,
    ) -> None:
        super().__init__()
        self.warmup_steps = positive_int("warmup_steps", warmup_steps)
        self.every = None if every is None else positive_int("every", every)
        self.decay = decay
        self.steps = 0
        self._next: int | None = warmup_steps
        self._begin = 0
        self._layers: dict[str, HotCache] = {}
        self._before: dict[str, tuple[int, int]] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        layers = every_layer(self.model, HotCache)
        if not any(layer.learns() for layer in layers):
            raise ValueError(
                "RefreshHotRows needs a model with a trainable "
                "keras_pss.HotRows layer. Wrap an embedding in one, or remove "
                f"the callback. Received: model '{self.model.name}' with "
                f"{len(layers)} HotRows layers, none of them trainable"
            )
        self._layers = _named(layers)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._before = {
            name: layer.count_hits() for name, layer in self._layers.items()
        }

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._begin = batch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += batch - self._begin + 1
        if self._next is None or self.steps < self._next:
            return
        self._next = self.steps + self.every if self.every else None
        # On JAX the variables are stale while an epoch runs. Access to
        # `self.model` synchronizes them, and Keras reads them again later.
        optimizer = self.model.optimizer
        for layer in self._layers.values():
            if not layer.learns():
                continue
            change = layer.refresh(decay=self.decay)
            reset_rows(optimizer, layer.hot.hot_table, change.slots)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if logs is None:
            return
        for name, layer in self._layers.items():
            pairs = zip(layer.count_hits(), self._before[name], strict=True)
            hits, lookups = (after - before for after, before in pairs)
            logs[name] = hits / lookups if lookups else float("nan")


def _named(layers: list[HotCache]) -> dict[str, HotCache]:
    """Layers, keyed by the name of their hit rate in the logs."""
    name = "hot_rows_hit_rate"
    if len(layers) == 1:
        return {name: layers[0]}
    found: dict[str, HotCache] = {}
    for layer in layers:
        own, number = f"{name}_{layer.name}", 1
        while own in found:
            number += 1
            own = f"{name}_{layer.name}_{number}"
        found[own] = layer
    return found
