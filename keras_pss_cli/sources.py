"""What `--data` names, ready to train on."""

import re
from pathlib import Path
from typing import Any

from keras_pss_cli.common import progress_bar
from keras_pss_cli.data import show_prepared

SYNTHETIC = "synthetic"


def prepared(
    data: str,
    out: Path,
    rows: int = 300_000,
    scale: float = 0.01,
    settings: dict[str, Any] | None = None,
) -> Any:
    """Rows of a folder that `prepare` wrote, of a log, or generated ones.

    What has to be made first is made in `out`, once.

    Args:
        data: `--data`.
        out: Folder of the run.
        rows, scale: Of generated rows.
        settings: Arguments of `criteo.prepare`.
    """
    from keras_pss.data import criteo, movielens, synthetic
    from keras_pss.training.rows import is_ratings

    source = Path(data)
    if data != SYNTHETIC and not source.exists():
        raise ValueError(
            "--data must be 'synthetic', a Criteo TSV file, MovieLens' "
            "ratings, or a folder of either or that `keras-pss prepare` "
            f"wrote. Received: {data}"
        )
    if (source / "metadata.json").is_file():
        return criteo.load(source)
    if (out / "data" / "metadata.json").is_file():
        return criteo.load(out / "data")
    files = [source]
    if data == SYNTHETIC:
        files = [out / "synthetic.tsv"]
        if not files[0].exists():
            with progress_bar("rows") as progress:
                synthetic.generate(
                    files[0], rows=rows, scale=scale, progress=progress
                )
    elif source.is_dir():
        files = logs(source)
    if is_ratings(files[0]):
        return movielens.load(files[0])
    out.mkdir(parents=True, exist_ok=True)
    with progress_bar("bytes") as progress:
        made = criteo.prepare(
            files, out / "data", progress=progress, **(settings or {})
        )
    show_prepared(made)
    return made


def logs(folder: Path) -> list[Path]:
    """The log's files of a folder as they are downloaded, in time order.

    That is `train.txt`; or `day_0` to `day_23`; or MovieLens' ratings; or all
    `.tsv` files.
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
            return [names[name] for name in sorted(found, key=_in_time)]
    raise ValueError(
        "The folder must be one that `keras-pss prepare` wrote, or hold "
        "train.txt, day_0, day_1, ..., ratings.dat, ratings.csv or .tsv "
        f"files, also compressed. Received: {folder}"
    )


def _in_time(name: str) -> tuple[list[int], str]:
    """Sorts day_2 before day_10."""
    return [int(digits) for digits in re.findall(r"\d+", name)], name
