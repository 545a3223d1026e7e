"""Memory, start and answers of a server, compressed against uncompressed.

    python benchmarks/serving.py [--budget 1000x] [--ids log]

Exports DLRM with random weights twice, with full tables of the size of Criteo
Kaggle (33.8 million rows of 16 numbers, 2.16 GB) and with ROBE, and serves both
by `keras-pss serve` on this machine at once. They take turns. It prints a JSON
line for each model with

    start       seconds from the start of the process to its first answer, with
                the files in the page cache, the median of --starts; and `cold`,
                once, where they must be read from the disk
    memory      of the process after all requests: RSS, PSS (shared pages by
                shares) and its own pages, MB; and of one that serves a model
                without tables

and a line for each model and size of a batch with

    rest        one client that sends a request after the other, as
                {"inputs": ...}: milliseconds, median and 99th percentile
    rest_rows   rows a second for --clients at once
    direct      TensorFlow's own time in a process without HTTP and JSON, which
                is what a server in C++ adds little to: milliseconds, p50, p99
    direct_rows rows a second, one batch after the other

Ids: `log`, as skewed as Zipf's law (s = 1); `uniform`, which caches hold least
of. It needs 6 GB of memory and 2.2 GB of disk (--scale 0.1: a tenth), takes a
few minutes, listens on loopback alone, and stops what it has started.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lookup import KAGGLE

DIM = 16
BODIES = 64  # different requests of each size
MODELS = ("full", "robe", "no tables")


def main() -> None:
    arguments = _arguments()
    if arguments.export:
        _export(arguments)
    elif arguments.direct:
        _direct(arguments)
    else:
        _measure(arguments)


def _measure(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        models = {name: Path(folder) / name for name in MODELS}
        for name, path in models.items():
            export = _python(arguments, "--export", name, "--direct", path)
            export.communicate()
            if export.returncode:
                raise SystemExit(f"the model {name!r} was not exported")
        cold = {name: _cold_start(path) for name, path in models.items()}
        starts: dict[str, list[float]] = {name: [] for name in models}
        servers = {}
        for last in reversed(range(arguments.starts)):
            for name, path in models.items():
                with ExitStack() as ended:
                    started = (ended, stack)[not last]
                    servers[name] = started.enter_context(_server(path))
                starts[name].append(servers[name][2])
        timed = [name for name in models if name != "no tables"]
        direct = {
            name: stack.enter_context(_direct_process(arguments, models[name]))
            for name in timed
        }
        lines = []
        for batch in arguments.batches:
            lines += _answers(arguments, batch, servers, direct)
        for name, (process, _, _) in servers.items():
            line = {
                "model": name,
                "saved_model_mb": _size(models[name]),
                "start_s": round(statistics.median(starts[name]), 2),
                "cold_start_s": round(cold[name], 2),
                **_memory(process.pid),
            }
            print(json.dumps(line), flush=True)
        for line in lines:
            print(json.dumps(line), flush=True)
        print(json.dumps(_environment(arguments)))


def _answers(
    arguments: argparse.Namespace,
    batch: int,
    servers: dict[str, Any],
    direct: dict[str, subprocess.Popen[str]],
) -> list[dict[str, Any]]:
    """The times of all models for one size, which take turns."""
    bodies = [
        json.dumps(
            {"inputs": {k: v.tolist() for k, v in rows.items()}}
        ).encode()
        for rows in _batches(arguments, batch)
    ]
    seconds = arguments.seconds / arguments.rounds
    rest: dict[str, list[float]] = {name: [] for name in direct}
    alone: dict[str, list[float]] = {name: [] for name in direct}
    at_once: dict[str, list[float]] = {name: [] for name in direct}
    for number in range(arguments.rounds + 1):
        for name, process in direct.items():
            port = servers[name][1]
            times = _requests(port, bodies, seconds)
            rate = _at_once(port, bodies, seconds, arguments.clients) * batch
            own = _ask(process, batch, seconds)
            if number:  # the first round warms up
                rest[name] += times
                at_once[name].append(rate)
                alone[name] += own
    return [
        {
            "model": name,
            "batch": batch,
            **_percentiles("rest", rest[name]),
            "rest_rows": round(statistics.median(at_once[name])),
            **_percentiles("direct", alone[name]),
            "direct_rows": round(batch / statistics.mean(alone[name])),
            "requests": len(rest[name]),
        }
        for name in direct
    ]


def _percentiles(name: str, times: list[float]) -> dict[str, float]:
    return {
        f"{name}_p{q}_ms": round(1e3 * float(np.percentile(times, q)), 2)
        for q in (50, 99)
    }


def _requests(port: int, bodies: list[bytes], seconds: float) -> list[float]:
    """Seconds of each request, sent one after the other on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times:
        start = time.perf_counter()
        _post(connection, bodies[len(times) % len(bodies)])
        times.append(time.perf_counter() - start)
    connection.close()
    return times


def _at_once(
    port: int, bodies: list[bytes], seconds: float, clients: int
) -> float:
    """Requests a second of several clients."""
    counts: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: counts.append(len(_requests(port, bodies, seconds)))
        )
        for _ in range(clients)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == clients, "a client failed"
    return sum(counts) / (time.perf_counter() - start)


def _post(connection: http.client.HTTPConnection, body: bytes) -> None:
    connection.request("POST", "/v1/models/m:predict", body)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise SystemExit(f"the server refused a request: {text[:500]!r}")


@contextmanager
def _server(
    model: Path,
) -> Iterator[tuple[subprocess.Popen[str], int, float]]:
    """A server's process, its port, and the seconds until its answer."""
    row = {"categorical": [[0] * len(KAGGLE)], "dense": [[0.0] * 13]}
    if model.name == "no tables":
        del row["categorical"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "keras_pss_cli", "serve", "--name", "m"),
            *("--port", "0", "--model", str(model)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the server did not start")
        port = int(line.split(":")[2].split("/")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        _post(connection, json.dumps({"inputs": row}).encode())
        seconds = time.perf_counter() - start
        connection.close()
        yield process, port, seconds
    finally:
        process.terminate()
        process.wait()


def _cold_start(model: Path) -> float:
    for path in model.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with _server(model) as (_, _, seconds):
        return seconds


def _memory(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kb = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    own = kb["Private_Dirty"] + kb["Private_Clean"]
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(x for x in status.splitlines() if x.startswith("VmHWM"))
    return {
        "rss_mb": kb["Rss"] // 1000,
        "pss_mb": kb["Pss"] // 1000,
        "own_mb": own // 1000,
        "peak_rss_mb": int(peak.split()[1]) // 1000,
    }


def _size(folder: Path) -> float:
    sizes = [x.stat().st_size for x in folder.rglob("*") if x.is_file()]
    return round(sum(sizes) / 1e6, 1)


def _cardinalities(arguments: argparse.Namespace) -> list[int]:
    return [max(3, round(n * arguments.scale)) for n in KAGGLE]


def _batches(
    arguments: argparse.Namespace, batch: int
) -> Iterator[dict[str, np.ndarray]]:
    """The same rows for all models and processes."""
    draw = np.random.default_rng(batch)
    sizes = np.array(_cardinalities(arguments))
    for _ in range(max(4, min(BODIES, 2**16 // batch))):
        uniform = draw.random((batch, len(sizes)))
        ids = uniform * sizes
        if arguments.ids == "log":  # the density of ids is 1 / id
            ids = np.exp(uniform * np.log(sizes + 1)) - 1
        yield {
            "categorical": np.minimum(ids, sizes - 1).astype("int32"),
            "dense": draw.random((batch, 13)).round(3).astype("float32"),
        }


def _python(arguments: argparse.Namespace, *more: Any) -> Any:
    """This script as another process."""
    words = [
        f"--{k}={getattr(arguments, k)}" for k in ("budget", "scale", "ids")
    ]
    return subprocess.Popen(
        [sys.executable, __file__, *words, *map(str, more)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def _direct_process(
    arguments: argparse.Namespace, model: Path
) -> Iterator[subprocess.Popen[str]]:
    process = _python(arguments, "--direct", model)
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait()


def _ask(
    process: subprocess.Popen[str], batch: int, seconds: float
) -> list[float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([batch, seconds]) + "\n")
    process.stdin.flush()
    found: list[float] = json.loads(process.stdout.readline())
    return found


def _direct(arguments: argparse.Namespace) -> None:
    """Answers lines of (batch, seconds) with the seconds of each call."""
    import tensorflow as tf

    loaded = tf.saved_model.load(arguments.direct)
    serve = loaded.signatures["serving_default"]
    for line in sys.stdin:
        batch, seconds = json.loads(line)
        rows = [
            {name: tf.constant(x) for name, x in each.items()}
            for each in _batches(arguments, batch)
        ]
        times: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or not times:
            start = time.perf_counter()
            for value in serve(**rows[len(times) % len(rows)]).values():
                value.numpy()
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


def _export(arguments: argparse.Namespace) -> None:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    import keras_pss
    from keras_pss.serving import export_saved_model

    if arguments.export == "no tables":
        dense = keras.Input((13,), name="dense")
        top = keras.layers.Dense(1, activation="sigmoid", name="top")
        model = keras.Model({"dense": dense}, top(dense))
    else:
        options = {}
        if arguments.export != "full":
            options["budget"] = arguments.budget
        tables = keras_pss.EmbeddingCollection(
            _cardinalities(arguments), DIM, arguments.export, **options
        )
        model = keras_pss.models.DLRM(tables)
    export_saved_model(model, arguments.direct)


def _environment(arguments: argparse.Namespace) -> dict[str, Any]:
    from timing import commit

    from keras_pss.training.environment import machine, versions

    settings = {
        k: v
        for k, v in vars(arguments).items()
        if k not in ("export", "direct")
    }
    return {
        **settings,
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--budget", default="1000x", help="of the ROBE model")
    parser.add_argument("--scale", type=float, default=1.0, help="of the ids")
    parser.add_argument("--ids", choices=("log", "uniform"), default="log")
    parser.add_argument(
        "--batches",
        type=lambda text: [int(x) for x in text.split(",")],
        default=[1, 16, 128, 1024],
    )
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="of each time, all rounds"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--export", help=argparse.SUPPRESS)
    parser.add_argument("--direct", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
