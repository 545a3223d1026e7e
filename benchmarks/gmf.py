"""One training run of generalized matrix factorization (GMF) on likes.

It has the model and its training for movielens_quality.py, which is the
command.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import inspect
import time
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import keras_pss
from keras_pss.data.movielens import Interactions, LikesSplit
from keras_pss.layers.embedding.methods import method_class

# Inverse L2 strengths (C) of the baseline; the best on validation is used.
FLOOR_STRENGTHS = (0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Settings:
    """Everything that a result depends on, except versions and machine.

    Attributes:
        method, options, budget: Arguments of the collection of both tables.
        seed: Seed of initialization, shuffling and hashing.
        candidates: Pairs (learning rate of Adam, L2 strength on the rows of a
            batch). All are trained; the best on validation is tested.
        epochs: Maximum number of epochs.
        patience: Number of epochs without a better validation AUC before early
            stopping.
        dim: d, the length of a row.
        batch_size: Number of interactions per step.
        init: Rows are initialized uniformly in [-init, init].
        last: Fraction of each user's interactions for test, and the same for
            validation.
        data: Checksum of the interactions.
    """

    method: str
    options: dict[str, Any]
    budget: str
    seed: int
    candidates: tuple[tuple[float, float], ...]
    epochs: int
    patience: int
    dim: int
    batch_size: int
    init: float
    last: float
    data: int


class GMF(keras.Model):
    """`logit(u, i) = Σ_k w_k p_k(u) q_k(i) + b`.

    Args:
        tables: Collection of both tables, from ids (B, 2) to rows (B, 2, d).
        l2: L2 strength: `l2 * (|p|² + |q|²)`, averaged over the batch, is added
            to the loss. It applies to rows, not to parameters, so that it has
            the same effect for each method.

    References: He et al., "Neural collaborative filtering" (WWW 2017),
    equation 11.
    """

    def __init__(self, tables: keras_pss.EmbeddingCollection, l2: float):
        super().__init__()
        self.tables = tables
        self.l2 = l2
        self.logit = keras.layers.Dense(1)

    def build(self, input_shape: Any) -> None:
        self.tables.build(input_shape)
        self.logit.build((None, self.tables.output_dim))
        self.built = True

    def call(self, ids: Any) -> Any:
        rows = self.tables(ids)  # (B, 2, d)
        if self.l2:
            norms = ops.sum(ops.square(rows), axis=(1, 2))
            self.add_loss(self.l2 * ops.mean(norms))
        return self.logit(rows[:, 0] * rows[:, 1])


class BestEpoch(keras.callbacks.Callback):
    """Early stopping by the validation AUC, which keeps the best weights."""

    def __init__(self, rows: Interactions, patience: int):
        super().__init__()
        self.rows = rows
        self.patience = patience
        self.aucs: list[float] = []
        self.weights: list[np.ndarray] = []

    @property
    def best(self) -> int:
        """The best epoch, from 0."""
        return int(np.argmax(self.aucs))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.aucs.append(auc(self.model, self.rows))
        if self.best == epoch:
            self.weights = self.model.get_weights()
        if epoch - self.best >= self.patience:
            self.model.stop_training = True


def run(settings: Settings, split: LikesSplit) -> dict[str, Any]:
    """Trains each candidate and tests the best one on validation, once.

    Returns:
        A line of the results, or `{"infeasible": reason}` if the method cannot
        fit the budget.
    """
    start = time.perf_counter()
    tried = []
    best: Any = None
    for rate, l2 in settings.candidates:
        try:
            model = build(settings, split.train, rate, l2)
        except ValueError as error:
            return {"infeasible": str(error)}
        kept = train(model, settings, split)
        tried.append(
            {
                "learning_rate": rate,
                "l2": l2,
                "validation_auc": kept.aucs[kept.best],
                "best_epoch": kept.best + 1,
                "validation_aucs": kept.aucs,
            }
        )
        if best is None or kept.aucs[kept.best] > best[0]:
            best = kept.aucs[kept.best], model, kept.weights
    validation_auc, model, weights = best
    model.set_weights(weights)
    chosen = max(tried, key=lambda one: one["validation_auc"])
    memory = model.tables.memory_report()
    full = memory.full_parameters or 0
    return {
        **asdict(settings),
        "learning_rate": chosen["learning_rate"],
        "l2": chosen["l2"],
        "best_epoch": chosen["best_epoch"],
        "validation_auc": validation_auc,
        "test_auc": auc(model, split.test),
        "parameters": memory.parameters,
        "compression": full / model.tables.budget_size(),
        "index_bytes": memory.index_bytes,
        "tried": tried,
        "seconds": time.perf_counter() - start,
    }


def build(
    settings: Settings, rows: Interactions, rate: float, l2: float
) -> GMF:
    """The compiled model with initialized weights."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(settings.seed)
    options = dict(settings.options)
    if "seed" in inspect.signature(method_class(settings.method)).parameters:
        options.setdefault("seed", settings.seed)
    tables = keras_pss.EmbeddingCollection(
        [rows.num_users, rows.num_items],
        settings.dim,
        method=settings.method,
        budget=settings.budget,
        min_rows=1,
        options=options,
        embeddings_initializer=keras.initializers.RandomUniform(
            -settings.init, settings.init, seed=settings.seed
        ),
    )
    model = GMF(tables, l2)
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=True,
        steps_per_execution=16,
    )
    return model


def train(model: GMF, settings: Settings, split: LikesSplit) -> BestEpoch:
    """Trains with early stopping."""
    best = BestEpoch(split.validation, settings.patience)
    callbacks = [best]
    if settings.method == "clustered":
        callbacks.append(_recluster(split.train))
    model.fit(
        batches(split.train, settings),
        epochs=settings.epochs,
        shuffle=False,  # the dataset shuffles
        callbacks=callbacks,
        verbose=0,
    )
    return best


def batches(rows: Interactions, settings: Settings) -> tf.data.Dataset:
    """Shuffled batches (ids, labels) of equal size, from tensors in memory.

    The last incomplete batch of an epoch is dropped; shuffling drops different
    rows in each epoch.
    """
    ids = tf.constant(rows.ids())
    labels = tf.constant(rows.labels[:, None], tf.float32)
    count = len(rows) // settings.batch_size
    shuffled = np.random.default_rng(settings.seed)

    def orders() -> Any:
        order = shuffled.permutation(len(rows)).astype(np.int32)
        yield from order[: count * settings.batch_size].reshape(count, -1)

    found = tf.data.Dataset.from_generator(
        orders,
        output_signature=tf.TensorSpec((settings.batch_size,), tf.int32),
    )
    found = found.apply(tf.data.experimental.assert_cardinality(count))
    return found.map(
        lambda index: (tf.gather(ids, index), tf.gather(labels, index))
    ).prefetch(2)


def auc(model: GMF, rows: Interactions) -> float:
    """Exact AUC of all rows, scored at once."""
    scores = model.predict_on_batch(rows.ids())
    return float(roc_auc_score(rows.labels, scores[:, 0]))


def floor(split: LikesSplit) -> dict[str, float]:
    """AUCs of the baseline without interactions: logistic regression."""
    from scipy import sparse

    def columns(rows: Interactions) -> Any:
        """One-hot users, then one-hot items: (n, num_users + num_items)."""
        ids = rows.ids() + np.array([0, rows.num_users], np.int32)
        starts = np.arange(0, ids.size + 1, 2)
        width = rows.num_users + rows.num_items
        ones = np.ones(ids.size)
        return sparse.csr_array((ones, ids.ravel(), starts), (len(rows), width))

    found = []
    for strength in FLOOR_STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=300)
        model.fit(columns(split.train), split.train.labels)
        scores = {
            name: float(
                roc_auc_score(
                    rows.labels, model.decision_function(columns(rows))
                )
            )
            for name, rows in split._asdict().items()
        }
        found.append({"C": strength, **scores})
    return max(found, key=lambda one: one["validation"])


def checksum(rows: Interactions) -> int:
    """CRC-32 of users, items and labels."""
    return zlib.crc32(np.column_stack([rows.ids(), rows.labels]).tobytes())


def _recluster(rows: Interactions) -> keras.callbacks.Callback:
    """Callback that reclusters the ids, weighted by their frequency."""
    from keras_pss.callbacks import Recluster

    counts = {"table_0": rows.user_counts, "table_1": rows.item_counts}
    return Recluster(counts=counts)
