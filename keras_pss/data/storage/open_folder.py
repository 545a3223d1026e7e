"""Opens prepared folders and encoders of every version."""

from pathlib import Path

from keras_pss.data.storage import encoder_folder, log_metadata
from keras_pss.data.storage.log_encoding import LogEncoding
from keras_pss.data.storage.prepared_folder import PreparedFolder
from keras_pss.data.storage.shard_checks import AGAIN
from keras_pss.data.storage.version_1 import opening
from keras_pss.files import read_json


def load(folder: str | Path) -> PreparedFolder:
    """Opens a folder that `prepare` wrote, with this version or an older one.

    Args:
        folder: Path of the folder.

    Raises:
        FileNotFoundError: The metadata or a file that it names is missing.
        ValueError: The metadata is invalid or has another version, or a file
            has the wrong size.
    """
    folder = Path(folder)
    path = folder / log_metadata.NAME
    if path.is_file():
        content = read_json(path, AGAIN)
        if content.get("format") == opening.FORMAT:
            return opening.open_folder(folder, content)
    content, schema, layout = log_metadata.read(folder)
    return PreparedFolder(folder, content, schema, layout)


def load_encoder(path: Path) -> LogEncoding:
    """Opens the encoder of a run, of this version or an older one.

    Raises:
        FileNotFoundError: There is none, or a file is missing.
        ValueError: It is damaged or has another version.
    """
    if path.is_file():
        return opening.open_encoder(path)
    return encoder_folder.load(path)
