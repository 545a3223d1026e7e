"""The settings of a run, with their types, constraints, defaults and help.

`RunConfig` adds the checks that need Keras. The command line runs this file
alone to get its options and their help, so only pydantic is imported here.
"""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, WrapValidator


def _as_given(value: Any, check: Callable[[Any], Any]) -> Any:
    """Validates a number but keeps an int an int, as it is saved."""
    check(value)
    return value


Number = Annotated[
    float, Field(allow_inf_nan=False, strict=True), WrapValidator(_as_given)
]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
# Integers of at least 0, and of at least 1.
Whole = Annotated[int, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Arguments = dict[str, Any]
# fmt: off
Model = Literal["dlrm", "dcn", "dcnv2", "deepfm", "autoint", "xdeepfm",
                "fibinet", "neuralcf"]
Optimizer = Literal["adam", "adagrad", "sgd",
                    "lazy_adam", "rowwise_adagrad", "lazy_sgd"]
Decay = Literal["constant", "cosine", "linear", "polynomial", "exponential"]
# fmt: on
MODELS, DECAYS = get_args(Model), get_args(Decay)
# They train the tables of rows only; Adam trains the network.
ROW_OPTIMIZERS = ("lazy_adam", "rowwise_adagrad", "lazy_sgd")


def _method_strings() -> list[str]:
    """The keys of `METHODS`, read as text: importing it would load Keras."""
    path = Path(__file__).parents[1] / "layers" / "embedding" / "methods.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict):
            return [ast.literal_eval(key) for key in node.value.keys if key]
    raise ImportError(f"{path} must declare METHODS as a dict.")


METHODS = _method_strings()


class Settings(BaseModel):
    """The settings of a training run."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=()
    )

    model: Model = Field("dlrm", description="The model.")
    model_options: Arguments = Field(
        {},
        description="An argument of the model, such as dropout=0.1 or "
        "hidden_units=[400,400]; repeat for more.",
    )
    method: str = Field(
        "auto",
        description="The method that compresses the tables. 'auto' chooses by "
        "the budget and the counts of ids; without counts it is ROBE. Or one "
        f"of {', '.join(METHODS)}.",
    )
    budget: str | int | None = Field(
        "1000x",
        description="What all tables together may store: '1000x', '10MB', a "
        "number of parameters, or 'none' if --option sets their size.",
    )
    options: Arguments = Field(
        {},
        description="An argument of the method's layer, such as block_size=8, "
        "mapping=fold or gauge=last_core; of auto, min_count, inner_dim or "
        "tail; repeat for more.",
    )
    dim: Count = Field(16, description="Length of an embedding row.")
    min_rows: Whole | None = Field(
        None,
        description="Tables with fewer rows stay uncompressed. By default, the "
        "smallest tables do, up to a quarter of the budget.",
    )
    compress_largest: Count | None = Field(
        None,
        description="Compress only this many tables, the largest ones; "
        "replaces --min-rows. By default, there is no such limit.",
    )
    min_count: Count = Field(
        1,
        description="Ids seen fewer times share id 0 (frequency filter). A "
        "budget such as '10x' refers to the unfiltered tables.",
    )
    epochs: Count = Field(
        5,
        description="Largest number of epochs to train; the best checkpoint is "
        "kept.",
    )
    evaluations: Count = Field(
        1,
        description="Number of evaluations on validation rows per epoch. Each "
        "one saves the state, from which --resume continues.",
    )
    monitor: Literal["auc", "logloss"] = Field(
        "auc", description="Validation metric that selects the best checkpoint."
    )
    patience: Count = Field(
        2,
        description="Stop after this many epochs without a better checkpoint.",
    )
    batch_size: Count = Field(2048, description="Rows per step.")
    optimizer: Optimizer = Field(
        "adam",
        description="The optimizer. lazy_adam, rowwise_adagrad and lazy_sgd "
        "(momentum 0.9) update only the rows of each batch, so that the time "
        "of a step does not grow with the tables; Adam trains the rest of the "
        "model.",
    )
    learning_rate: Positive | None = Field(
        None,
        description="Highest learning rate; with lazy_adam, rowwise_adagrad "
        "and lazy_sgd, that of the tables of rows. By default, 0.001 for adam "
        "and lazy_adam, 0.01 for adagrad and rowwise_adagrad, 0.1 for lazy_sgd "
        "and 1 for sgd.",
    )
    network_learning_rate: Positive | None = Field(
        None,
        description="Highest learning rate of what Adam trains beside "
        "lazy_adam, rowwise_adagrad or lazy_sgd. Warm-up and decay apply to "
        "both. By default, --learning-rate with lazy_adam, 0.001 with the "
        "others.",
    )
    warmup_steps: Whole = Field(
        0, description="Number of steps with a rising learning rate."
    )
    decay: Decay = Field(
        "constant", description="How the learning rate decays."
    )
    decay_start: Whole | None = Field(
        None,
        description="First step of the decay. By default, after the warm-up.",
    )
    decay_steps: Count | None = Field(
        None,
        description="Number of steps of the decay. By default, it ends with "
        "the last epoch.",
    )
    end_learning_rate: NonNegative = Field(
        0.0, description="Learning rate at the end of the decay."
    )
    clip_norm: Positive | None = Field(
        None,
        description="Clip gradients by global norm, to this value. By default, "
        "they are not clipped.",
    )
    embedding_scale: Positive | Literal["rows"] = Field(
        0.01,
        description="Initial embeddings are uniform in ± this value; with "
        "'rows', in ± 1/√n for a table of n rows, as in the code of DLRM and "
        "TT-Rec.",
    )
    embedding_l2: NonNegative = Field(
        0.0,
        description="Weight of the L2 penalty, the sum of the squared "
        "embedding parameters, in the loss.",
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="Dtype policy of the model."
    )
    seed: Whole = Field(
        0,
        description="Seed of initialization, shuffling, dropout and hashing.",
    )
    jit_compile: Annotated[bool, Field(strict=True)] | Literal["auto"] = Field(
        "auto",
        description="Whether XLA compiles the training step. On JAX it does "
        "unless this is false, which is many times slower.",
    )
