"""Scores labelled rows with a finished run."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from keras_pss.data.movielens.likes_files import likes_dataset
from keras_pss.data.pipelines.file_batches import file_dataset
from keras_pss.data.pipelines.folder_log import FolderLog
from keras_pss.data.pipelines.log_dataset import dataset
from keras_pss.data.readers.source import checksum
from keras_pss.data.readers.tfds.names import SPLIT_COLUMN
from keras_pss.data.readers.tfds.split_source import TFDSSplit, log_sources
from keras_pss.data.storage.log_encoding import same_ids
from keras_pss.data.storage.open_folder import load
from keras_pss.data.storage.prepared_folder import PreparedFolder
from keras_pss.metrics.click_metrics import Metrics
from keras_pss.training.finished.finished_run import (
    has_likes,
    load_encoder,
    load_model,
)
from keras_pss.training.run import ENCODER_FILE, REPORT_FILE, RUN_FILE
from keras_pss.training.scorer import EVALUATION_BATCH, scored

logger = logging.getLogger(__name__)


def evaluate(
    run: Path | str,
    data: Path | str | Sequence[Path | str],
    batch_size: int = EVALUATION_BATCH,
    split: str | None = None,
) -> Metrics:
    """Scores labelled rows with a run's model and encoder.

    Rows that the run was trained on are scored with a warning: the model has
    seen them, so the result says nothing about new ones.

    Memory: with a group in the schema, about 70 bytes per row; the metrics
    then include the AUC within groups.

    Args:
        run: Folder of a finished run.
        data: Files of a log like the run's, plain or compressed; or a folder
            that `prepare` wrote, with the ids of the run.
        batch_size: Number of rows per batch. Default: 2048.
        split: The split of a folder to score. Default: `"test"`.

    Raises:
        ValueError: The run is not finished, there are no rows, the folder has
            other ids, a file is of another form, or a user or movie of
            MovieLens' ratings is new, for which the model has no embedding.
    """
    run = Path(run)
    paths = [Path(data)] if isinstance(data, str | Path) else list(data)
    folders = [path for path in map(Path, paths) if path.is_dir()]
    if folders and len(paths) > 1:
        raise ValueError(
            "`data` must be one folder or files. Received: "
            f"{len(folders)} folders of {len(paths)} paths"
        )
    if split is not None and not folders:
        raise ValueError(
            "`split` needs a folder that `prepare` wrote as `data`. Leave it "
            f"out, or give the folder. Received: split={split!r}"
        )
    model = load_model(run)
    if folders:
        rows = _of_folder(run, folders[0], split, batch_size)
    else:
        rows = _of_files(run, paths, batch_size)
        _warn_of_files(run, paths)
    found = scored(model, rows, batch_size)
    if found is None:
        raise ValueError(
            f"No rows to score. Received: {', '.join(map(str, paths))}"
        )
    return found


def _of_files(
    run: Path, paths: Sequence[Path | str], batch_size: int
) -> tf.data.Dataset:
    """Labelled batches, encoded as the run's training rows, with groups."""
    if has_likes(run / ENCODER_FILE):
        return likes_dataset(paths, run / ENCODER_FILE, batch_size)
    encoding = load_encoder(run)
    return file_dataset(
        paths,
        encoding,
        batch_size=batch_size,
        groups=encoding.schema.group is not None,
    )


def _of_folder(
    run: Path, path: Path, split: str | None, batch_size: int
) -> tf.data.Dataset:
    """Labelled batches of a split of a folder, in order, with groups."""
    encoding, folder = load_encoder(run), load(path)
    if folder.schema.label is None:
        raise ValueError(
            "`data` must have a label. Add it to the schema and prepare the "
            f"data again. Received: {path}, without a label"
        )
    if not same_ids(encoding, folder):
        raise ValueError(
            "`data` must have the ids of the run, which belong to its "
            "training rows. Give the files themselves in place of the folder, "
            f"or the folder that the run was trained on. Received: {path}, "
            "prepared with other ids"
        )
    split = split or "test"
    rows = dataset(folder, split, batch_size=batch_size, shuffle=False)
    _warn_of_split(run, folder, split)
    if folder.schema.group is None:
        return rows
    groups = tf.data.Dataset.from_tensor_slices(folder.groups(split))
    pairs = tf.data.Dataset.zip(rows, groups.batch(batch_size))
    return pairs.map(lambda pair, group: (*pair, group))


def _warn_of_files(run: Path, paths: Sequence[Path | str]) -> None:
    """Warns of files that the run has seen; old runs did not record them."""
    known = _sources(run)
    for source in log_sources(paths) if known else ():
        if isinstance(source, TFDSSplit):
            name = known.get(source.checksum())
            if _tests(run, source):
                continue
        else:
            name = known.get(checksum(source.path))
        if name is not None:
            _warn(run, f"{source.path} is the file {name} that")


def _tests(run: Path, source: TFDSSplit) -> bool:
    """Whether a run on the dataset has left a split for testing."""
    split = load_encoder(run).schema.split
    tested = (split.values or {}).get("test", ())
    return split.column == SPLIT_COLUMN and source.part in tested


def _warn_of_split(run: Path, folder: PreparedFolder, split: str) -> None:
    """Warns of rows of a folder that the run has seen."""
    trained = json.loads((run / RUN_FILE).read_text())["data"]
    if FolderLog(folder).fingerprint() == trained:
        if split == "train":
            _warn(run, f"The {split} rows of {folder.directory} are those that")
        return
    known = _sources(run)
    for source in folder.sources:
        if (name := known.get(source["sha256"])) is not None:
            _warn(run, f"{folder.directory} has rows of the file {name} that")


def _sources(run: Path) -> dict[str, str]:
    """Names of the files that a run was trained on, by their SHA-256."""
    report = json.loads((run / REPORT_FILE).read_text())
    return {x["sha256"]: x["name"] for x in report.get("sources", [])}


def _warn(run: Path, what: str) -> None:
    logger.warning(
        "%s the run was trained on: its metrics do not hold for new rows. "
        "Score other rows; metrics of the run's test rows are in %s.",
        what,
        run / REPORT_FILE,
    )
