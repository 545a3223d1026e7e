"""Opens prepared folders of every version."""

from pathlib import Path

from keras_pss.data.storage import log_metadata
from keras_pss.data.storage.prepared_folder import PreparedFolder
from keras_pss.data.storage.shard_checks import AGAIN
from keras_pss.data.storage.version_1 import metadata
from keras_pss.data.storage.version_1.criteo_folder import CriteoFolder
from keras_pss.files import read_json


def load(folder: str | Path) -> PreparedFolder:
    """Opens a folder that `prepare` or `criteo.prepare` wrote.

    Args:
        folder: Path of the folder.

    Raises:
        FileNotFoundError: The metadata or a file that it names is missing.
        ValueError: The metadata is invalid or has another version, or a file
            has the wrong size.
    """
    folder = Path(folder)
    path = folder / log_metadata.NAME
    if path.is_file() and (
        read_json(path, AGAIN).get("format") == metadata.FORMAT
    ):
        return CriteoFolder.open(folder)
    content, schema, layout = log_metadata.read(folder)
    return PreparedFolder(folder, content, schema, layout)
