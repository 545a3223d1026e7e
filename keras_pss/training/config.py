"""What a training run is asked to do."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from inspect import signature
from typing import Any, Self

from keras_pss import models
from keras_pss.layers.base.budget import Budget, parameters
from keras_pss.layers.base.checks import LARGEST_DIM
from keras_pss.layers.embedding.methods import checked_options
from keras_pss.optimizers.warmup_decay import DECAYS, WarmupDecay

MODELS: dict[str, Any] = {
    "dlrm": models.DLRM,
    "dcn": models.DCN,
    "dcnv2": models.DCNv2,
    "deepfm": models.DeepFM,
    "autoint": models.AutoInt,
    "xdeepfm": models.XDeepFM,
    "fibinet": models.FiBiNET,
    "neuralcf": models.NeuralCF,
}
# What `build_model` gives to a model; all else are its hyperparameters.
PARTS = ("embeddings", "wide", "mlp_embeddings", "num_dense", "name")

# Learning rates of ROBE's table 8 (Adam 0.001; DLRM's SGD 1.0), and for
# Adagrad the usual 0.01.
LEARNING_RATES = {"adam": 1e-3, "adagrad": 1e-2, "sgd": 1.0}
# What is counted, and what is measured.
COUNTS = (
    "dim",
    "min_rows",
    "compress_largest",
    "min_count",
    "epochs",
    "evaluations",
    "patience",
    "batch_size",
    "warmup_steps",
    "decay_start",
    "decay_steps",
    "seed",
)
SIZES = (
    "learning_rate",
    "end_learning_rate",
    "clip_norm",
    "embedding_scale",
    "embedding_l2",
)
MAY_BE_ZERO = (
    "min_rows",
    "warmup_steps",
    "decay_start",
    "seed",
    "end_learning_rate",
    "embedding_l2",
)
MAY_BE_NONE = (
    "min_rows",
    "compress_largest",
    "learning_rate",
    "decay_start",
    "decay_steps",
    "clip_norm",
)
# An `embedding_scale` that depends on the table.
BY_ROWS = "rows"
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class RunConfig:
    """Hyperparameters of a run.

    Attributes:
        model: `"dlrm"`, `"dcn"`, `"dcnv2"`, `"deepfm"`, `"autoint"`,
            `"xdeepfm"`, `"fibinet"` or `"neuralcf"`.
        model_options: Arguments of the model, such as
            `{"hidden_units": [400, 400], "dropout": 0.1}`.
        method: A method string of `keras_pss.embedding`.
        budget: Of all embedding tables: `"1000x"`, parameters or `"10MB"`;
            None where `options` say the size of each.
        options: Further arguments of the method's layer.
        dim: Length of an embedding row.
        min_rows: Tables with fewer rows stay uncompressed; see
            `EmbeddingCollection`.
        compress_largest: Only so many tables, the largest, are compressed;
            in place of `min_rows`.
        min_count: Ids seen fewer times share id 0, the frequency filter; a
            ratio as budget is one of the unfiltered tables.
        epochs: At most; the best checkpoint on validation rows is kept.
        evaluations: Of the validation rows, in an epoch. At each the state
            is saved, so that `resume` goes on from there.
        patience: Epochs without a better validation AUC before stopping.
        batch_size: Rows a step.
        optimizer: `"adam"`, `"adagrad"` or `"sgd"`.
        learning_rate: None for the optimizer's usual one.
        warmup_steps, decay, decay_start, decay_steps, end_learning_rate:
            See `keras_pss.training.WarmupDecay`; without `decay_steps` the
            decay ends with the last epoch.
        clip_norm: Largest norm of all gradients together; None for any.
        embedding_scale: Embeddings start uniform in ± this; `"rows"`: in
            ± 1/√n for a table of n rows, as DLRM's and TT-Rec's do.
        embedding_l2: Times the sum of the squared embedding parameters is
            added to the loss.
        precision: `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"`.
        seed: Of initial values, shuffling, dropout and hashing.
        jit_compile: Whether XLA compiles the step; `"auto"` as in Keras.
    """

    model: str = "dlrm"
    model_options: dict[str, Any] = field(default_factory=dict)
    method: str = "robe"
    budget: Budget | None = "1000x"
    options: dict[str, Any] = field(default_factory=dict)
    dim: int = 16
    min_rows: int | None = None
    compress_largest: int | None = None
    min_count: int = 1
    epochs: int = 5
    evaluations: int = 1
    patience: int = 2
    batch_size: int = 2048
    optimizer: str = "adam"
    learning_rate: float | None = None
    warmup_steps: int = 0
    decay: str = "constant"
    decay_start: int | None = None
    decay_steps: int | None = None
    end_learning_rate: float = 0.0
    clip_norm: float | None = None
    embedding_scale: float | str = 0.01
    embedding_l2: float = 0.0
    precision: str = "float32"
    seed: int = 0
    jit_compile: bool | str = "auto"

    def __post_init__(self) -> None:
        # Before any data is read, which can take long.
        for name in ("model", "method", "optimizer", "decay", "precision"):
            self._is(name, str, "a text")
        for name in ("options", "model_options"):
            self._is(name, dict, "arguments by name")
        checked_options(self.method, self.options, self.budget is None)
        if self.budget is not None:
            parameters(self.budget, full=LARGEST_DIM)
        for name, allowed in (
            ("model", tuple(MODELS)),
            ("optimizer", tuple(LEARNING_RATES)),
            ("decay", DECAYS),
            ("precision", PRECISIONS),
        ):
            self._one_of(name, allowed)
        self._check_model_options()
        for name in COUNTS:
            self._is(name, int, "a whole number")
            self._at_least(name, 0 if name in MAY_BE_ZERO else 1)
        for name in SIZES:
            if name == "embedding_scale":
                if self.embedding_scale == BY_ROWS:
                    continue
                self._is(name, int | float, f"a number or '{BY_ROWS}'")
            self._is(name, int | float, "a number")
            self._at_least(name, 0)
            if name not in MAY_BE_ZERO and getattr(self, name) == 0:
                raise ValueError(f"`{name}` must be positive. Received: 0")
        self.schedule(2**40)  # or an error
        if self.min_rows is not None and self.compress_largest is not None:
            raise ValueError(
                "`compress_largest` stands in place of `min_rows`: give one. "
                f"Received: compress_largest={self.compress_largest}, "
                f"min_rows={self.min_rows}"
            )

    def _is(self, name: str, kind: Any, rule: str) -> None:
        value = getattr(self, name)
        if name in MAY_BE_NONE and value is None:
            return
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(
                f"`{name}` must be {rule}. Received: {name}={value!r}"
            )

    def _one_of(self, name: str, allowed: Sequence[str]) -> None:
        value = getattr(self, name)
        if value not in allowed:
            raise ValueError(
                f"`{name}` must be one of {', '.join(allowed)}. "
                f"Received: {name}={value!r}"
            )

    def _at_least(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if value is not None and not least <= value < math.inf:
            raise ValueError(
                f"`{name}` must be at least {least}. Received: {name}={value}"
            )

    def _check_model_options(self) -> None:
        known = [
            name
            for name in signature(MODELS[self.model]).parameters
            if name not in PARTS
        ]
        for name, value in self.model_options.items():
            if name not in known:
                raise ValueError(
                    f"`model_options` of model={self.model!r} are: "
                    f"{', '.join(known)}. Received: {name}={value!r}"
                )

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Self:
        """A config from settings by name, of a recipe or a report.

        Raises:
            ValueError: For a name that is none of a run's.
        """
        known = [item.name for item in fields(cls)]
        for name, value in settings.items():
            if name not in known:
                raise ValueError(
                    f"A run's settings are: {', '.join(known)}. "
                    f"Received: {name}={value!r}"
                )
        return cls(**settings)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def schedule(self, steps: int | None = None) -> Any:
        """The learning rate: a number, or a `WarmupDecay`.

        Args:
            steps: Until the last epoch is over, where a decay without
                `decay_steps` ends.

        Raises:
            ValueError: For a decay that its settings do not make one.
        """
        rate = self.learning_rate or LEARNING_RATES[self.optimizer]
        if self.decay == "constant":
            for name in ("decay_start", "decay_steps", "end_learning_rate"):
                if getattr(self, name):
                    raise ValueError(
                        f"`{name}` needs a `decay`: one of "
                        f"{', '.join(DECAYS[1:])}. "
                        f"Received: {name}={getattr(self, name)}"
                    )
            if not self.warmup_steps:
                return rate
        ends, start = self.decay_steps, self.decay_start
        if ends is None and steps is not None and self.decay != "constant":
            begun = self.warmup_steps if start is None else start
            ends = max(1, steps - begun)
        return WarmupDecay(
            rate,
            warmup_steps=self.warmup_steps,
            decay=self.decay,
            decay_start=start,
            decay_steps=ends,
            end_learning_rate=self.end_learning_rate,
        )

    def rounds(self, rows: int) -> "Rounds":
        """How the endless stream of training batches is cut.

        Args:
            rows: For training.
        """
        epoch = math.ceil(rows / self.batch_size)
        steps = math.ceil(epoch / self.evaluations)
        return Rounds(
            epoch=epoch,
            steps=steps,
            of_epoch=math.ceil(epoch / steps),
            count=math.ceil(self.epochs * epoch / steps),
        )


@dataclass(frozen=True)
class Rounds:
    """Steps from one evaluation to the next make a round.

    Attributes:
        epoch: Steps of an epoch.
        steps: Steps of a round.
        of_epoch: Rounds until an epoch is over, the last one included.
        count: Rounds until the last epoch is over.
    """

    epoch: int
    steps: int
    of_epoch: int
    count: int
