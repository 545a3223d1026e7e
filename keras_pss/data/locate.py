"""Click logs from what users have at hand: names, files, folders, objects."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_pss.data import criteo, movielens, synthetic
from keras_pss.data.movielens.likes_log import LikesLog
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.data.pipelines.prepared_log import PreparedLog
from keras_pss.files import read_json, write_json

SYNTHETIC = "synthetic"
ROWS, SCALE = 300_000, 0.01

# What `locate` leaves in a run's folder: the prepared rows, and of what.
FOLDER, NOTE = "data", "data.json"

# (done, total, stage): rows of the stage "generate", bytes of the others.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Located:
    """Where a log lies, ready to train on.

    Attributes:
        path: A prepared folder, or a file of ratings; see `open_click_log`.
        name: What a report calls the log.
        best_auc: The expected AUC of the true probabilities, of generated
            rows; None of all others.
        prepared: The folder, if this call prepared it.
        differences: Where a folder was prepared otherwise than was asked.
    """

    path: Path
    name: str
    best_auc: float | None = None
    prepared: criteo.Prepared | None = None
    differences: list[str] = field(default_factory=list)


def locate(
    data: str | Path,
    out: Path,
    rows: int | None = None,
    scale: float | None = None,
    settings: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Located:
    """Finds a log, or generates and prepares it.

    What has to be made first is made in `out`, once; `out/data.json` says of
    what, so that it is never taken for that of another log.

    Args:
        data: `"synthetic"`, a log's file or folder, or a prepared folder.
        out: Folder of the run.
        rows: Number of generated rows. Default: 300,000.
        scale: Scale of the generated tables, see `synthetic.generate`.
            Default: 0.01.
        settings: Arguments of `criteo.prepare`.
        progress: Called while rows are generated and prepared.

    Raises:
        ValueError: If there is no such log, or `out` has rows of another.
    """
    if str(data) == SYNTHETIC:
        made = {"rows": rows or ROWS, "scale": scale or SCALE}
        return _generated(out, made, settings or {}, progress)
    for name, value in (("rows", rows), ("scale", scale)):
        if value is not None:
            raise ValueError(
                f"`{name}` is an argument of data='{SYNTHETIC}' alone. Leave "
                f"it out. Received: {name}={value}, data={str(data)!r}"
            )
    source = Path(data)
    if not source.exists():
        raise ValueError(
            f"`data` must be '{SYNTHETIC}', a Criteo TSV file, MovieLens' "
            "ratings, or a folder of either or that `keras-pss prepare` "
            f"wrote. Received: data={str(data)!r}"
        )
    if (source / "metadata.json").is_file():
        return Located(
            source,
            name_of(source),
            differences=_differences(source, settings or {}),
        )
    files = logs(source) if source.is_dir() else [source]
    if is_ratings(files[0]):
        return Located(files[0], files[0].name)
    asked = {
        "source": [_stamp(path) for path in files],
        "prepare": settings or {},
    }
    _check_note(out, asked, data)
    return _prepared(out, asked, files, progress)


def _generated(
    out: Path,
    made: dict[str, Any],
    settings: dict[str, Any],
    progress: Progress | None,
) -> Located:
    """Generated rows in `out/synthetic`, prepared."""
    asked = {"source": made, "prepare": settings}
    _check_note(out, asked, SYNTHETIC)
    folder = out / SYNTHETIC
    if not folder.exists():
        out.mkdir(parents=True, exist_ok=True)
        write_json(asked, out / NOTE)
        synthetic.generate(folder, progress=progress, **made)
    report = synthetic.SyntheticReport.load(folder / synthetic.REPORT)
    found = _prepared(out, asked, logs(folder), progress)
    return Located(
        found.path,
        f"{made['rows']:,} generated rows, scale {made['scale']:g}",
        report.bayes_auc,
        found.prepared,
    )


def _prepared(
    out: Path,
    asked: dict[str, Any],
    files: list[Path],
    progress: Progress | None,
) -> Located:
    """The files' rows in `out/data`, prepared where they are not yet."""
    target, made = out / FOLDER, None
    if not (target / "metadata.json").is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_json(asked, out / NOTE)
        made = criteo.prepare(
            files, target, progress=progress, **asked["prepare"]
        )
    return Located(target, name_of(target), prepared=made)


def _check_note(out: Path, asked: dict[str, Any], data: str | Path) -> None:
    """Raises where `out` has rows of another log, or by other settings."""
    note = out / NOTE
    if note.is_file() and read_json(note, "Remove it.") != asked:
        raise ValueError(
            f"{out / FOLDER} was made of another log, or by other settings. "
            "Choose another `out`, or remove it and data.json. "
            f"Received: data={str(data)!r}"
        )


def as_click_log(data: Any) -> ClickLog:
    """Rows of a run, from what users have at hand.

    Args:
        data: a `ClickLog`, what `criteo.prepare` returned, or MovieLens'
            interactions.
    """
    if isinstance(data, ClickLog):
        return data
    if isinstance(data, movielens.Interactions):
        return LikesLog(data)
    if isinstance(data, criteo.Prepared):
        return PreparedLog(data)
    raise ValueError(
        "`data` must be what `criteo.prepare`, `criteo.load` or "
        f"`movielens.load` returned. Received: {type(data).__name__}"
    )


def open_click_log(path: Path) -> ClickLog:
    """Rows by their place: a prepared folder, or a file of ratings.

    Raises:
        ValueError: If it is neither.
    """
    if path.is_dir():
        return PreparedLog(criteo.load(path))
    if is_ratings(path) and path.is_file():
        return LikesLog(movielens.load(path), source=path)
    raise ValueError(
        "Data must be a folder that `keras-pss prepare` wrote, or MovieLens' "
        f"ratings (.dat or .csv, also compressed). Received: {path}"
    )


def is_ratings(path: Path) -> bool:
    """Whether a file is named as MovieLens' ratings are."""
    return path.with_suffix("").suffix in (".dat", ".csv") or path.suffix in (
        ".dat",
        ".csv",
    )


def name_of(path: Path) -> str:
    """What a report calls a log: its source, not the folder of its records.

    Args:
        path: A prepared folder, or a file of ratings.
    """
    if not path.is_dir():
        return path.name
    sources = criteo.load(path).metadata.get("sources", [])
    names = [source["name"] for source in sources] or [path.name]
    return f"{names[0]} to {names[-1]}" if names[1:] else names[0]


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


def _differences(folder: Path, settings: dict[str, Any]) -> list[str]:
    """Where a folder was prepared otherwise than a recipe asks."""
    content = json.loads((folder / "metadata.json").read_text())
    split = content.get("split", {})
    found = {
        **{k: v for k, v in content.get("ids", {}).items() if k != "policy"},
        "ids": content.get("ids", {}).get("policy"),
        **{k: v for k, v in split.items() if k != "policy"},
        "split": split.get("policy"),
        "split_seed": split.get("seed"),
    }
    return [
        f"{folder} was prepared with {name}={found[name]}, the recipe has "
        f"{value}"
        for name, value in settings.items()
        if name in found and found[name] != value
    ]
