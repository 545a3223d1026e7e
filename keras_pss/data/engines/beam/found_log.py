"""What the first pipeline has found in the files of a log."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from keras_pss.data.engines.beam.pipelines import Item
from keras_pss.data.readers.block import Reject
from keras_pss.data.readers.source import Source


@dataclass
class FoundLog:
    """What the first pipeline has found in all files."""

    sources: list[Source]
    rejects: Counter[str] = field(default_factory=Counter)
    first_reject: Reject | None = None

    @property
    def bytes_total(self) -> int:
        return sum(source.size for source in self.sources)

    def fill_in(self, found: Sequence[Item]) -> None:
        """Completes the sources; raises the first error of reading them."""
        files = [item for item in found if item["kind"] == "file"]
        for item in sorted(files, key=lambda item: item["file"]):
            if item["failed"]:
                kind = ValueError if item["of_values"] else OSError
                raise kind(json.loads(item["error"]))
            source = self.sources[item["file"]]
            source.size, source.sha256 = item["bytes"], item["sha256"]
            source.complete = item["complete"]
