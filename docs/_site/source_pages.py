"""Pages of files that lie outside of docs/: examples, changes, contributing.

A link to such a file, `[text](../examples/demo.py)`, leads to its page. The
README has no page, since the home page says the same.
"""

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PAGES = {"CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        content = relinked(text, "", page)
        files.append(File.generated(config, page, content=content))
    for source in sorted((ROOT / "examples").glob("*.py")):
        text = source.read_text(encoding="utf-8")
        files.append(
            File.generated(
                config,
                f"examples/{source.stem}.md",
                content=example(source.name, text),
                inclusion=files_in_no_menu(),
            )
        )
    return files


def files_in_no_menu() -> Any:
    """Built, and linked from other pages, but not a part of the menu."""
    from mkdocs.structure.files import InclusionLevel

    return InclusionLevel.NOT_IN_NAV


def example(name: str, text: str) -> str:
    """A page of a script: what its docstring says, then the script."""
    said = ast.get_docstring(ast.parse(text)) or ""
    title = said.splitlines()[0].rstrip(".") if said else name
    # An indented line of the docstring is a command.
    rest = "\n".join(said.splitlines()[1:])
    return (
        f"# {title}\n\n{rest}\n\n`examples/{name}`:\n\n````python\n{text}````\n"
    )


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    if page.file.src_uri in PAGES.values():
        return markdown
    return relinked(markdown, "docs", page.file.src_uri)


def relinked(text: str, folder: str, page: str) -> str:
    """Text whose links to files outside of docs/ lead to their pages.

    Args:
        text: Markdown.
        folder: The folder that the links are relative to, and `page` as well.
        page: Path of the page in docs/.
    """
    at = posixpath.dirname(page) if folder else ""

    def mended(match: re.Match[str]) -> str:
        label, target, anchor = match[1], match[2], match[3] or ""
        found = posixpath.normpath(posixpath.join(folder, at, target))
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
    if path.startswith("examples/") and path.endswith(".py"):
        return f"{path.removesuffix('.py')}.md"
    return None
