"""A feature whose categories are the pairs of two others."""

from keras_pss.features.checks.checked import Count, Ids, Text, checked
from keras_pss.features.checks.names import check_name
from keras_pss.features.checks.table_options import check_ids

# ASCII's unit separator, which texts of a log do not hold.
SEPARATOR = "\x1f"


@checked
class Cross:
    """A feature whose categories are the pairs of two other features'.

    The text of a pair is `first + "\\x1f" + second`.

    Args:
        name: Name of the feature.
        columns: Names of the two categorical features.
        ids: `"hash"` or `"vocabulary"`, as in `Categorical`.
        min_count: Pairs with fewer training rows get id 0.
        max_values: Largest number of pairs in the vocabulary. By default,
            there is no such limit.
        buckets: Number of ids with `ids="hash"`. Default: 2^31 − 1.

    Raises:
        ValueError: If an argument is missing, has the wrong type, is out of
            range, or has no effect beside the others.

    Example:

    ```python
    from keras_pss.features import Cross

    pair = Cross("city_device", ("city", "device"), buckets=100_000)
    ```
    """

    name: Text
    columns: tuple[Text, Text]
    ids: Ids = "hash"
    min_count: Count = 1
    max_values: Count | None = None
    buckets: Count | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_ids(self.ids, self.min_count, self.max_values, self.buckets)
        if self.columns[0] == self.columns[1]:
            raise ValueError(
                "`columns` must name two different features. "
                f"Received: columns={self.columns}"
            )

    @property
    def table(self) -> str:
        """Name of the embedding table."""
        return self.name
