"""A feature of a collection whose tables have names."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from keras_pss.layers.base.checks import (
    LARGEST_ROW,
    boolean,
    one_of,
    positive_int,
    shown,
    text,
)
from keras_pss.ops.pooling import COMBINERS


@dataclass(frozen=True)
class FeatureConfig:
    """One feature of a `keras_pss.EmbeddingCollection`.

    Args:
        table: Name of the table that has the feature's rows. Several features
            may share a table.
        length: Integer L for a multi-hot feature, whose ids have the shape
            `(batch, L)` and are padded with -1. Defaults to None, a feature
            with one id.
        combiner: How the rows of a multi-hot feature are pooled: `"mean"`
            (the default), `"sum"`, `"sqrtn"` or `"max"`. The first three are
            those of `keras_pss.EmbeddingBag`, where padding has no weight.
            `"max"` is the largest of each column. No ids give zeros.
        weighted: Boolean, whether each id of a multi-hot feature has a weight,
            which multiplies its row; not for `"max"`. Defaults to False.

    Raises:
        ValueError: If an argument is invalid.

    Example:

    ```python
    features = {
        "item_id": keras_pss.FeatureConfig("item"),
        "history": keras_pss.FeatureConfig("item", length=50, combiner="sum"),
    }
    ```
    """

    table: str
    length: int | None = None
    combiner: str = "mean"
    weighted: bool = False

    def __post_init__(self) -> None:
        text("table", self.table)
        if self.length is not None:
            positive_int("length", self.length, LARGEST_ROW)
        one_of("combiner", self.combiner, (*COMBINERS, "max"))
        boolean("weighted", self.weighted)
        if self.weighted and self.length is None:
            raise ValueError(
                "`weighted` features are multi-hot. Give their `length`, or "
                "leave `weighted` out. Received: weighted=True, length=None"
            )
        if self.weighted and self.combiner == "max":
            raise ValueError(
                "`weighted` features need another `combiner` than 'max', which "
                "has no weights. Received: weighted=True, combiner='max'"
            )

    @classmethod
    def of(cls, name: str, value: Any) -> Self:
        """The feature that a config, its dict or a table's name describes."""
        if isinstance(value, cls):
            return value
        names = {field.name for field in fields(cls)}
        if isinstance(value, Mapping) and {"table"} <= set(value) <= names:
            return cls(**value)
        if isinstance(value, str):
            return cls(value)
        raise ValueError(
            "`features` must have a `keras_pss.FeatureConfig` or the name of "
            "a table for each name. "
            f"Received: features[{shown(name)}]={shown(value)}"
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments as plain Python objects."""
        return asdict(self)

    @property
    def columns(self) -> int:
        """Number of ids of one example."""
        return 1 if self.length is None else self.length
