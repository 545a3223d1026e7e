"""Bytes and milliseconds of gloo's collectives, beside the scaling model.

    python benchmarks/collectives.py [--numbers 4000000] [--out results.jsonl]

Local processes exchange float32 numbers by PyTorch's `torch.distributed` over
the loopback interface, whose counters (`/proc/net/dev`, Linux) say what was
sent. Nothing else should use it meanwhile. Prints bytes a worker, the formula
of `keras_pss.planning.workers.collectives`, and the best time.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import timing
import torch
import torch.distributed as dist
from torch import multiprocessing

PAUSE = 0.3  # seconds, until the counters have all


def main() -> None:
    # Here, since each process imports what stands at the top.
    from keras_pss.planning.workers import collectives
    from keras_pss.training.environment import machine

    arguments = _arguments()
    port = 29_500
    for workers in arguments.workers:
        for numbers in (1_024, arguments.numbers):
            for name, formula in (
                ("all-reduce", collectives.AllReduce(workers, numbers)),
                (
                    "all-to-all",
                    collectives.AllToAll(numbers / workers, [1] * workers, 1),
                ),
                # An id without a row is one number.
                ("all-gather", collectives.AllGather(workers, numbers, 0)),
            ):
                port += 1
                line = {
                    "collective": name,
                    "workers": workers,
                    "numbers": numbers,
                    "formula": formula.mean,
                    "torch": torch.__version__,
                    "machine": machine(),
                    "commit": timing.commit(),
                }
                multiprocessing.spawn(
                    _measure, (line, port, arguments), nprocs=workers
                )


def _measure(rank: int, line: dict[str, Any], port: int, given: Any) -> None:
    """One process: exchanges; the first one counts and prints a line."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    os.environ["MASTER_PORT"] = str(port)
    workers = line["workers"]
    dist.init_process_group("gloo", rank=rank, world_size=workers)
    own, same = torch.ones(line["numbers"]), torch.empty(line["numbers"])
    everyones = list(torch.empty(workers, line["numbers"]))
    exchange = {
        "all-reduce": lambda: dist.all_reduce(own),
        "all-to-all": lambda: dist.all_to_all_single(same, own),
        "all-gather": lambda: dist.all_gather(everyones, own),
    }[line["collective"]]
    exchange()
    dist.barrier()
    time.sleep(PAUSE)
    before, times = _sent(), []
    for _ in range(given.rounds):
        start = time.perf_counter()
        exchange()
        times.append(time.perf_counter() - start)
    time.sleep(PAUSE)
    if rank == 0:
        line["sent"] = (_sent() - before) / given.rounds / workers
        line["ms"] = 1e3 * min(times)
        print(json.dumps(line))
        if given.out:
            with given.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
    dist.barrier()
    time.sleep(PAUSE)
    dist.destroy_process_group()


def _sent() -> int:
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "lo":
            return int(counters.split()[8])
    raise RuntimeError("There is no loopback interface, `lo`.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--numbers", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--out", type=Path, help="file that results are appended to"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
