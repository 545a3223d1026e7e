"""A callback that re-clusters clustered embeddings between epochs."""

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
    """Regroups the ids of clustered embeddings at the end of epochs.

    The callback calls `recluster()` of each trainable
    `keras_pss.ClusteredEmbedding` of the model, at any depth of nesting, and
    resets the optimizer's slots of the replaced tables to their initial
    values.

    Re-clustering loses a part of what was learned: the loss rises for some
    steps, and the following epochs have to recover it. For this reason the
    last quarter of the epochs trains without re-clustering. Re-clustering
    pays off only after rows have had time to diverge, so an epoch should have
    many steps; to train for a single pass over the data, split it into
    shorter epochs by `fit(steps_per_epoch=...)`. Validation scores are
    computed before the re-clustering: list this callback after those that
    read the scores or save the model.

    Args:
        every_epochs: Integer, the number of epochs from one re-clustering to
            the next. Defaults to 1.
        until: Integer, the last epoch, counted from 1, that may end with a
            re-clustering. Defaults to three quarters of the epochs of `fit`,
            rounded down.
        counts: Dict from a layer's name to an array that says how often each
            id occurs; see `ClusteredEmbedding.recluster`. A layer that is not
            in the dict weighs all ids the same.
        samples_per_cluster: Integer; see `ClusteredEmbedding.recluster`.
            Fewer samples are faster. Defaults to 256.
        seed: Integer seed of the random samples. Defaults to 0.

    Raises:
        ValueError: At the start of training, if the model has no trainable
            `ClusteredEmbedding`, if `counts` names a layer that the model
            lacks, or if `fit` ends before the first re-clustering.

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
                "keras_pss.ClusteredEmbedding. Add one, or remove the "
                f"callback. Received: model '{self.model.name}' without any"
            )
        names = sorted(layer.name for layer in self._layers)
        for name in self.counts:
            if name not in names:
                raise ValueError(
                    "The keys of `counts` must be names of the model's "
                    "trainable ClusteredEmbedding layers: "
                    f"{', '.join(names)}. Received: counts with {name!r}"
                )
        epochs = self.params["epochs"]
        self._last = 3 * epochs // 4 if self.until is None else self.until
        if min(self._last, epochs) < self.every_epochs:
            raise ValueError(
                f"No epoch ends with a re-clustering: `fit` has {epochs} "
                f"epochs, and epoch {self._last} is the last that may. Train "
                "for more epochs (`steps_per_epoch` makes them shorter), give "
                "a larger `until` or a smaller `every_epochs`. "
                f"Received: every_epochs={self.every_epochs}, "
                f"until={self.until}"
            )

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if epoch + 1 > self._last or (epoch + 1) % self.every_epochs:
            return
        if self.model.stop_training:
            return  # No epoch is left to recover, and rows may be NaN.
        # On JAX the variables are stale while an epoch runs. Access to
        # `self.model` synchronizes them, and Keras reads them again later.
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
