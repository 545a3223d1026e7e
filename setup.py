"""Adds the sources of the kernels; pyproject.toml has the rest."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SOURCES = "custom_ops"


class BuildWithKernelSources(build_py):
    """Copies `custom_ops/` to `keras_pss/`, for `keras-pss build-ops`.

    An editable install reads them in the checkout.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "keras_pss", SOURCES)
        # A library is named by a digest of its sources, so files of an earlier
        # build must not stay among them.
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(
            SOURCES,
            target,
            ignore=shutil.ignore_patterns("tests", "build", "__pycache__"),
        )


setup(cmdclass={"build_py": BuildWithKernelSources})
