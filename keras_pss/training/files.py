"""Files that are whole or not there."""

import json
from pathlib import Path
from typing import Any

from keras_pss.files import complete_file


def write_text(text: str, path: Path) -> None:
    """Writes a text file in one piece."""
    with complete_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(content: dict[str, Any], path: Path) -> None:
    """Writes a JSON file in one piece."""
    write_text(json.dumps(content, indent=2) + "\n", path)
