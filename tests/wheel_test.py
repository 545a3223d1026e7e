"""The wheel of `python -m build` works outside of the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from keras_pss.native import library

pytestmark = [
    pytest.mark.slow,
    pytest.mark.tf_only,
    pytest.mark.xdist_group("wheel"),
]

ROOT = Path(__file__).parents[1]


def build(kind, source, out):
    """Calls the build backend in `source`; returns the one file it writes."""
    out.mkdir()
    call = (
        f"from setuptools import build_meta as b; b.build_{kind}({str(out)!r})"
    )
    run([sys.executable, "-c", call], source)
    (built,) = out.iterdir()
    return built


def run(command, folder, **variables):
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = run(["git", "ls-files"], ROOT).splitlines()
    for name in tracked:
        target = folder / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    sdist = build("sdist", folder / "checkout", folder / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source = folder / sdist.name.removesuffix(".tar.gz")
    return build("wheel", source, folder / "dist")


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_it_has_what_is_tracked_and_nothing_else(wheel):
    packed = {n for n in contents(wheel) if ".dist-info/" not in n}
    tracked = run(["git", "ls-files", "keras_pss", "keras_pss_cli"], ROOT)
    sources = library.source_files(ROOT / "custom_ops")
    assert packed == {
        *tracked.splitlines(),
        "keras_pss/custom_ops/README.md",
        *(f"keras_pss/{path.relative_to(ROOT)}" for path in sources),
    }


def test_its_metadata(wheel):
    files = contents(wheel)
    (info,) = {n.split("/")[0] for n in files if ".dist-info/" in n}
    assert files[f"{info}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    metadata = files[f"{info}/METADATA"].decode()
    assert "\nAuthor: keras_pss developers\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "Project-URL" not in metadata
    assert b"py3-none-any" in files[f"{info}/WHEEL"]


INSTALLED = """
import keras_pss, numpy as np
from keras_pss.native import library
print(keras_pss.__file__)
print(library.source_folder())
print(library.place("tensorflow", "2").sources)
layer = keras_pss.ROBEEmbedding(1_000, 4, memory_size=100)
print(layer(np.arange(3)).shape)
"""


@pytest.mark.parametrize("where", ["environment", "target"])
def test_it_is_installed_and_used(wheel, tmp_path, where):
    """With the packages of this environment, but for the checkout."""
    environment = tmp_path / "environment"
    run([sys.executable, "-m", "venv", "--without-pip", environment], tmp_path)
    python = environment / "bin" / "python"
    to = Path(run([python, "-c", PURELIB], tmp_path).strip())
    others = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})"
    (to / "others.pth").write_text(others)
    install = [sys.executable, "-m", "pip", "--python", python, "install"]
    variables = {}
    if where == "target":
        to = tmp_path / "target"
        install += ["--target", to]
        variables["PYTHONPATH"] = str(to)
    run([*install, "-q", "--no-deps", "--no-index", wheel], tmp_path)
    said = run([python, "-c", INSTALLED], tmp_path, **variables).splitlines()
    assert said[:2] == [
        str(to / "keras_pss" / "__init__.py"),
        str(to / "keras_pss" / "custom_ops"),
    ]
    # The kernels of the checkout are those of the wheel.
    assert said[2] == library.place("tensorflow", "2").sources
    assert said[3] == "(3, 4)"
    program = to / "bin" if where == "target" else environment / "bin"
    recipes = run([program / "keras-pss", "recipes"], tmp_path, **variables)
    assert "criteo_kaggle_1000x" in recipes


PURELIB = "import sysconfig; print(sysconfig.get_path('purelib'))"
