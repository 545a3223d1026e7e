"""Cache lines that the lookup of one row reads."""

from keras_pss.layers.base.checks import positive_int


def memory_fetches(
    output_dim: int, line_size: int, block_size: int | None = None
) -> int:
    """Largest number of cache lines that one row touches.

    A run of L numbers touches at most `(L + B - 2) // B + 1` lines of B
    numbers. A row is one run in an uncompressed table, and ⌈d / Z⌉ runs in
    ROBE; if it is one run, it may also wrap around the end of the memory,
    which adds a line. For sizes that divide each other this is

        uncompressed     d/B + 1
        Z = 1            d
        Z < B <= d       2 d/Z
        B <= Z < d       d/B + d/Z
        Z >= d           d/B + 2

    It is assumed that the memory begins with a line and, for Z < d, that m is
    a multiple of B: if it is not, each block that wraps reads one line more.

    Args:
        output_dim: Integer d, the length of a row.
        line_size: Integer B, the parameters in a cache line: 16 for float32
            and 64 bytes.
        block_size: Integer Z; None for an uncompressed table.

    Returns:
        Integer, a number of lines.

    Raises:
        ValueError: If an argument is not a positive integer.

    Example:

    ```python
    theory = keras_pss.planning.theory
    theory.memory_fetches(128, line_size=16)  # 9
    theory.memory_fetches(128, line_size=16, block_size=32)  # 12
    ```

    References: Desai et al., "Random Offset Block Embedding (ROBE) for
    compressed embedding tables in deep learning recommendation systems"
    (MLSys 2022), table 1.
    """
    width = positive_int("output_dim", output_dim)
    line = positive_int("line_size", line_size)
    if block_size is None:
        return _lines(width, line)
    block = positive_int("block_size", block_size)
    if block == 1:
        return width
    if block >= width:
        return _lines(width, line) + 1
    blocks, rest = divmod(width, block)
    return blocks * _lines(block, line) + (_lines(rest, line) if rest else 0)


def _lines(run: int, line: int) -> int:
    return (run + line - 2) // line + 1
