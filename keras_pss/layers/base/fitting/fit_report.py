"""What a fit to a trained table lost."""

from dataclasses import dataclass
from typing import Self

from keras_pss.ops.fitting.errors import Errors


@dataclass(frozen=True)
class FitReport:
    """How well the rows of a layer represent a trained table.

    Neither error says what a model loses: with the same error, methods in
    which unrelated ids share numbers lose more than others. Only a metric on
    data does.

    Attributes:
        relative_error: Float, `||H - E||_F / ||E||_F` for the table E and the
            rows H of the layer.
        weighted_relative_error: Float, the same with the squares of each row
            weighted by the count of its id; None without counts.
        parameters: Integer, the parameters of the layer.

    Example:

    ```python
    rows = np.random.normal(size=(1000, 16)).astype("float32")
    layer = keras_pss.QuantizedEmbedding(1000, 16)
    report = layer.fit_table(rows)
    report.relative_error < 0.01  # True
    print(report)
    ```
    """

    relative_error: float
    weighted_relative_error: float | None
    parameters: int

    @classmethod
    def of(cls, errors: Errors, parameters: int) -> Self:
        return cls(errors.relative, errors.weighted, parameters)

    def __str__(self) -> str:
        weighted = ""
        if self.weighted_relative_error is not None:
            weighted = (
                f", {self.weighted_relative_error:.4g} weighted by counts"
            )
        return (
            f"relative error {self.relative_error:.4g}{weighted}, "
            f"{self.parameters:,} parameters"
        )
