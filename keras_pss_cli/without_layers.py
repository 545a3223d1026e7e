"""Imports modules of `keras_pss` without its layers.

`import keras_pss` imports every layer, and so Keras and its backend, because a
saved model can be loaded only after its layers are registered. That takes
seconds, and most of what the command line answers needs no layer. So it
enters the package without running its `__init__.py`, and runs it before the
first command that does.
"""

import importlib.util
import sys
from types import ModuleType

_entered: list[ModuleType] = []


def enter() -> None:
    """Makes modules of the package importable, unless it is imported."""
    if "keras_pss" in sys.modules:
        return
    spec = importlib.util.find_spec("keras_pss")
    if spec is None:
        raise ImportError("keras_pss")
    sys.modules["keras_pss"] = importlib.util.module_from_spec(spec)
    _entered.append(sys.modules["keras_pss"])


def finish() -> None:
    """Runs the package's `__init__.py`, which registers the layers."""
    while _entered:
        package = _entered.pop()
        assert package.__spec__ is not None
        assert package.__spec__.loader is not None
        package.__spec__.loader.exec_module(package)
