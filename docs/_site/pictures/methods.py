"""Draws docs/methods/*.svg, a picture of each method.

    python docs/_site/pictures/methods.py

Each picture shows the way from an id to its row: what is hashed or divided,
which parameters are read, and how they are combined.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from shapes import (
    CELL,
    COLORS,
    INK,
    LINE,
    PLAIN,
    an_id,
    arrow,
    grid,
    picture,
    rectangle,
    row,
    text,
)

FOLDER = Path(__file__).parents[2] / "methods"
BLUE, ORANGE, GREEN, PURPLE = COLORS
D = 8  # columns of a row
BLOCKS = [color for color in COLORS for _ in range(2)]


def full() -> str:
    return picture(
        "Full table",
        "The id is the number of its own row in a table of n rows.",
        an_id(),
        arrow(52, 88, 215, 88),
        grid(220, 25, 9, D, {4: BLUE}),
        text(276, 172, "n × d numbers"),
        arrow(340, 88, 500, 88),
        row([BLUE] * D),
    )


def robe() -> str:
    starts = (3, 17, 9, 22)
    cells = {
        (0, start + k): color
        for start, color in zip(starts, COLORS, strict=True)
        for k in range(2)
    }
    arrows = [arrow(52, 88, 110 + CELL * (start + 1), 133) for start in starts]
    return picture(
        "ROBE",
        "Four blocks of the row are read at hashed places of one circular "
        "array of m numbers, which all tables share.",
        an_id(),
        text(250, 52, "h(i, block): four hashed places"),
        *arrows,
        grid(110, 137, 1, 26, cells),
        text(292, 172, "one circular array of m numbers for all tables"),
        arrow(480, 137, 520, 106),
        row(BLOCKS, y=81),
    )


def hashed() -> str:
    return picture(
        "Hashing trick",
        "The id is hashed to one of m rows, which it shares with other ids.",
        an_id(),
        text(125, 70, "h(i)"),
        arrow(52, 88, 215, 74),
        grid(220, 40, 6, D, {2: BLUE}),
        text(276, 145, "m rows, m much less than n"),
        arrow(340, 76, 500, 88),
        row([BLUE] * D),
    )


def sketch() -> str:
    filled = {0: BLUE, 2: ORANGE, 3: GREEN, 6: PURPLE}
    signs = dict(zip(filled, "+−+−", strict=True))
    arrows = [arrow(52, 88, 212, 40 + CELL * (place + 0.5)) for place in filled]
    labels = [
        text(350, 45 + CELL * (place + 0.5), sign, 15)
        for place, sign in signs.items()
    ]
    return picture(
        "Sketch",
        "Four hashed rows of a small table are added with hashed signs.",
        an_id(),
        *arrows,
        grid(220, 40, 7, D, filled),
        *labels,
        text(276, 160, "m rows, four of them for each id"),
        text(420, 94, "Σ / 2", 18),
        arrow(450, 88, 500, 88),
        row([BLUE] * D),
    )


def qr() -> str:
    return picture(
        "Quotient-remainder",
        "The quotient and the remainder of the id have a row each, which are "
        "multiplied element by element.",
        an_id(),
        text(125, 52, "i div c"),
        arrow(52, 80, 205, 52),
        grid(210, 24, 4, D, {2: BLUE}),
        text(125, 142, "i mod c"),
        arrow(52, 96, 205, 134),
        grid(210, 106, 4, D, {1: ORANGE}),
        text(266, 180, "about 2 √n rows or more"),
        arrow(330, 58, 400, 82),
        arrow(330, 128, 400, 98),
        text(420, 95, "∘", 22),
        arrow(440, 88, 500, 88),
        row([BLUE, ORANGE] * 4),
    )


def memcom() -> str:
    return picture(
        "MEMCom",
        "The row of the bucket i mod m is multiplied by a number of the id.",
        an_id(),
        text(125, 52, "i mod m"),
        arrow(52, 80, 205, 60),
        grid(210, 24, 5, D, {2: BLUE}),
        text(395, 40, "U: m rows"),
        text(125, 146, "i"),
        arrow(52, 96, 260, 130),
        grid(266, 108, 5, 1, {1: ORANGE}, cell=12),
        text(345, 160, "V: n numbers"),
        arrow(330, 60, 415, 82),
        arrow(286, 126, 415, 94),
        text(430, 94, "×", 20),
        arrow(445, 88, 500, 88),
        row([BLUE] * D),
    )


def tensor(ring: bool) -> str:
    parts = []
    for k in range(3):
        x = 130 + 118 * k
        slices = []
        for digit in range(5):
            color = COLORS[k] if digit == (1, 3, 2)[k] else PLAIN
            slices.append(
                rectangle(x + 9 * digit, 92 - 9 * digit, 34, 44, color)
            )
        label = f"G{'₁₂₃'[k]}[i{'₁₂₃'[k]}]"
        parts += [*reversed(slices), text(x + 34, 154, label)]
        if k < 2:
            parts.append(text(x + 94, 112, "×", 18))
    parts.append(arrow(52, 88, 118, 104))
    if ring:
        parts.append(
            f'<path d="M 118 136 C 140 200, 420 200, 428 136" fill="none" '
            f'stroke="{INK}" stroke-dasharray="4 3"/>'
        )
        parts.append(text(273, 176, "trace", 12))
    name = "Tensor ring" if ring else "Tensor train"
    what = "trace of the product" if ring else "product"
    return picture(
        name,
        "Each digit of the id selects a slice of a core; the row is the "
        f"{what} of the slices.",
        an_id(),
        text(240, 32, "i = (i₁, i₂, i₃), its digits in a mixed radix"),
        *parts,
        arrow(465, 104, 503, 92),
        row([BLUE, ORANGE, GREEN, BLUE, ORANGE, GREEN, BLUE, ORANGE]),
    )


def fpd() -> str:
    return picture(
        "FPD",
        "Rows of two tables for the two digits of the id are multiplied, "
        "summed over p terms, and projected by a matrix.",
        an_id(),
        text(112, 52, "i div s"),
        arrow(52, 80, 165, 54),
        grid(170, 24, 4, 6, {2: BLUE}),
        text(112, 142, "i mod s"),
        arrow(52, 96, 165, 134),
        grid(170, 106, 4, 6, {1: ORANGE}),
        text(212, 180, "s = √n rows each"),
        arrow(262, 58, 302, 80),
        arrow(262, 126, 302, 98),
        text(328, 95, "Σ ∗", 18),
        text(360, 94, "×", 18),
        grid(378, 67, 3, D, dict.fromkeys(range(3), GREEN)),
        text(434, 130, "W: r × d"),
        arrow(496, 88, 516, 88),
        row([BLUE] * D, x=522),
    )


def mixed_dimension() -> str:
    return picture(
        "Mixed dimension, low rank",
        "Each id has a narrow row of its own, and a matrix maps it to d "
        "columns.",
        an_id(),
        arrow(52, 88, 195, 88),
        grid(200, 25, 9, 2, {4: BLUE}),
        text(214, 172, "W: n × k"),
        text(255, 94, "×", 18),
        grid(280, 74, 2, D, {0: GREEN, 1: GREEN}),
        text(336, 128, "P: k × d"),
        arrow(405, 88, 500, 88),
        row([BLUE] * D),
    )


def popularity() -> str:
    return picture(
        "Rows by popularity",
        "The most frequent ids have narrow rows of their own; all others "
        "share the row of id 0. A matrix maps rows to d columns.",
        an_id(),
        text(122, 44, "frequent"),
        arrow(52, 80, 195, 60),
        grid(200, 25, 7, 2, {0: ORANGE, 2: BLUE}),
        text(122, 134, "all others"),
        f'<path d="M 50 98 C 90 160, 170 160, 192 {25 + CELL * 0.7:g}" '
        f'fill="none" stroke="{LINE}" stroke-width="1.3" '
        'stroke-dasharray="4 3"/>',
        text(214, 145, "W: r × k"),
        text(255, 84, "×", 18),
        grid(280, 64, 2, D, {0: GREEN, 1: GREEN}),
        text(336, 118, "P: k × d, of all tables"),
        arrow(405, 78, 500, 88),
        row([BLUE] * D),
    )


def clustered() -> str:
    parts = []
    for k, color in enumerate(COLORS):
        y = 14 + 40 * k
        parts += [
            arrow(52, 88, 165, y + 14),
            grid(170, y, 2, 2, {k % 2: color}),
            text(218, y + 20, "+", 16),
            grid(236, y, 2, 2, {(k + 1) % 2: color}),
            arrow(270, y + 14, 500, 84 + k),
        ]
    return picture(
        "Clustered compositional embeddings",
        "Each quarter of the row is a centroid that a learned pointer selects, "
        "plus a hashed residual.",
        an_id(),
        text(110, 40, "pointers", 12),
        *parts,
        text(226, 186, "centroid + residual, for each of four parts", 12),
        row(BLOCKS),
    )


def deep_hash() -> str:
    layers = [(150, 6), (250, 5), (340, 5), (430, 8)]
    places = [
        [(x, 92 + 20 * (k - (count - 1) / 2)) for k in range(count)]
        for x, count in layers
    ]
    lines = [
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" '
        f'stroke="{LINE}" stroke-width=".6"/>'
        for left, right in pairwise(places)
        for x1, y1 in left
        for x2, y2 in right
    ]
    dots = [
        f'<circle cx="{x:g}" cy="{y:g}" r="6" fill="{color}" stroke="{LINE}"/>'
        for layer, color in zip(
            places, (PLAIN, GREEN, GREEN, BLUE), strict=True
        )
        for x, y in layer
    ]
    return picture(
        "Deep hash embedding",
        "Hashes of the id are the inputs of a dense network, whose outputs "
        "are the row. There is no table.",
        an_id(92),
        arrow(52, 92, 138, 92),
        *lines,
        *dots,
        text(150, 178, "hashes in [−1, 1]", 12),
        text(300, 178, "dense layers", 12),
        arrow(445, 92, 503, 92),
        row([BLUE] * D, y=85),
    )


def quantized() -> str:
    return picture(
        "Quantized table",
        "Each id has a row of integer codes of 16, 8 or 4 bits and a scale.",
        an_id(),
        arrow(52, 88, 215, 88),
        grid(220, 30, 12, D, {5: BLUE}, cell=9.5),
        text(258, 168, "n rows of codes, 4 to 16 bits each"),
        text(318, 92, "×", 18),
        grid(336, 30, 12, 1, {5: ORANGE}, cell=9.5),
        text(372, 66, "a scale", 12, "start"),
        arrow(350, 86, 500, 88),
        row([BLUE] * D),
    )


def hot_rows() -> str:
    return picture(
        "Hot rows",
        "The most frequent ids have uncompressed rows; all others are read "
        "from a compressed embedding.",
        an_id(),
        text(112, 48, "hot?"),
        arrow(52, 80, 195, 52),
        grid(200, 24, 4, D, {1: BLUE}),
        text(256, 96, "uncompressed"),
        arrow(52, 96, 195, 138),
        rectangle(200, 116, 112, 44, GREEN),
        text(256, 143, "any method"),
        text(256, 178, "all other ids"),
        arrow(320, 52, 500, 84),
        arrow(320, 138, 500, 94),
        row([BLUE] * D),
    )


PICTURES: dict[str, Callable[[], str]] = {
    "full": full,
    "robe": robe,
    "hash": hashed,
    "sketch": sketch,
    "qr": qr,
    "memcom": memcom,
    "tt": lambda: tensor(ring=False),
    "tensor_ring": lambda: tensor(ring=True),
    "fpd": fpd,
    "mixed_dimension": mixed_dimension,
    "popularity": popularity,
    "clustered": clustered,
    "deep_hash": deep_hash,
    "quantized": quantized,
    "hot_rows": hot_rows,
}


def main() -> None:
    for name, draw in PICTURES.items():
        path = FOLDER / f"{name}.svg"
        path.write_text(draw(), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
