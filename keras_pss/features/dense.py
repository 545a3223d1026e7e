"""A numerical feature."""

from typing import Literal

from keras_pss.features.checks.checked import (
    RESOLVED,
    Count,
    Number,
    Resolved,
    Text,
    checked,
    resolve,
)
from keras_pss.features.checks.names import check_name


@checked
class Dense:
    """A numerical feature, such as a price or a count.

    Missing values are filled, the others clipped, and then transformed.

    Args:
        name: Name of the feature.
        column: Column of the log. Default: `name`.
        dtype: `"float"`, or `"integer"`, which rejects other numbers.
        transform: `"none"`; `"log1p"` (log(1 + x)); `"standard"` (less the
            mean and divided by the deviation of the training rows); or
            `"buckets"`, which makes a categorical feature of it whose borders
            are the training rows' quantiles. Missing values have a bucket of
            their own.
        num_buckets: Number of buckets, at least 2. Needed by, and only
            allowed with, `"buckets"`.
        missing: Number that replaces a missing value, or `"mean"`, the mean
            of the training rows. Default: 0.
        minimum: Smaller numbers become this one. Default: 0 with `"log1p"`,
            otherwise no limit.
        maximum: Larger numbers become this one. By default, there is no such
            limit.
        size: Number of numbers in a row; more than 1 for a column of vectors.

    Raises:
        ValueError: If an argument has the wrong type, is out of range, or
            contradicts another one.

    Example:

    ```python
    from keras_pss.features import Dense

    price = Dense("price", transform="log1p", maximum=1e6)
    age = Dense("age", transform="buckets", num_buckets=10)
    ```
    """

    name: Text
    column: Resolved = RESOLVED
    dtype: Literal["float", "integer"] = "float"
    transform: Literal["none", "log1p", "standard", "buckets"] = "none"
    num_buckets: Count | None = None
    missing: Number | Literal["mean"] = 0.0
    minimum: Number | None = None
    maximum: Number | None = None
    size: Count = 1

    def __post_init__(self) -> None:
        check_name(self.name)
        resolve(self, column=self.column or self.name)
        if self.transform == "log1p" and self.minimum is None:
            resolve(self, minimum=0.0)
        self._check_buckets()
        self._check_integers()
        self._check_range()

    @property
    def table(self) -> str:
        """Name of the embedding table of a feature with buckets."""
        return self.name

    def _check_buckets(self) -> None:
        if self.transform != "buckets":
            if self.num_buckets is not None:
                raise ValueError(
                    "`num_buckets` needs transform='buckets'. Received: "
                    f"num_buckets={self.num_buckets}, "
                    f"transform={self.transform!r}"
                )
            return
        if self.num_buckets is None or self.num_buckets < 2:
            raise ValueError(
                "`num_buckets` must be at least 2 with transform='buckets'. "
                f"Received: num_buckets={self.num_buckets}"
            )
        if self.missing != 0:
            raise ValueError(
                "`missing` has no effect with transform='buckets', where "
                "missing values have a bucket of their own. Leave it out. "
                f"Received: missing={self.missing!r}"
            )
        if self.size > 1:
            raise ValueError(
                "`size` must be 1 with transform='buckets'. "
                f"Received: size={self.size}"
            )

    def _check_integers(self) -> None:
        if self.dtype == "float":
            return
        for name in ("missing", "minimum", "maximum"):
            value = getattr(self, name)
            if value is not None and (value == "mean" or value % 1):
                raise ValueError(
                    f"`{name}` must be a whole number with dtype='integer'. "
                    f"Received: {name}={value!r}"
                )
        if self.size > 1:
            raise ValueError(
                "`size` needs dtype='float' if it is more than 1. "
                f"Received: size={self.size}, dtype='integer'"
            )

    def _check_range(self) -> None:
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and low > high:
            raise ValueError(
                "`minimum` must be at most `maximum`. "
                f"Received: minimum={low}, maximum={high}"
            )
        if self.transform == "log1p" and low is not None and low <= -1:
            raise ValueError(
                "`minimum` must be more than -1 with transform='log1p'. "
                f"Received: minimum={low}"
            )
        if self.transform == "buckets" or self.missing == "mean":
            return
        below = low is not None and self.missing < low
        if below or (high is not None and self.missing > high):
            raise ValueError(
                "`missing` must lie between `minimum` and `maximum`. Received: "
                f"missing={self.missing}, minimum={low}, maximum={high}"
            )
