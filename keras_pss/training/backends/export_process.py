"""A process that exports a saved model by TensorFlow.

    python -m keras_pss.training.backends.export_process TASK

TASK is an `Export` as JSON. The answer is a JSON line: the warnings, and the
error if the model cannot be exported.
"""

import json
import logging
import os
import sys

from keras_pss.training.backends.exporting import Export, export_here


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def main() -> None:
    # Only the answer goes to stdout; what libraries print there does not.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    kept = _Kept()
    logging.getLogger("keras_pss").addHandler(kept)
    error = None
    try:
        export_here(Export(**json.loads(sys.argv[1])))
    except ValueError as raised:
        error = str(raised)
    json.dump({"warnings": kept.messages, "error": error}, answers)
    answers.close()


if __name__ == "__main__":
    main()
