"""Which rows train, validate and test."""

from typing import Annotated, Literal

from pydantic import Field

from keras_pss.features.checks.checked import (
    Count,
    Fraction,
    Text,
    Texts,
    checked,
)
from keras_pss.messages import shown


@checked
class Split:
    """Which rows train, validate and test.

    Args:
        by: `"order"` (the last rows of the log test), `"time"` (the latest
            rows by the timestamp), `"random"`, `"column"` (a column says it),
            or `"group"` (whole groups, drawn at random; or with `last`, the
            last rows of each group).
        test: Fraction of all rows, or of all groups, that tests.
        validation: Fraction of the others that validates.
        seed: Seed of random splits, below 2^32.
        column: Column that says which split a row belongs to. Needed by, and
            only allowed with, `by="column"`.
        values: The column's texts for `"test"` and `"validation"`; rows with
            any other text train. Needed by, and only allowed with,
            `by="column"`.
        last: Number of rows of each group that test; as many before them
            validate. Only allowed with `by="group"`.

    Raises:
        ValueError: If an argument has the wrong type, is out of range,
            missing, or has no effect with such `by`.

    Example:

    ```python
    from keras_pss.features import Split

    by_day = Split(
        "column", column="day", values={"test": "7", "validation": "6"}
    )
    newest = Split("time", test=0.2)
    ```
    """

    by: Literal["order", "time", "random", "column", "group"] = "order"
    test: Fraction = 1 / 7
    validation: Fraction = 0.1
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = 2020
    column: Text | None = None
    values: dict[Literal["test", "validation"], Texts] | None = None
    last: Count | None = None

    def __post_init__(self) -> None:
        for name in ("column", "values"):
            value = getattr(self, name)
            if self.by != "column" and value is not None:
                raise ValueError(
                    f"`{name}` needs by='column'. "
                    f"Received: {name}={shown(value)}, by={self.by!r}"
                )
            if self.by == "column" and not value:
                raise ValueError(
                    f"`{name}` is needed by by='column'. "
                    f"Received: {name}={shown(value)}"
                )
        if self.last is not None and self.by != "group":
            raise ValueError(
                "`last` needs by='group'. "
                f"Received: last={self.last}, by={self.by!r}"
            )
        self._check_values()

    def _check_values(self) -> None:
        values = self.values or {}
        for name, texts in values.items():
            if not texts:
                raise ValueError(
                    "`values` must hold at least one text for each split. "
                    f"Received: values={shown({name: texts})}"
                )
        found = [t for texts in values.values() for t in texts]
        for text in found:
            if found.count(text) > 1:
                raise ValueError(
                    "`values` must name each text once. "
                    f"Received: {text!r} more than once"
                )
