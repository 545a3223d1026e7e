"""The check of labels that all metrics share."""

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]


def checked_labels(labels: npt.ArrayLike) -> BoolArray:
    """Mask of the rows with a click, `(rows,)`; labels must be 0 or 1."""
    y = np.asarray(labels).ravel()
    clicked = y == 1
    wrong = ~(clicked | (y == 0))
    if wrong.any():
        raise ValueError(
            "`labels` must be 1 for a click and 0 for none. Received: "
            f"{int(wrong.sum())} of {len(y)} other labels, the first "
            f"{y[wrong][0]}"
        )
    return clicked
