"""A feature with one category a row."""

from keras_pss.features.checks.checked import (
    RESOLVED,
    Count,
    Dtype,
    Ids,
    Resolved,
    Text,
    checked,
    resolve,
)
from keras_pss.features.checks.names import check_name
from keras_pss.features.checks.table_options import check_ids


@checked
class Categorical:
    """A feature with one category a row, such as a user or a city.

    Every category is a text, and a missing one is the text `""`, a category
    like any other. Id 0 stands for all categories out of the vocabulary; the
    others follow by falling frequency in the training rows.

    Args:
        name: Name of the feature.
        column: Column of the log. Default: `name`.
        dtype: How the text of the log becomes the category: `"string"` (as
            it is), `"integer"` (`"+1"` and `"01"` become `"1"`) or `"hex"`
            (at most 32 bits as eight lowercase digits; a missing value is
            `"00000000"`).
        ids: `"vocabulary"`, or `"hash"` for the text's fingerprint modulo
            `buckets`, the id of `keras.layers.Hashing`.
        min_count: Categories with fewer training rows get id 0.
        max_values: Largest number of categories in the vocabulary, the most
            frequent ones. By default, there is no such limit.
        buckets: Number of ids with `ids="hash"`. Default: 2^31 − 1.
        table: Name of the embedding table. Features that name the same table
            share its vocabulary. Default: `name`.

    Raises:
        ValueError: If an argument has the wrong type, is out of range, or has
            no effect beside the others.

    Example:

    ```python
    from keras_pss.features import Categorical

    city = Categorical("city", min_count=10)
    ad = Categorical("ad", column="ad_id", dtype="integer", table="item")
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

    def __post_init__(self) -> None:
        check_name(self.name)
        check_ids(self.ids, self.min_count, self.max_values, self.buckets)
        resolve(
            self,
            column=self.column or self.name,
            table=self.table or self.name,
        )
        check_name(self.table)
