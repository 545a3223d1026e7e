"""Pages of files that lie outside of docs/: examples, changes, contributing.

A link to such a file, `[text](../examples/demo.py)`, or to a folder of
examples leads to its page. The README has no page, since the home page says the
same.
"""

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PAGES = {
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/README.md": "examples/index.md",
}
# What the examples are written in; others are shown as text.
LANGUAGES = {".py": "python", ".c": "c", ".sh": "sh", ".toml": "toml"}
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        content = relinked(text, posixpath.dirname(source), page)
        files.append(File.generated(config, page, content=content))
    for path in sorted((ROOT / "examples").rglob("*")):
        source = path.relative_to(ROOT).as_posix()
        if source in PAGES or "__pycache__" in source:
            continue
        files.append(
            File.generated(
                config,
                page_of(source),
                content=listing(path) if path.is_dir() else example(path),
                inclusion=files_in_no_menu(),
            )
        )
    return files


def files_in_no_menu() -> Any:
    """Built, and linked from other pages, but not a part of the menu."""
    from mkdocs.structure.files import InclusionLevel

    return InclusionLevel.NOT_IN_NAV


def example(path: Path) -> str:
    """A page of a file: what a script's docstring says, then the file."""
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text(encoding="utf-8")
    said = ""
    if path.suffix == ".py":
        said = ast.get_docstring(ast.parse(text)) or ""
    title = said.splitlines()[0].rstrip(".") if said else path.name
    # An indented line of the docstring is a command.
    rest = "\n".join(said.splitlines()[1:])
    language = LANGUAGES.get(path.suffix, "text")
    return f"# {title}\n\n{rest}\n\n`{name}`:\n\n````{language}\n{text}````\n"


def listing(folder: Path) -> str:
    """A page with links to the pages of a folder's files."""
    name = folder.relative_to(ROOT).as_posix()
    links = [
        f"- [{path.name}]({posixpath.basename(page_of(f'{name}/{path.name}'))})"
        for path in sorted(folder.iterdir())
        if path.name != "__pycache__"
    ]
    return "\n".join([f"# {name}", "", *links, ""])


def page_of(source: str) -> str:
    """The page of a file or folder in examples/.

    The pages of a folder lie in it: its own is their index. A script's page
    has its name, and that of another file the suffix as well.
    """
    if (ROOT / source).is_dir():
        return f"{source}/index.md"
    return f"{source.removesuffix('.py')}.md"


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    if page.file.src_uri in PAGES.values():
        return markdown
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))
    return relinked(markdown, folder, page.file.src_uri)


def relinked(text: str, folder: str, page: str) -> str:
    """Text whose links to files outside of docs/ lead to their pages.

    Args:
        text: Markdown.
        folder: The folder that the links are relative to.
        page: Path of the page in docs/.
    """

    def mended(match: re.Match[str]) -> str:
        label, target, anchor = match[1], match[2], match[3] or ""
        found = posixpath.normpath(posixpath.join(folder, target))
        new = found.removeprefix("docs/")
        if new == found:
            new = outside(found)
        if new is None:
            return label
        here = posixpath.relpath(new, posixpath.dirname(page) or ".")
        return f"[{label}]({here}{anchor})"

    return LINK.sub(mended, text)


def outside(path: str) -> str | None:
    """The page of a file outside of docs/; None if it has none.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if not (ROOT / path).exists():
        raise FileNotFoundError(f"A page has a link to {path}, which is absent")
    if path in PAGES:
        return PAGES[path]
    if path == "README.md":
        return "index.md"
    if path == "examples":
        return PAGES["examples/README.md"]
    if path.startswith("examples/"):
        return page_of(path)
    return None
