"""The settings of a run: type, constraint, default and text of each, once.

`RunConfig` adds the checks that need Keras. The command line reads this file
by itself, for its options and their help, so nothing but pydantic is imported
here.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WrapValidator


def _as_given(value: Any, check: Callable[[Any], Any]) -> Any:
    """A checked number stays the int that it may be, as files hold it."""
    check(value)
    return value


Number = Annotated[
    float, Field(allow_inf_nan=False, strict=True), WrapValidator(_as_given)
]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
# From 0 and from 1 on.
Whole = Annotated[int, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Arguments = dict[str, Any]
# fmt: off
Model = Literal["dlrm", "dcn", "dcnv2", "deepfm", "autoint", "xdeepfm",
                "fibinet", "neuralcf"]
Method = Literal["full", "robe", "tt", "qr", "hash", "fpd", "memcom",
                 "mixed_dimension", "tensor_ring", "sketch", "quantized",
                 "deep_hash", "clustered"]
Decay = Literal["constant", "cosine", "linear", "polynomial", "exponential"]
# fmt: on


class Settings(BaseModel):
    """What a training run is asked to do."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=()
    )

    model: Model = Field("dlrm", description="The model.")
    model_options: Arguments = Field(
        {},
        description="An argument of the model, such as dropout=0.1 or "
        "hidden_units=[400,400]; repeat for more.",
    )
    method: Method = Field(
        "robe", description="The method that compresses the tables."
    )
    budget: str | int | None = Field(
        "1000x",
        description="What all tables together may store: '1000x', '10MB', a "
        "number of parameters, or 'none' where --option says their size.",
    )
    options: Arguments = Field(
        {},
        description="An argument of the method's layer, such as block_size=8, "
        "mapping=fold or gauge=last_core; repeat for more.",
    )
    dim: Count = Field(16, description="Length of an embedding row.")
    min_rows: Whole | None = Field(
        None,
        description="Tables with fewer rows stay uncompressed; by default the "
        "smallest do, up to a quarter of the budget.",
    )
    compress_largest: Count | None = Field(
        None,
        description="Compress only so many tables, the largest, in place of "
        "--min-rows; by default any number.",
    )
    min_count: Count = Field(
        1,
        description="Ids seen fewer times share id 0, the frequency filter. A "
        "ratio as budget is one of the unfiltered tables.",
    )
    epochs: Count = Field(
        5,
        description="Train for at most so many epochs; the best checkpoint is "
        "kept.",
    )
    evaluations: Count = Field(
        1,
        description="Score the validation rows so many times an epoch. The "
        "state is saved each time, and --resume goes on from there.",
    )
    monitor: Literal["auc", "logloss"] = Field(
        "auc", description="The validation metric of the best checkpoint."
    )
    patience: Count = Field(
        2, description="Stop after so many epochs without a better checkpoint."
    )
    batch_size: Count = Field(2048, description="Rows a step.")
    optimizer: Literal["adam", "adagrad", "sgd"] = Field(
        "adam", description="The optimizer."
    )
    learning_rate: Positive | None = Field(
        None,
        description="The highest learning rate; by default adam's 0.001, "
        "adagrad's 0.01, sgd's 1.",
    )
    warmup_steps: Whole = Field(
        0, description="Steps of a rising learning rate."
    )
    decay: Decay = Field(
        "constant", description="How the learning rate decays."
    )
    decay_start: Whole | None = Field(
        None,
        description="First step of the decay; by default after the warm-up.",
    )
    decay_steps: Count | None = Field(
        None,
        description="Length of the decay; by default to the end of the last "
        "epoch.",
    )
    end_learning_rate: NonNegative = Field(
        0.0, description="Learning rate at the end of the decay."
    )
    clip_norm: Positive | None = Field(
        None,
        description="Clip gradients to this global norm; by default they are "
        "not clipped.",
    )
    embedding_scale: Positive | Literal["rows"] = Field(
        0.01,
        description="Embeddings start uniform in ± this, or 'rows': in ± 1/√n "
        "for a table of n rows, as in DLRM's and TT-Rec's code.",
    )
    embedding_l2: NonNegative = Field(
        0.0,
        description="Add this times the sum of the squared embedding "
        "parameters to the loss.",
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="Dtype policy of the model."
    )
    seed: Whole = Field(
        0,
        description="Seed of initial values, shuffling, dropout and hashing.",
    )
    jit_compile: Annotated[bool, Field(strict=True)] | Literal["auto"] = Field(
        "auto", description="Compile the step with XLA."
    )
