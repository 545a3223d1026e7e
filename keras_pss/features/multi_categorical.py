"""A feature with a list of categories a row."""

from typing import Annotated, Literal

from pydantic import WrapValidator

from keras_pss.features.checks.checked import (
    RESOLVED,
    Count,
    Dtype,
    Ids,
    Resolved,
    Text,
    checked,
    or_none,
    resolve,
)
from keras_pss.features.checks.names import check_name
from keras_pss.features.checks.table_options import check_ids


@checked
class MultiCategorical:
    """A feature with a list of categories a row: genres, a history of items.

    Empty elements are dropped, and the list is truncated to `max_length`. The
    categories are those of `Categorical`.

    Args:
        name: Name of the feature.
        column: Column of the log. Default: `name`.
        dtype: How the text of an element becomes the category: `"string"`,
            `"integer"` or `"hex"`, as in `Categorical`.
        ids: `"vocabulary"` or `"hash"`.
        min_count: Categories with fewer occurrences in the training rows get
            id 0.
        max_values: Largest number of categories in the vocabulary. By
            default, there is no such limit.
        buckets: Number of ids with `ids="hash"`. Default: 2^31 − 1.
        table: Name of the embedding table; a history of items names the table
            of the items. Default: `name`.
        separator: Text between two elements. By default, the column holds
            lists already, as in Parquet and JSON.
        max_length: Largest number of elements kept, at least 1.
        keep: Which elements a longer list keeps: its `"first"` or `"last"`.
        combiner: How their embeddings become one: `"mean"`, `"sum"`,
            `"sqrtn"` (the sum divided by the square root of the sum of
            squared weights) or `"max"`.
        weights: Column with one number for each element, in the same form. By
            default, all weights are 1.

    Raises:
        ValueError: If an argument is missing, has the wrong type, is out of
            range, or has no effect beside the others.

    Example:

    ```python
    from keras_pss.features import MultiCategorical

    genres = MultiCategorical("genres", separator="|", max_length=6)
    viewed = MultiCategorical(
        "viewed", separator=" ", max_length=20, keep="last", table="item"
    )
    ```
    """

    name: Text
    column: Resolved = RESOLVED
    dtype: Dtype = "string"
    ids: Ids = "vocabulary"
    min_count: Count = 1
    max_values: Count | None = None
    buckets: Count | None = None
    table: Resolved = RESOLVED
    separator: Text | None = None
    # Needed, but arguments with defaults come before it.
    max_length: Annotated[Count, WrapValidator(or_none)] = RESOLVED
    keep: Literal["first", "last"] = "first"
    combiner: Literal["mean", "sum", "sqrtn", "max"] = "mean"
    weights: Text | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_ids(self.ids, self.min_count, self.max_values, self.buckets)
        resolve(
            self,
            column=self.column or self.name,
            table=self.table or self.name,
        )
        check_name(self.table)
        if self.max_length is None:
            raise ValueError(
                "MultiCategorical needs `max_length`, the number of elements "
                f"that a row keeps. Received: name={self.name!r}, "
                "max_length=None"
            )
        if self.weights == self.column:
            raise ValueError(
                "`weights` must be another column than `column`. "
                f"Received: weights={self.weights!r}, column={self.column!r}"
            )
        if self.weights is not None and self.combiner == "max":
            raise ValueError(
                "`weights` needs another `combiner` than 'max', which has no "
                f"weights. Received: weights={self.weights!r}, combiner='max'"
            )
