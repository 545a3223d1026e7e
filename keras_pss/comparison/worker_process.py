"""A worker process: reads a cell as a JSON line, writes a result as one.

    python -m keras_pss.comparison.worker_process DATA OUT THREADS

It ends when its input ends, even while a cell is training, so a comparison that
is killed leaves no processes behind.
"""

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def main() -> None:
    data, out, threads = sys.argv[1:]
    # Only results go to stdout; what libraries print there goes to the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    cells: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            cells.put(json.loads(line))
        os._exit(0)

    import tensorflow as tf

    if int(threads):
        tf.config.threading.set_intra_op_parallelism_threads(int(threads))
        tf.config.threading.set_inter_op_parallelism_threads(int(threads))
    from keras_pss.comparison.run_cell import run_cell
    from keras_pss.data.locate import open_click_log
    from keras_pss.training.allocator import keep_freed_memory

    keep_freed_memory()
    rows = open_click_log(Path(data))
    threading.Thread(target=read, daemon=True).start()
    while True:
        result = run_cell(rows, cells.get(), Path(out))
        answers.write(json.dumps(result) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
