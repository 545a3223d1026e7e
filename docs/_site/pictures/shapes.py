"""Shapes of the pictures of the methods, as SVG elements."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 190
CELL = 14
COLORS = ("#3b6fb5", "#d9822b", "#3f9b5b", "#9b5fa8")
PLAIN, LINE, INK = "#e6e9ef", "#a9b1bd", "#1f2530"
FONT = "system-ui, -apple-system, Segoe UI, sans-serif"


def text(
    x: float, y: float, words: str, size: int = 13, anchor: str = "middle"
) -> str:
    """A line of text whose baseline is at y."""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{INK}">{escape(words)}</text>'
    )


def rectangle(
    x: float, y: float, width: float, height: float, fill: str = PLAIN
) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
        f'fill="{fill}" stroke="{LINE}"/>'
    )


def grid(
    x: float,
    y: float,
    rows: int,
    columns: int,
    filled: Mapping[int | tuple[int, int], str] | None = None,
    cell: float = CELL,
) -> str:
    """A table of cells.

    Args:
        x, y: The upper left corner.
        rows, columns: The number of cells.
        filled: Colors of whole rows, by their number, or of single cells, by
            row and column.
        cell: The side of a cell.
    """
    colors = filled or {}
    return "".join(
        rectangle(
            x + cell * column,
            y + cell * row,
            cell,
            cell,
            colors.get((row, column), colors.get(row, PLAIN)),
        )
        for row in range(rows)
        for column in range(columns)
    )


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" '
        f'stroke="{INK}" stroke-width="1.3" marker-end="url(#head)"/>'
    )


def an_id(y: float = 88) -> str:
    """The id at the left edge."""
    circle = (
        f'<circle cx="34" cy="{y:g}" r="15" fill="#fff" stroke="{INK}" '
        'stroke-width="1.3"/>'
    )
    return circle + text(34, y + 5, "i", 15)


def row(
    colors: Sequence[str], y: float = 81, x: float = 510, label: str = "E[i]"
) -> str:
    """The row of the id, at the right edge."""
    cells = {(0, k): color for k, color in enumerate(colors)}
    middle = x + CELL * len(colors) / 2
    return grid(x, y, 1, len(colors), cells) + text(middle, y + 32, label)


def picture(title: str, description: str, *parts: str) -> str:
    """The whole file.

    Args:
        title: What it shows, for screen readers.
        description: The same in a sentence.
        parts: SVG elements.
    """
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} '
        f'{HEIGHT}" role="img" font-family="{FONT}">\n'
        f"<title>{escape(title)}</title>\n"
        f"<desc>{escape(description)}</desc>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{INK}"/></marker></defs>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fbfcfe"/>\n'
        f"{body}\n</svg>\n"
    )
