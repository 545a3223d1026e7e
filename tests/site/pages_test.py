"""The sources of the site: pages of all methods and names, pictures."""

import ast
import html
import re
import subprocess
import sys
from pathlib import Path

import pytest
from browser import SITE

import keras_pss
from keras_pss.layers.embedding.methods import METHODS

ROOT = Path(__file__).parents[2]
METHOD_PAGES = ROOT / "docs" / "methods"


def test_each_method_has_a_page_and_a_picture():
    assert {path.stem for path in METHOD_PAGES.glob("*.md")} == set(METHODS)
    assert {path.stem for path in METHOD_PAGES.glob("*.svg")} == set(METHODS)
    for name, cls in METHODS.items():
        text = (METHOD_PAGES / f"{name}.md").read_text(encoding="utf-8")
        assert f"`{name}`" in text.splitlines()[0]
        assert f"({name}.svg)" in text
        assert f"::: {cls.__module__}.{cls.__name__}\n" in text


def test_pictures_are_those_that_the_script_draws():
    script = ROOT / "docs" / "_site" / "pictures" / "methods.py"
    code = (
        f"import sys; sys.path.insert(0, {str(script.parent)!r}); "
        "import methods; print({n: f() for n, f in methods.PICTURES.items()})"
    )
    printed = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    for name, drawn in ast.literal_eval(printed.stdout).items():
        committed = (METHOD_PAGES / f"{name}.svg").read_text(encoding="utf-8")
        assert committed == drawn


@pytest.mark.parametrize("package", ["keras_pss", "models", "callbacks"])
def test_the_reference_has_all_public_names(package):
    owner = keras_pss if package == "keras_pss" else getattr(keras_pss, package)
    page = SITE / "api" / package / "index.html"
    text = page.read_text(encoding="utf-8")
    names = [
        name
        for name, value in vars(owner).items()
        if not name.startswith("_")
        and callable(value)
        and value.__module__.startswith("keras_pss")
    ]
    assert len(names) > 2
    methods = {cls.__name__ for cls in METHODS.values()}
    elsewhere = methods if package == "keras_pss" else set()
    for name in names:
        if name in elsewhere:
            assert f">{name}</code>" in text, name
        elif name not in (
            "compress_model",
            "fine_tune",
            "plan",
            "memory_report",
        ):
            assert f".{name}</" in text or f".{name}\n" in text, name


def test_formula_and_example_of_a_docstring_are_code():
    text = (SITE / "methods" / "memcom" / "index.html").read_text("utf-8")
    code = [
        html.unescape(re.sub("<[^>]+>", "", block)).strip()
        for block in re.findall("<pre>(.*?)</pre>", text, re.DOTALL)
    ]
    assert "E[i] = V[i] U[i mod m] + b[i]" in code
    example = "layer = keras_pss.MEMComEmbedding(1_000_000, 64"
    assert any(block.startswith(example) for block in code)
