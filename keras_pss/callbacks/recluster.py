"""Re-clusters the clustered embeddings of a model between epochs."""

import logging
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.base.walk import every as every_layer
from keras_pss.layers.embedding.clustered_embedding import ClusteredEmbedding
from keras_pss.optimizers.slots import reset_rows

logger = logging.getLogger(__name__)


class Recluster(keras.callbacks.Callback):
    """Lets the ids of clustered embeddings choose anew whom they share with.

    At the end of an epoch it calls `recluster()` of each trainable
    `keras_pss.ClusteredEmbedding` of the model, wherever it is nested, and
    gives the optimizer's slots of the replaced tables the values that they
    start with.

    A re-clustering loses a part of what was learned, which the epochs after
    it have to mend: the loss rises for some steps, and the last quarter of
    the epochs is left for training alone. It pays where rows have had time to
    become different, so an epoch should be many steps; where one pass over
    the data is all there is, cut it by `fit(steps_per_epoch=...)`. List the
    callback behind those that save the model or read its validation scores,
    which are those from before.

    Args:
        every_epochs: Epochs from one re-clustering to the next.
        until: The last epoch, counted from 1, that may end in one. By default
            three quarters of the epochs of `fit`, rounded down.
        counts: How often each id occurs, by name of the layer; see
            `ClusteredEmbedding.recluster`. Layers that are not named weigh
            all ids the same.
        samples_per_cluster: See `ClusteredEmbedding.recluster`; fewer are
            faster.
        seed: Of the draws.

    Raises:
        ValueError: When training begins: for a model without a trainable
            `ClusteredEmbedding`, for counts of a layer that is not there, and
            for a `fit` that ends before the first re-clustering.

    Example:

    ```python
    layer = keras_pss.ClusteredEmbedding(10_000, 8, num_clusters=20)
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    model.compile("adam", "mse")
    ids = np.arange(10_000)
    recluster = keras_pss.callbacks.Recluster(every_epochs=2)
    history = model.fit(
        ids, np.ones((10_000, 8)), epochs=4, callbacks=[recluster], verbose=0
    )
    int(layer.epoch_table[0, 0])  # 1
    ```

    References: Tsang and Ahle, "Clustering the sketch: dynamic compression
    for embedding tables" (NeurIPS 2023), algorithm 3 and section 4.
    """

    def __init__(
        self,
        every_epochs: int = 1,
        until: int | None = None,
        counts: Mapping[str, np.ndarray] | None = None,
        samples_per_cluster: int = 256,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.every_epochs = positive_int("every_epochs", every_epochs)
        self.until = None if until is None else positive_int("until", until)
        self.counts = dict(counts or {})
        self.samples_per_cluster = positive_int(
            "samples_per_cluster", samples_per_cluster
        )
        self.seed = seed
        self._layers: list[ClusteredEmbedding] = []
        self._last = 0

    def on_train_begin(self, logs: Any = None) -> None:
        found = every_layer(self.model, ClusteredEmbedding)
        self._layers = [layer for layer in found if layer.trainable]
        if not self._layers:
            raise ValueError(
                "Recluster needs a model with a trainable "
                "keras_pss.ClusteredEmbedding. Add one, or leave the callback "
                f"out. Received: model '{self.model.name}' without any"
            )
        names = sorted(layer.name for layer in self._layers)
        for name in self.counts:
            if name not in names:
                raise ValueError(
                    "`counts` are given by name of a ClusteredEmbedding; the "
                    f"model has {', '.join(names)}. Received: {name!r}"
                )
        epochs = self.params["epochs"]
        self._last = 3 * epochs // 4 if self.until is None else self.until
        if min(self._last, epochs) < self.every_epochs:
            raise ValueError(
                f"`fit` has {epochs} epochs, of which the last to end in a "
                f"re-clustering is number {self._last}: none does. Train for "
                "more epochs (`steps_per_epoch` makes shorter ones), or give "
                "`until` or a smaller `every_epochs`. "
                f"Received: every_epochs={self.every_epochs}, "
                f"until={self.until}"
            )

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if epoch + 1 > self._last or (epoch + 1) % self.every_epochs:
            return
        if self.model.stop_training:
            return  # No epoch is left to mend it, and rows may be NaN.
        # On JAX the weights are elsewhere while an epoch runs: naming the
        # model brings them back, and Keras then hands them out again.
        optimizer = self.model.optimizer
        for layer in self._layers:
            error = layer.recluster(
                self.counts.get(layer.name),
                samples_per_cluster=self.samples_per_cluster,
                seed=self.seed,
            )
            for table, rows in layer.replaced():
                reset_rows(optimizer, table, rows)
            logger.info(
                "Epoch %d: re-clustered '%s', relative squared error %.3g",
                epoch + 1,
                layer.name,
                error,
            )
