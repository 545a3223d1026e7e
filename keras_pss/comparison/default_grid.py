"""The grid of a comparison that does not choose one."""

from typing import Any

from keras_pss.comparison.grid import Grid, load_grid
from keras_pss.data.pipelines.click_log import ClickLog

AUTO = "auto"
# Below as many training rows, the networks of the papers overfit, and narrow
# ones suffice.
SMALL_ROWS = 1_000_000
# Seeds by training rows: an hour on two cores with every default row and size.
SEEDS = ((200_000, 3), (400_000, 2), (SMALL_ROWS, 1))


def grid_for(rows: ClickLog, **changes: Any) -> Grid:
    """The grid that suits a log's number of rows.

    It depends on the rows alone, so that the same call resumes a comparison.

    Args:
        rows: The log.
        **changes: As in `load_grid`; they come before what the rows suggest.

    Returns:
        Below a million training rows `"small"`, with three seeds for less than
        200,000 rows, two for less than 400,000 and one beyond; else
        `"paper"`. The model is DLRM, or NeuralCF for a log without dense
        features.
    """
    train = rows.rows("train")
    if not rows.num_dense:
        changes.setdefault("models", ["neuralcf"])
    for most, seeds in SEEDS:
        if train < most:
            changes.setdefault("seeds", seeds)
            return load_grid("small", **changes)
    return load_grid("paper", **changes)
