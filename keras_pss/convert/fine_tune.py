"""Tunes the tables of a converted model on a little data."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss import keras_internals
from keras_pss.convert import batches
from keras_pss.convert.surgery import own_weights
from keras_pss.layers.base import walk
from keras_pss.layers.base.checks import number, positive_int, shown
from keras_pss.models.model import Model


@dataclass(frozen=True)
class TunedStep:
    """A state of the tables that was scored.

    Attributes:
        learning_rate: Learning rate; 0 before any step.
        epochs: Epochs trained with it.
        score: The validation score, where higher is better.
    """

    learning_rate: float
    epochs: float
    score: float


@dataclass(frozen=True)
class TuneReport:
    """The states that `fine_tune` scored; `print` shows a table.

    Attributes:
        steps: One entry for each, the state before any step first.
        best: Index of the one that the model has now.
    """

    steps: tuple[TunedStep, ...]
    best: int

    def __str__(self) -> str:
        lines = ["learning rate  epochs  validation score"]
        for place, step in enumerate(self.steps):
            rate = f"{step.learning_rate:g}" if step.learning_rate else "-"
            chosen = "  chosen" if place == self.best else ""
            lines.append(
                f"{rate:>13}  {step.epochs:>6.3g}  {step.score:>16.4f}{chosen}"
            )
        return "\n".join(lines)


def fine_tune(
    model: keras.Model,
    train_data: Any,
    validation_data: Any = None,
    learning_rates: Sequence[float] = (1e-4, 1e-3),
    epochs: int = 1,
    evaluations: int = 2,
    score: Callable[[keras.Model], float] | None = None,
    loss: Any = None,
    batch_size: int = 512,
    steps_per_epoch: int | None = None,
    seed: int = 0,
) -> TuneReport:
    """Trains the embedding tables of a model, with the network frozen.

    Click models overfit in their second epoch, and it is the network that
    does. With the network frozen, tables that were converted recover what ids
    lost by sharing numbers: a low rate is best where little was lost, a high
    one where much was. Each rate starts from the given tables, and the
    validation score chooses among all states, the given one included. So the
    model gets no worse on validation rows.

    Args:
        model: A built model, such as `compress_model` returns. The values of
            its tables change; its own optimizer is neither used nor changed.
        train_data: Batches `(x, y)` or `(x, y, sample_weight)`: a dataset or
            any iterable; or one such tuple of arrays. Rows that the model has
            not been trained on are best.
        validation_data: Data for `model.evaluate`: a dataset, a list of
            batches or a tuple of arrays. Not needed with `score`.
        learning_rates: Rates of Adam that are tried. Defaults to 1e-4 and
            1e-3.
        epochs: Integer, epochs with each rate. Defaults to 1.
        evaluations: Integer, how often an epoch is scored. Defaults to 2.
        score: Function of the model that returns its validation score, where
            higher is better, such as an AUC. Defaults to the negative loss on
            `validation_data`.
        loss: Loss function, or a structure of them for several outputs.
            Defaults to that of the compiled model, with its `loss_weights`.
        batch_size: Integer, rows of a batch if `train_data` are arrays.
            Defaults to 512.
        steps_per_epoch: Integer, the batches of an epoch. Needed only if
            `train_data` does not know its length. Defaults to None.
        seed: Integer seed of the order of arrays. Defaults to 0.

    Returns:
        A `TuneReport`.

    Raises:
        ValueError: If there is no loss, no score, no trainable table, or no
            number of steps.

    Example:

    ```python
    ids = keras.Input((1,), dtype="int32")
    rows = keras_pss.HashedEmbedding(1000, 8, num_buckets=50)(ids)
    model = keras.Model(ids, keras.layers.Dense(1)(rows))
    x, y = np.arange(1000)[:, None], np.ones((1000, 1, 1))
    report = keras_pss.fine_tune(
        model, (x, y), (x, y), loss="mse", batch_size=100
    )
    len(report.steps)  # 5
    ```
    """
    positive_int("epochs", epochs)
    positive_int("evaluations", evaluations)
    if isinstance(learning_rates, str) or not isinstance(
        learning_rates, Sequence
    ):
        raise ValueError(
            "`learning_rates` must be a list of numbers, such as [1e-3]. "
            f"Received: learning_rates={shown(learning_rates)}"
        )
    rates = [float(number("learning_rates", x, 0)) for x in learning_rates]
    settings = _settings(model, loss)
    if settings["loss"] is None:
        raise ValueError(
            "`loss` must be given if the model is not compiled. "
            f"Received: loss=None, model={model.name}"
        )
    if score is None and validation_data is None:
        raise ValueError(
            "`validation_data` or `score` must say which state is best. "
            "Received: validation_data=None, score=None"
        )
    if score is not None and not callable(score):
        raise ValueError(
            "`score` must be a function of a model. "
            f"Received: score={shown(score)}"
        )
    feed = batches.Feed(train_data, batch_size, steps_per_epoch, seed)
    with _frozen_network(model) as tables:
        if not tables:
            raise ValueError(
                "`model` must have an embedding layer that is trainable. "
                f"Received: model={model.name} without one"
            )
        tuner = _Tuner(model, settings, tables, score, validation_data)
        return tuner.run(feed, rates, epochs, evaluations)


def _settings(model: Any, loss: Any) -> dict[str, Any]:
    """Arguments of `compile` besides the optimizer."""
    given = (
        keras_internals.compile_arguments(model)
        if getattr(model, "compiled", False)
        else {}
    )
    names = ["run_eagerly", "jit_compile"]
    if loss is None:
        loss = given.get("loss")
        names.append("loss_weights")  # those of this loss
    return {"loss": loss, **{x: given[x] for x in names if x in given}}


class _Tuner:
    """Trains the tables of a model whose network is frozen."""

    def __init__(
        self,
        model: Any,
        settings: dict[str, Any],
        tables: list[Any],
        score: Any,
        validation: Any,
    ) -> None:
        self._model = model
        self._settings = settings
        self._tables = tables
        self._score = score
        self._validation = validation
        self._judge: Any = None

    def run(
        self,
        feed: batches.Feed,
        rates: Sequence[float],
        epochs: int,
        evaluations: int,
    ) -> TuneReport:
        start = self._values()
        best, found = start, [TunedStep(0.0, 0.0, self._scored())]
        chosen = 0
        try:
            for rate in rates:
                self._restore(start)
                trained = self._compiled(rate)
                for part in feed.parts(epochs, evaluations):
                    for batch in part.batches:
                        trained.train_on_batch(*batch)
                    found.append(TunedStep(rate, part.epochs, self._scored()))
                    if _better(found[-1].score, found[chosen].score):
                        chosen, best = len(found) - 1, self._values()
        finally:
            self._restore(best)
        return TuneReport(tuple(found), chosen)

    def _compiled(self, rate: float) -> Any:
        """Another model of the same layers, with an optimizer of its own."""
        model = self._model
        made: Any
        if not keras_internals.is_graph(model):
            made = _Around(model)
        else:
            cls = Model if isinstance(model, Model) else keras.Model
            made = cls(
                keras_internals.inputs_of(model),
                keras_internals.outputs_of(model),
            )
        optimizer: Any = keras.optimizers.Adam(rate)
        layers = keras_internals.all_layers(model)
        if any(layer.compute_dtype == "float16" for layer in layers):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        made.compile(optimizer, **self._settings)
        return made

    def _scored(self) -> float:
        if self._score is not None:
            found = self._score(self._model)
            try:
                return float(found)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    "`score` must return a number. "
                    f"Received: {shown(found)} from it"
                ) from error
        if self._judge is None:
            self._judge = self._compiled(0.0)
        return -batches.metrics_of(
            self._judge, self._validation, "validation_data"
        )["loss"]

    def _values(self) -> list[np.ndarray]:
        return [np.array(ops.convert_to_numpy(w)) for w in self._tables]

    def _restore(self, values: Sequence[np.ndarray]) -> None:
        for weight, value in zip(self._tables, values, strict=True):
            weight.assign(value)


def _better(score: float, than: float) -> bool:
    """Whether a score is higher; NaN is the lowest."""
    return score > than or (np.isnan(than) and not np.isnan(score))


class _Around(keras.Model):
    """A model that calls another one, and can be compiled beside it."""

    def __init__(self, inner: Any) -> None:
        super().__init__(name="around")
        self.inner = inner

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.inner(inputs, training=training)


@contextmanager
def _frozen_network(model: Any) -> Iterator[list[Any]]:
    """Freezes all layers but tables; yields the weights of these."""
    kept: list[tuple[Any, bool]] = []
    # A flag of a layer sets those of its weights.
    weights = [(weight, weight.trainable) for weight in model.variables]
    try:
        _freeze(model, kept)
        yield list(model.trainable_variables)
    finally:
        for layer, flag in kept:
            if layer.trainable != flag:
                layer.trainable = flag
        for weight, flag in weights:
            weight.trainable = flag


def _freeze(layer: Any, kept: list[tuple[Any, bool]]) -> None:
    """Freezes a layer, unless it has or is a table; keeps the flags."""
    if _is_table(layer):
        return
    if any(walk.outermost(layer, _is_table)):
        for weight in own_weights(layer):
            weight.trainable = False
        for part in keras_internals.direct_sublayers(layer):
            _freeze(part, kept)
        return
    kept += [(part, part.trainable) for part in _parts(layer)]
    layer.trainable = False


def _parts(layer: Any) -> list[Any]:
    """A layer and those within it, outer ones first."""
    found = list(keras_internals.all_layers(layer))
    return [layer, *(part for part in found if part is not layer)]


def _is_table(layer: Any) -> bool:
    return hasattr(layer, "memory_report") or isinstance(
        layer, keras.layers.Embedding
    )
