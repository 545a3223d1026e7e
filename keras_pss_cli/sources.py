"""What `--data` names, ready to train on."""

import json
import re
from pathlib import Path
from typing import Any

import typer

from keras_pss_cli.common import progress_bar
from keras_pss_cli.data import show_prepared

SYNTHETIC = "synthetic"
ROWS, SCALE = 300_000, 0.01


def located(
    data: str,
    out: Path,
    rows: int | None = None,
    scale: float | None = None,
    settings: dict[str, Any] | None = None,
) -> Path:
    """A prepared folder, or a file of ratings.

    What has to be made first is made in `out`, once; `out/data.json` says of
    what, so that it is never taken for that of another log.

    Args:
        data: `--data`.
        out: Folder of the run.
        rows, scale: Of generated rows.
        settings: Arguments of `criteo.prepare`.
    """
    from keras_pss.data import criteo, synthetic
    from keras_pss.data.locate import is_ratings

    source = Path(data)
    if data != SYNTHETIC:
        for name, value in (("--rows", rows), ("--scale", scale)):
            if value is not None:
                raise ValueError(
                    f"{name} is one of --data synthetic. "
                    f"Received: {name} {value} with --data {data}"
                )
        if not source.exists():
            raise ValueError(
                "--data must be 'synthetic', a Criteo TSV file, MovieLens' "
                "ratings, or a folder of either or that `keras-pss prepare` "
                f"wrote. Received: {data}"
            )
        if (source / "metadata.json").is_file():
            _tell_differences(source, settings or {})
            return source
    files = []
    if data != SYNTHETIC:
        files = logs(source) if source.is_dir() else [source]
        if is_ratings(files[0]):
            return files[0]
    made: dict[str, Any] = {"rows": rows or ROWS, "scale": scale or SCALE}
    asked = {
        "source": [_stamp(path) for path in files] or made,
        "prepare": settings or {},
    }
    note, target = out / "data.json", out / "data"
    if note.is_file() and json.loads(note.read_text()) != asked:
        raise ValueError(
            f"{target} was made of another log, or by other settings. Choose "
            "another --out, or remove it and data.json. "
            f"Received: --data {data}"
        )
    if (target / "metadata.json").is_file():
        return target
    out.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(asked))
    if data == SYNTHETIC:
        folder = out / SYNTHETIC
        if not folder.exists():
            with progress_bar("rows") as progress:
                synthetic.generate(folder, progress=progress, **made)
        files = logs(folder)
    with progress_bar("bytes") as progress:
        prepared = criteo.prepare(
            files, target, progress=progress, **(settings or {})
        )
    show_prepared(prepared)
    return target


def best_auc(data: str, out: Path) -> float | None:
    """The expected AUC of the true probabilities, of generated rows."""
    from keras_pss.data import synthetic

    if data != SYNTHETIC:
        return None
    report = synthetic.SyntheticReport.load(out / SYNTHETIC / synthetic.REPORT)
    return report.bayes_auc


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
            _check_copies(folder, found)
            return [names[name] for name in sorted(found, key=_in_time)]
    raise ValueError(
        "The folder must be one that `keras-pss prepare` wrote, or hold "
        "train.txt, day_0, day_1, ..., ratings.dat, ratings.csv or .tsv "
        f"files, also compressed. Received: {folder}"
    )


def _check_copies(folder: Path, names: list[str]) -> None:
    """Raises where a file lies beside its compressed copy."""
    plain: dict[str, str] = {}
    for name in sorted(names):
        stem = re.sub(r"\.(gz|xz|zst)$", "", name)
        other = plain.setdefault(stem, name)
        if other != name:
            raise ValueError(
                "A file and its compressed copy would put the same rows into "
                "training and test. Move one of them away. "
                f"Received: {other} and {name} in {folder}"
            )


def _in_time(name: str) -> tuple[list[int], str]:
    """Sorts day_2 before day_10."""
    return [int(digits) for digits in re.findall(r"\d+", name)], name


def _stamp(path: Path) -> list[Any]:
    """Tells a file from another one of the same name."""
    found = path.resolve().stat()
    return [str(path.resolve()), found.st_size, found.st_mtime_ns]


def _tell_differences(folder: Path, settings: dict[str, Any]) -> None:
    """Says where a folder was prepared otherwise than a recipe asks."""
    content = json.loads((folder / "metadata.json").read_text())
    split = content.get("split", {})
    found = {
        **{k: v for k, v in content.get("ids", {}).items() if k != "policy"},
        "ids": content.get("ids", {}).get("policy"),
        **{k: v for k, v in split.items() if k != "policy"},
        "split": split.get("policy"),
        "split_seed": split.get("seed"),
    }
    for name, value in settings.items():
        if name in found and found[name] != value:
            typer.echo(
                f"keras-pss: {folder} was prepared with {name}={found[name]}, "
                f"the recipe has {value}",
                err=True,
            )
