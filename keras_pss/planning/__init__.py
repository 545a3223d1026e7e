"""Plans of embedding tables within a budget, memory, scaling, and theory.

What `method="auto"` chooses is decided in `layers/planned`; here it is
explained and kept in files.
"""

import typing as _typing

from keras_pss.on_demand import names_of as _names_of

if _typing.TYPE_CHECKING:
    from keras_pss.planning.exports import *  # noqa: F403
else:  # for a type checker, `__getattr__` would have any name
    __getattr__, __dir__ = _names_of(__name__)
