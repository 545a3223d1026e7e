"""Packages whose names are imported when they are first used.

Importing any module of a package runs its `__init__.py`. Where that imported
all layers, or all that a training run needs, whoever wants one function of
arithmetic would wait seconds for Keras and its backend. So these packages
keep the imports in their `exports.py`, a line for each name.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def names_of(package: str) -> tuple[Callable[[str], Any], Callable[[], Any]]:
    """The functions `__getattr__` and `__dir__` of such a package.

    Args:
        package: Its `__name__`. No name in its `exports.py` may be that of
            one of its modules: importing the module would hide it.
    """

    def find(name: str) -> Any:
        if name == "__all__":  # which `from package import *` asks for
            return exported()
        if not name.startswith("_"):
            # Before the names, so that `from package import module` imports
            # the module alone.
            if find_spec(f"{package}.{name}"):
                return import_module(f"{package}.{name}")
            exports = import_module(f"{package}.exports")
            if hasattr(exports, name):
                found = getattr(exports, name)
                setattr(sys.modules[package], name, found)
                return found
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def exported() -> list[str]:
        exports = import_module(f"{package}.exports")
        return sorted(name for name in vars(exports) if name[0] != "_")

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *exported()})

    return find, listed
