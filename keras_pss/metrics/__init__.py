"""AUC, log loss, calibration, gAUC, and significance tests of AUC differences.

All functions take labels and probabilities, never a model.

>>> from keras_pss.metrics import Metrics
>>> Metrics.of([0, 1, 1, 0], [0.2, 0.7, 0.4, 0.6]).auc
0.75
"""

import typing as _typing

from keras_pss.on_demand import names_of as _names_of

if _typing.TYPE_CHECKING:
    from keras_pss.metrics.exports import *  # noqa: F403
else:  # for a type checker, `__getattr__` would have any name
    __getattr__, __dir__ = _names_of(__name__)
