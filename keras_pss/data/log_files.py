"""Files of a log in a folder."""

import re
from pathlib import Path


def is_ratings(path: Path) -> bool:
    """Whether a file name has an extension of MovieLens ratings."""
    return path.with_suffix("").suffix in (".dat", ".csv") or path.suffix in (
        ".dat",
        ".csv",
    )


def all_files(folder: Path) -> list[Path]:
    """Files of a folder in time order, without hidden ones.

    Raises:
        ValueError: If there is no file, or a file lies next to its compressed
            copy.
    """
    names = [
        path.name
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith((".", "_"))
    ]
    if not names:
        raise ValueError(f"The folder must hold files. Received: {folder}")
    _check_copies(folder, names)
    return [folder / name for name in sorted(names, key=_in_time)]


def logs(folder: Path) -> list[Path]:
    """Files of a downloaded log in a folder, in time order.

    These are the first of the following that exist: `train.txt`, `day_0` to
    `day_23`, MovieLens ratings, or all `.tsv` files.

    Raises:
        ValueError: If there is no such file, or a file lies next to its
            compressed copy.
    """
    names = {path.name: path for path in folder.iterdir() if path.is_file()}
    ending = r"(\.(gz|xz|zst))?"
    for form in (
        rf"train\.txt{ending}",
        rf"day_\d+{ending}",
        rf"ratings\.(dat|csv){ending}",
        rf".*\.tsv{ending}",
    ):
        found = [name for name in names if re.fullmatch(form, name)]
        if found:
            _check_copies(folder, found)
            return [names[name] for name in sorted(found, key=_in_time)]
    raise ValueError(
        "The folder must be written by `keras-pss prepare`, or hold "
        "train.txt, day_0, day_1, ..., ratings.dat, ratings.csv or .tsv "
        f"files, which may be compressed. Received: {folder}"
    )


def _check_copies(folder: Path, names: list[str]) -> None:
    """Raises if a file lies next to its compressed copy."""
    plain: dict[str, str] = {}
    for name in sorted(names):
        stem = re.sub(r"\.(gz|xz|zst)$", "", name)
        other = plain.setdefault(stem, name)
        if other != name:
            raise ValueError(
                "A file and its compressed copy would put the same rows into "
                "the training and test splits. Move one of them away. "
                f"Received: {other} and {name} in {folder}"
            )


def _in_time(name: str) -> tuple[list[int], str]:
    """Sort key that puts day_2 before day_10."""
    return [int(digits) for digits in re.findall(r"\d+", name)], name
