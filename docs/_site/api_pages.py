"""Creates the pages of the API reference when the site is built.

Each page has the public names of a package, as its `exports.py` or its
`__init__.py` imports them, so that a new name is documented without an edit
here. Packages import their names late, so the paths are those of the modules
that define them.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
# The pages in api/, and the packages whose names each one has. A name is on
# the first page that has it.
PAGES = {
    "models": ["keras_pss.models"],
    "callbacks": ["keras_pss.callbacks"],
    "optimizers": ["keras_pss.optimizers"],
    "theory": ["keras_pss.planning.theory"],
    "planning": ["keras_pss.planning"],
    "convert": ["keras_pss.convert"],
    "features": ["keras_pss.features"],
    "data": [
        "keras_pss.data",
        "keras_pss.data.criteo",
        "keras_pss.data.movielens",
        "keras_pss.data.synthetic",
    ],
    "metrics": [
        "keras_pss.metrics.click_metrics",
        "keras_pss.metrics.group_auc",
        "keras_pss.metrics.significance",
        "keras_pss.metrics.holm",
    ],
    "training": ["keras_pss.training"],
    "comparison": ["keras_pss.comparison"],
    "serving": ["keras_pss.serving", "keras_pss.serving.raw_rows"],
    "distribution": ["keras_pss.distribution"],
    "native": ["keras_pss.native"],
    "keras_pss": ["keras_pss", "keras_pss.layers"],
}
# Further names, which the packages import when they are used.
LATE = {
    "keras_pss.distribution": {
        "JaxReplicas": "keras_pss.distribution.on_jax.jax_replicas",
        "Workers": "keras_pss.distribution.workers",
    },
}


def on_files(files: Files, config: Any) -> Files:
    seen = {path for path, _ in method_classes()}
    for page, packages in PAGES.items():
        text = page_text(packages, seen)
        files.append(File.generated(config, f"api/{page}.md", content=text))
    return files


def page_text(packages: list[str], seen: set[str]) -> str:
    """The Markdown of a page.

    Args:
        packages: Names of packages or modules.
        seen: Paths that other pages have; those of this page are added.
    """
    lines = [f"# {packages[0]}", ""]
    for package in packages:
        tree = ast.parse(source(package).read_text(encoding="utf-8"))
        if package != packages[0]:
            lines += [f"## {package}", ""]
        lines += [introduction(package), ""]
        for name, home in sorted(public(package, tree).items()):
            path = f"{home}.{name}"
            if path in seen:
                continue
            seen.add(path)
            lines += [
                f"::: {path}",
                "    options:",
                f"      heading: {package}.{name}",
                f"      toc_label: {name}",
                f"      heading_level: {2 + (package != packages[0])}",
                "",
            ]
        if package == "keras_pss":
            lines += ["## Layers of the methods", ""]
            lines += [
                f"- [`{path.rsplit('.', 1)[1]}`](../methods/{page}.md)"
                for path, page in method_classes()
            ]
            lines.append("")
    return "\n".join(lines)


def introduction(package: str) -> str:
    """The package's docstring, with its examples as code."""
    path = ROOT.joinpath(*package.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    paragraphs = [
        f"```pycon\n{part}\n```" if part.startswith(">>>") else part
        for part in text.split("\n\n")
    ]
    return "\n\n".join(paragraphs)


def source(package: str) -> Path:
    """The file that imports or defines the names of a package or module."""
    path = ROOT.joinpath(*package.split("."))
    choices = [path / "exports.py", path / "__init__.py"]
    return next(
        (each for each in choices if each.is_file()), path.with_suffix(".py")
    )


def public(package: str, tree: ast.Module) -> dict[str, str]:
    """The modules that define the public names of a package, by name."""
    listed = declared(tree)
    found = dict(LATE.get(package, {}))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name
                exported = alias.asname == alias.name or name in listed
                if exported and not is_module(f"{node.module}.{alias.name}"):
                    found[name] = str(node.module)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef) and (
            not listed or node.name in listed
        ):
            found[node.name] = package
    return {name: home for name, home in found.items() if name[0] != "_"}


def declared(tree: ast.Module) -> set[str]:
    """The names in `__all__`; empty without it."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [
            getattr(target, "id", "") for target in node.targets
        ] == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return set()


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def method_classes() -> Iterator[tuple[str, str]]:
    """Paths of the classes in docs/methods, and the names of these pages."""
    for page in sorted((ROOT / "docs" / "methods").glob("*.md")):
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith("::: "):
                yield line.removeprefix("::: "), page.stem
