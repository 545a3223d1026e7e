"""A part of the time of a row, as a category."""

from typing import ClassVar, Literal

from keras_pss.features.checks.checked import Text, checked

TimePart = Literal["hour", "weekday", "weekend"]


@checked
class TimeFeature:
    """A part of the time of a row, as a category; `Timestamp` makes it.

    Its texts are `"0"` to `"23"` (hour), `"1"` to `"7"` (weekday, from
    Monday), `"0"` or `"1"` (weekend). Like a `Categorical`, it has a table,
    a vocabulary and no limit on them.

    Args:
        name: `"hour"`, `"weekday"` or `"weekend"`.
        column: Column of the log that holds the time.

    Example:

    ```python
    from keras_pss.features import TimeFeature, Timestamp

    time = Timestamp("clicked_at", features=("hour", "weekend"))
    assert time.parts == (
        TimeFeature("hour", "clicked_at"),
        TimeFeature("weekend", "clicked_at"),
    )
    ```
    """

    name: TimePart
    column: Text

    dtype: ClassVar[str] = "integer"
    ids: ClassVar[str] = "vocabulary"
    min_count: ClassVar[int] = 1
    max_values: ClassVar[int | None] = None
    buckets: ClassVar[int | None] = None

    @property
    def table(self) -> str:
        """Name of the embedding table."""
        return self.name
