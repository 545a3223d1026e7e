"""One process that trains on one device or on several of its devices."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras

from keras_pss import keras_internals
from keras_pss.data.pipelines.shards import shard_batches, whole_batches
from keras_pss.layers.base.updates import UpdatesAfterStep
from keras_pss.layers.base.walk import every

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_pss.distribution.steps_ahead import Schedule

# Of a process and the number of processes, as of `keras_pss.data.dataset`.
Shards = Callable[[int, int], "tf.data.Dataset"]


class Replicas:
    """Copies of a model that train on parts of each batch, as one model would.

    Each replica has all weights. A step divides a global batch among the
    replicas, sums their gradients and updates all copies alike. Apart from the
    order of sums, losses and weights are those of one device with the same
    batches.

    Args:
        strategy: The `tf.distribute` strategy, with replicas in this process
            only. Defaults to None, one replica and Keras' own training.

    Attributes:
        strategy: The strategy, or None.
        count: Number of replicas.
        workers: Number of processes.
        worker: Index of this process.
    """

    workers = 1
    worker = 0

    def __init__(self, strategy: Any = None) -> None:
        self.strategy = strategy
        self.count = 1 if strategy is None else strategy.num_replicas_in_sync

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints and reports."""
        return self.worker == 0

    @contextmanager
    def scope(self) -> Iterator[None]:
        """The context in which a model is built and compiled."""
        if self.strategy is None:
            yield
        else:
            with self.strategy.scope():
                yield

    def check_batch_size(self, batch_size: int) -> None:
        """Raises ValueError unless replicas get equal parts of a batch."""
        if batch_size % self.count:
            raise ValueError(
                "`batch_size` is the number of rows of a step on all replicas "
                f"together, and must be a multiple of their number. Received: "
                f"batch_size={batch_size} for {self.count} replicas"
            )

    def on_chief(self, function: Callable[[], Any]) -> Any:
        """Calls a function on the chief, and returns its result everywhere.

        Args:
            function: Returns what JSON can hold. If it raises a ValueError or
                OSError, all workers raise it.
        """
        return function()

    def send(self, variables: Iterable[Any]) -> None:
        """Gives variables the chief's values on all workers."""

    def disconnect(self) -> None:
        """Lets this process end at once, with its work done.

        Processes of JAX whose chief is gone abort. At an ordinary end, JAX
        disconnects by itself.
        """

    @contextmanager
    def whole(self, model: keras.Model) -> Iterator[None]:
        """The context in which one process reads or sets a model's variables.

        All workers enter and leave it together. Within it, each has all of
        each variable, so that the chief alone can save the model and predict
        with it. If the chief alone restores it, `send` its variables before
        the end of the context.
        """
        yield

    def fit(
        self,
        model: keras.Model,
        batches: "tf.data.Dataset | Shards",
        *,
        epochs: int,
        steps_per_epoch: int,
        initial_epoch: int = 0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: str | int = "auto",
        schedule: "Schedule | None" = None,
    ) -> None:
        """Trains a model that was built and compiled within `scope`.

        The last batch of a pass over the data may have fewer rows, even fewer
        than there are replicas: each row is trained once, with the weight
        that it has on one device.

        Args:
            model: A model whose loss is a mean over rows.
            batches: Global batches `(features, labels)`, enough for all
                epochs, in an order that is the same on all workers. Or a
                function of a worker's index and the number of workers that
                returns this worker's rows of them, `(features, labels, rows)`,
                such as `keras_pss.data.dataset` with `shard=(worker, workers)`.
            epochs: Index of the epoch at which training ends.
            steps_per_epoch: Number of batches in an epoch.
            initial_epoch: Index of the first epoch.
            callbacks: As in `model.fit`.
            verbose: As in `model.fit`; other workers than the chief print
                nothing.
            schedule: The steps of the training. With it, on one device,
                several steps may be run before their callbacks, which get the
                logs of their step and the weights of a later one; see
                `StepsAhead`. Defaults to None: each step is followed by its
                callbacks.

        Raises:
            ValueError: If the model's loss or a layer of it depends on the
                whole batch in another way.
            OSError: `WorkerLost` if another worker has stopped.
        """
        settings = {
            "epochs": epochs,
            "steps_per_epoch": steps_per_epoch,
            "initial_epoch": initial_epoch,
            "callbacks": list(callbacks),
            "verbose": verbose,
        }
        if self.strategy is None:
            if callable(batches):
                batches = whole_batches(batches(0, 1))
            with _steps_ahead(model, settings, schedule):
                # The order of batches is the caller's.
                model.fit(batches, shuffle=False, **settings)
            return
        # JAX needs no TensorFlow.
        from keras_pss.distribution.checks import check_model
        from keras_pss.distribution.exact_step import exact_step
        from keras_pss.distribution.split_batches import split_batches

        check_model(model)
        own = (self.worker, self.workers)
        if callable(batches):
            shards = batches(*own)
        else:
            shards = shard_batches(batches, own)
        parts = self.strategy.distribute_datasets_from_function(
            lambda _: split_batches(shards, self.count, *self._own())
        )
        with self.scope():
            keras_internals.build_for_training(model, *shards.element_spec[:2])
        model.train_step = exact_step(model, self.count)
        try:
            model.make_train_function(force=True)
            self._fit(model, parts, settings)
        finally:
            del model.train_step
            model.train_function = None

    def _own(self) -> tuple[int, int]:
        """The first replica of this process, and their number."""
        return 0, self.count

    def _fit(self, model: keras.Model, parts: Any, settings: Any) -> None:
        model.fit(parts, shuffle=False, **settings)


@contextmanager
def _steps_ahead(
    model: keras.Model, settings: dict[str, Any], schedule: "Schedule | None"
) -> Iterator[None]:
    if schedule is None or not _can_run_ahead(model):
        yield
        return
    from keras_pss.distribution.steps_ahead import StepsAhead

    steps = settings["steps_per_epoch"]
    first = settings["initial_epoch"] * steps
    model.train_function = StepsAhead(model, steps, first, schedule)
    try:
        yield
    finally:
        model.train_function = None


def _can_run_ahead(model: keras.Model) -> bool:
    """Whether nothing needs the weights between two steps."""
    return (
        keras.backend.backend() == "tensorflow"
        and model.steps_per_execution == 1
        and not model.run_eagerly
        and not every(model, UpdatesAfterStep)
    )
