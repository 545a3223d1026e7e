"""A table of a collection whose tables have names."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    LARGEST_ROW,
    positive_int,
    shown,
)
from keras_pss.layers.embedding.methods import method_class


@dataclass(frozen=True)
class TableConfig:
    """One table of a `keras_pss.EmbeddingCollection`.

    Args:
        input_dim: Number of rows; None for an open vocabulary, if the method
            supports one.
        output_dim: Length of a row. Defaults to None, that of the collection.
        method: A method string. Defaults to None, that of the collection.
        options: Dict of further arguments of the method's layer. Defaults to
            None: those of the collection if `method` is None, else none.

    Raises:
        ValueError: If an argument is invalid.

    Example:

    ```python
    tables = {
        "item": keras_pss.TableConfig(100_000),
        "genre": keras_pss.TableConfig(20, output_dim=8, method="full"),
    }
    ```
    """

    input_dim: int | None
    output_dim: int | None = None
    method: str | None = None
    options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.input_dim is not None:
            positive_int("input_dim", self.input_dim, LARGEST_DIM)
        if self.output_dim is not None:
            positive_int("output_dim", self.output_dim, LARGEST_ROW)
        if self.method is not None:
            method_class(self.method)
        if self.options is not None and not isinstance(self.options, Mapping):
            raise ValueError(
                "`options` must be a dict of arguments of the method's layer, "
                "such as {'seed': 1}. "
                f"Received: options={shown(self.options)}"
            )

    @classmethod
    def of(cls, name: str, value: Any) -> Self:
        """The table that a config, its dict or a number of rows describes."""
        if isinstance(value, cls):
            return value
        names = {field.name for field in fields(cls)}
        if isinstance(value, Mapping) and {"input_dim"} <= set(value) <= names:
            return cls(**value)
        if value is None or isinstance(value, int):
            return cls(value)
        raise ValueError(
            "`input_dims` must have a `keras_pss.TableConfig` or a number of "
            "rows (None for an open vocabulary) for each name. "
            f"Received: input_dims[{shown(name)}]={shown(value)}"
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments as plain Python objects."""
        options = None if self.options is None else dict(self.options)
        return {
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "method": self.method,
            "options": options,
        }
