"""The column that says whether a row was a click."""

from keras_pss.features.checks.checked import Number, Text, Texts, checked
from keras_pss.messages import shown


@checked
class Label:
    """The column that says whether a row was a click.

    By default, the column holds 0 and 1, also as 0.0 and 1.0 or as false and
    true.

    Args:
        column: Column of the log.
        positive: Text or texts that mean 1. All others mean 0, unless
            `negative` is given.
        negative: Text or texts that mean 0. Rows with any other text are
            rejected.
        threshold: Number from which on the label is 1, such as a rating of 4.
            It excludes `positive`.

    Raises:
        ValueError: If an argument is missing, has the wrong type or
            contradicts another one.

    Example:

    ```python
    from keras_pss.features import Label

    click = Label("clicked", positive="yes", negative="no")
    liked = Label("rating", threshold=4)
    ```
    """

    column: Text
    positive: Texts | None = None
    negative: Texts | None = None
    threshold: Number | None = None

    def __post_init__(self) -> None:
        for name in ("positive", "negative"):
            if getattr(self, name) == ():
                raise ValueError(
                    f"`{name}` must hold at least one text. Received: {name}=()"
                )
        if self.threshold is not None and (self.positive or self.negative):
            raise ValueError(
                "`threshold` excludes `positive` and `negative`. Give one "
                f"rule. Received: threshold={self.threshold}, "
                f"positive={shown(self.positive)}, "
                f"negative={shown(self.negative)}"
            )
        if self.negative and not self.positive:
            raise ValueError(
                "`negative` needs `positive`, the texts that mean 1. "
                f"Received: negative={shown(self.negative)}, positive=None"
            )
        both = set(self.positive or ()) & set(self.negative or ())
        if both:
            raise ValueError(
                "`positive` and `negative` must not share a text. "
                f"Received: {sorted(both)[0]!r} in both"
            )
