"""Opens click logs from names, files, folders or loaded data.

The file is long because each kind of data that a user may name has its own
checks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_pss.data import movielens, synthetic
from keras_pss.data.criteo import preset
from keras_pss.data.log_files import all_files, is_ratings, logs
from keras_pss.data.movielens.likes_log import LikesLog
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.data.pipelines.folder_log import FolderLog
from keras_pss.data.readers.tfds.names import is_tfds, schema_of
from keras_pss.data.readers.tfds.split_source import split_sources
from keras_pss.data.schema_differences import schema_differences
from keras_pss.data.storage.open_folder import load
from keras_pss.data.storage.prepare_log import prepare
from keras_pss.data.storage.prepared_folder import PreparedFolder
from keras_pss.features import Schema
from keras_pss.files import read_json, write_json

SYNTHETIC = "synthetic"
ROWS, SCALE = 300_000, 0.01

# Outputs of `locate` in a run's folder: the prepared rows and their sources.
FOLDER, NOTE = "data", "data.json"

# (done, total, stage), in rows for the stage "generate", else in bytes.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Located:
    """Location of a log that is ready for training.

    Attributes:
        path: A prepared folder or a ratings file; see `open_click_log`.
        name: Name of the log in reports.
        best_auc: Expected AUC of the true probabilities of generated rows,
            or None for other data.
        prepared: The prepared folder if this call prepared it, else None.
        differences: Messages about settings of an existing prepared folder
            that differ from the requested ones.
    """

    path: Path
    name: str
    best_auc: float | None = None
    prepared: PreparedFolder | None = None
    differences: list[str] = field(default_factory=list)


def locate(
    data: str | Path,
    out: Path,
    rows: int | None = None,
    scale: float | None = None,
    settings: dict[str, Any] | None = None,
    progress: Progress | None = None,
    schema: str | Path | None = None,
) -> Located:
    """Finds a log; generates and prepares it if necessary.

    Generated and prepared data is written to `out` once. `out/data.json`
    records its sources and settings, so that it is not reused for another log.

    Args:
        data: `"synthetic"`, a file or folder of a log, a dataset of TensorFlow
            Datasets such as `"tfds:criteo_kaggle"`, or a prepared folder.
        out: Folder of the run.
        rows: Number of generated rows. Default: 300,000.
        scale: Scale of the cardinalities of the generated rows; see
            `synthetic.generate`. Default: 0.01.
        settings: Keyword arguments of `criteo.schema`; or `schema`, a
            recipe's schema as a dictionary, for any log. Default: none.
        progress: Called as `progress(done, total, stage)` while rows are
            generated and prepared. Default: None.
        schema: The schema of files that are not Criteo's: the path of a TOML
            file, or the name of a preset. Default: None.

    Raises:
        ValueError: If the log does not exist, or `out` has rows of another
            log.
    """
    check(data, rows, scale, settings, schema)
    source = Path(data)
    if str(data) == SYNTHETIC:
        made = {"rows": rows or ROWS, "scale": scale or SCALE}
        return _generated(out, made, settings or {}, progress)
    if is_tfds(data):
        return _dataset(str(data), out, schema, settings or {}, progress)
    if (source / "metadata.json").is_file():
        return Located(
            source,
            name_of(source),
            differences=_differences(source, settings or {}),
        )
    if schema is not None:
        settings = {"schema": Schema.load(schema).to_dict()}
    if "schema" in (settings or {}):
        files = all_files(source) if source.is_dir() else [source]
    else:
        files = logs(source) if source.is_dir() else [source]
        if is_ratings(files[0]):
            return Located(files[0], files[0].name)
    asked = {
        "source": [_fingerprint(path) for path in files],
        "prepare": settings or {},
    }
    _check_note(out, asked, data)
    return _prepared(out, asked, files, progress)


def check(
    data: str | Path,
    rows: int | None = None,
    scale: float | None = None,
    settings: dict[str, Any] | None = None,
    schema: str | Path | None = None,
) -> None:
    """Checks arguments of `locate`, which it finds wrong without reading rows.

    Args, Raises: as in `locate`.
    """
    source = Path(data)
    if schema is not None and (
        str(data) == SYNTHETIC or (source / "metadata.json").is_file()
    ):
        raise ValueError(
            "`schema` applies only to files that are not prepared yet. Leave "
            f"it out. Received: schema={str(schema)!r}, data={str(data)!r}"
        )
    if str(data) == SYNTHETIC and "schema" in (settings or {}):
        raise ValueError(
            "`data` must be files of the recipe's log: generated rows are in "
            f"Criteo's format. Received: data={str(data)!r}"
        )
    for name, value in (("rows", rows), ("scale", scale)):
        if value is not None and str(data) != SYNTHETIC:
            raise ValueError(
                f"`{name}` applies only to data='{SYNTHETIC}'. Leave "
                f"it out. Received: {name}={value}, data={str(data)!r}"
            )
    if str(data) != SYNTHETIC and not is_tfds(data) and not source.exists():
        raise ValueError(
            f"`data` must be '{SYNTHETIC}', a Criteo TSV file, a MovieLens "
            "ratings file, files of a `schema`, a folder with such files, a "
            "dataset of TensorFlow Datasets such as tfds:criteo_kaggle, or a "
            "folder written by `keras-pss prepare`. "
            f"Received: data={str(data)!r}"
        )
    if schema is not None:
        Schema.load(schema)  # or an error


def _generated(
    out: Path,
    made: dict[str, Any],
    settings: dict[str, Any],
    progress: Progress | None,
) -> Located:
    """Prepares rows that it generates in `out/synthetic`."""
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


def _dataset(
    data: str,
    out: Path,
    schema: str | Path | None,
    settings: dict[str, Any],
    progress: Progress | None,
) -> Located:
    """Prepares a dataset of TFDS in `out/data`, as its schema says."""
    settings = dict(settings)
    recipe = settings.pop("schema", None)
    if schema is not None:
        known = Schema.load(schema)
    elif recipe is not None:
        known = Schema.from_dict(recipe)
    else:
        known = schema_of(data)
    asked = {
        "source": [
            [str(split.path), split.size, split.num_rows]
            for split in split_sources(data)
        ],
        "prepare": {"schema": known.to_dict()},
    }
    _check_note(out, asked, data)
    unused = [
        f"{data} is prepared as its schema says, not with the recipe's "
        f"{name}={value}"
        for name, value in settings.items()
    ]
    found = _prepared(out, asked, [Path(data)], progress)
    return replace(found, differences=unused)


def _prepared(
    out: Path,
    asked: dict[str, Any],
    files: list[Path],
    progress: Progress | None,
) -> Located:
    """Prepares the files in `out/data` unless that was done before."""
    target = out / FOLDER
    made: PreparedFolder | None = None
    if not (target / "metadata.json").is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_json(asked, out / NOTE)
        settings = asked["prepare"]
        schema = (
            Schema.from_dict(settings["schema"])
            if "schema" in settings
            else preset.schema(**settings)
        )
        made = prepare(files, target, schema, progress=progress)
    return Located(target, name_of(target), prepared=made)


def _check_note(out: Path, asked: dict[str, Any], data: str | Path) -> None:
    """Raises if `out` has rows of another log or with other settings."""
    note = out / NOTE
    if note.is_file() and read_json(note, "Remove it.") != asked:
        raise ValueError(
            f"{out / FOLDER} was made from another log or with other settings. "
            "Choose another `out`, or remove it and data.json. "
            f"Received: data={str(data)!r}"
        )


def as_click_log(data: Any) -> ClickLog:
    """Converts data to a `ClickLog`.

    Args:
        data: A `ClickLog`, a result of `prepare` or `load` of
            `keras_pss.data`, or MovieLens `Interactions`.

    Raises:
        ValueError: If `data` has another type.
    """
    if isinstance(data, ClickLog):
        return data
    if isinstance(data, movielens.Interactions):
        return LikesLog(data)
    if isinstance(data, PreparedFolder):
        return FolderLog(data)
    raise ValueError(
        "`data` must be a result of `keras_pss.data.prepare` or `load`, or of "
        f"`movielens.load`. Received: {type(data).__name__}"
    )


def open_click_log(path: Path) -> ClickLog:
    """Opens a prepared folder or a ratings file.

    Raises:
        ValueError: If `path` is neither.
    """
    if path.is_dir():
        return as_click_log(load(path))
    if is_ratings(path) and path.is_file():
        return LikesLog(movielens.load(path))
    raise ValueError(
        "Data must be a folder written by `keras-pss prepare`, or MovieLens "
        f"ratings (.dat or .csv, may be compressed). Received: {path}"
    )


def name_of(path: Path) -> str:
    """Name of a log in reports: its source files, not the prepared folder.

    Args:
        path: A prepared folder or a ratings file.
    """
    if not path.is_dir():
        return path.name
    sources = load(path).sources
    names = [source["name"] for source in sources] or [path.name]
    return f"{names[0]} to {names[-1]}" if names[1:] else names[0]


def _fingerprint(path: Path) -> list[Any]:
    """Path, size and modification time of a file."""
    found = path.resolve().stat()
    return [str(path.resolve()), found.st_size, found.st_mtime_ns]


def _differences(folder: Path, settings: dict[str, Any]) -> list[str]:
    """Settings of a prepared folder that differ from those of a recipe."""
    if "schema" in settings:
        wanted = Schema.from_dict(settings["schema"])
        return [
            f"{folder} was prepared with {difference}"
            for difference in schema_differences(load(folder).schema, wanted)
        ]
    schema = load(folder).schema
    if not preset.is_criteo(schema):
        return []
    found = preset.options_of(schema)
    return [
        f"{folder} was prepared with {name}={found[name]}, the recipe has "
        f"{value}"
        for name, value in settings.items()
        if found[name] != value
    ]
