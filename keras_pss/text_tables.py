"""Tables as text, for reports that are printed; no package is imported."""

from collections.abc import Collection, Sequence


def aligned(lines: Sequence[Sequence[str]], left: Collection[int]) -> list[str]:
    """Lines with columns of equal width, and rules below head and body.

    Args:
        lines: Cells of the head, the rows, and the totals.
        left: Numbers of the columns that start at the left; the others, of
            numbers, end at the right.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(
                zip(line, widths, strict=True)
            )
        ).rstrip()
        for line in lines
    ]
    rule = "-" * max(map(len, text))
    return [text[0], rule, *text[1:-1], rule, text[-1]]


def byte_size(count: float) -> str:
    """A number of bytes with four digits and a unit, such as `"1.6 MB"`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.4g} {unit}"
