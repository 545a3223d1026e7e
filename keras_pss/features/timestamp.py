"""The column that says when a row happened."""

from keras_pss.features.checks.checked import Text, checked
from keras_pss.features.time_feature import TimeFeature, TimePart

_EPOCHS = ("epoch_s", "epoch_ms")


@checked
class Timestamp:
    """The column that says when a row happened.

    Args:
        column: Column of the log.
        format: `"epoch_s"` or `"epoch_ms"` (seconds or milliseconds since
            1970), or a format of `strptime` such as `"%y%m%d%H"`. By default,
            the column holds times already or is ISO 8601 text.
        features: Categorical features that are made of it: any of `"hour"`,
            `"weekday"` and `"weekend"`.

    Raises:
        ValueError: If an argument is missing or has another value.

    Example:

    ```python
    from keras_pss.features import Timestamp

    time = Timestamp("hour", "%y%m%d%H", features=("hour", "weekday"))
    ```
    """

    column: Text
    format: Text | None = None
    features: tuple[TimePart, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.features)) < len(self.features):
            raise ValueError(
                "`features` must not repeat a name. "
                f"Received: features={self.features}"
            )
        known = self.format is None or self.format in _EPOCHS
        if not known and "%" not in str(self.format):
            raise ValueError(
                "`format` must be epoch_s, epoch_ms or a format of strptime "
                "such as '%Y-%m-%d %H:%M:%S'. "
                f"Received: format={self.format!r}"
            )

    @property
    def parts(self) -> tuple[TimeFeature, ...]:
        """The features, in the order of `features`."""
        return tuple(TimeFeature(name, self.column) for name in self.features)
