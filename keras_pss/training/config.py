"""What a training run is asked to do."""

from dataclasses import asdict, dataclass, field
from inspect import signature
from typing import Any

import keras

from keras_pss.layers import EmbeddingCollection
from keras_pss.layers.base import LARGEST_DIM
from keras_pss.layers.budget import Budget, parameters
from keras_pss.layers.factory import checked_options, method_class
from keras_pss.models import DLRM

NUM_CATEGORICAL = 26
MODELS = {"dlrm": DLRM}

# Learning rates of ROBE's table 8 (Adam 0.001; DLRM's SGD 1.0), and for
# Adagrad the usual 0.01.
LEARNING_RATES = {"adam": 1e-3, "adagrad": 1e-2, "sgd": 1.0}
OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adagrad": keras.optimizers.Adagrad,
    "sgd": keras.optimizers.SGD,
}


@dataclass(frozen=True)
class RunConfig:
    """Hyperparameters of a run.

    Attributes:
        model: `"dlrm"`.
        method: A method string of `keras_pss.embedding`.
        budget: Of all embedding tables: `"1000x"`, parameters or `"10MB"`.
        dim: Length of an embedding row.
        epochs: At most; the best one on validation rows is kept.
        patience: Epochs without a better validation AUC before stopping.
        batch_size: Rows a step.
        optimizer: `"adam"`, `"adagrad"` or `"sgd"`.
        learning_rate: None for the optimizer's usual one.
        embedding_scale: Embeddings start uniform in ± this.
        min_rows: See `EmbeddingCollection`.
        options: Further arguments of the method's layer.
        seed: Of initial values, shuffling and hashing.
        jit_compile: Whether XLA compiles the step; `"auto"` as in Keras.
    """

    model: str = "dlrm"
    method: str = "robe"
    budget: Budget = "1000x"
    dim: int = 16
    epochs: int = 5
    patience: int = 2
    batch_size: int = 2048
    optimizer: str = "adam"
    learning_rate: float | None = None
    embedding_scale: float = 0.01
    min_rows: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    jit_compile: bool | str = "auto"

    def __post_init__(self) -> None:
        # Before any data is read, which can take long.
        checked_options(self.method, self.options)
        parameters(self.budget, full=LARGEST_DIM)
        for name, value, allowed in (
            ("model", self.model, MODELS),
            ("optimizer", self.optimizer, OPTIMIZERS),
        ):
            if value not in allowed:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(allowed)}. "
                    f"Received: {name}={value!r}"
                )
        for name in ("dim", "epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must be at least 1. "
                    f"Received: {name}={getattr(self, name)}"
                )
        for name in ("learning_rate", "embedding_scale"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(
                    f"`{name}` must be positive. Received: {name}={value}"
                )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def build_model(
    config: RunConfig, cardinalities: list[int] | None
) -> keras.Model:
    """The compiled model of a run, initial values from its seed.

    Args:
        config: The run's hyperparameters.
        cardinalities: Ids of each categorical column; None if they are open.
    """
    keras.utils.set_random_seed(config.seed)
    scale = config.embedding_scale
    options = dict(config.options)
    if "seed" in signature(method_class(config.method)).parameters:
        options.setdefault("seed", config.seed)
    tables = EmbeddingCollection(
        cardinalities or [None] * NUM_CATEGORICAL,
        config.dim,
        config.method,
        config.budget,
        min_rows=config.min_rows,
        options=options,
        embeddings_initializer=keras.initializers.RandomUniform(
            -scale, scale, seed=config.seed
        ),
        name="embeddings",
    )
    model = MODELS[config.model](tables)
    rate = config.learning_rate or LEARNING_RATES[config.optimizer]
    model.compile(
        optimizer=OPTIMIZERS[config.optimizer](rate),
        loss="binary_crossentropy",
        jit_compile=config.jit_compile,
    )
    return model
