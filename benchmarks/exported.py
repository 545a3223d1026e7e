"""Milliseconds of a lookup in SavedModels that several versions wrote.

    python benchmarks/exported.py write FOLDER [--methods tt robe ...]
        [--tables float int8 int4] [--merge-cores]
    python benchmarks/exported.py time FOLDER [FOLDER ...] [--ids uniform|zipf]

`write` exports a model of one table for each method, those of methods.py.
`time` loads the models of several folders, which other versions of the package
or other options have written, and measures them in turns, so that their ratios
hold on a busy machine. It needs TensorFlow alone, as a server does. Prints the
operations of the graph and the milliseconds of a batch of 53,248 ids (2,048
examples of 26 columns) and of one example, and writes JSON lines.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import methods
import timing

SIZES = {"batch": methods.EXAMPLES, "one": 1}


def main() -> None:
    arguments = _arguments()
    if arguments.command == "write":
        write(arguments)
    else:
        measure(arguments)


def write(arguments: argparse.Namespace) -> None:
    """Exports one SavedModel for each method and kind of table."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    from keras_pss.serving import export_saved_model

    options = {"merge_cores": True} if arguments.merge_cores else {}
    for method in arguments.methods:
        for tables in arguments.tables:
            layer, _ = methods.layer_of(method, tables)
            inputs = keras.Input((methods.COLUMNS,), dtype="int32", name="ids")
            export_saved_model(
                keras.Model(inputs, layer(inputs)),
                arguments.folders[0] / f"{method}-{tables}",
                overwrite=True,
                **options,
            )
            print(f"{method}-{tables}", flush=True)
            keras.backend.clear_session()


def measure(arguments: argparse.Namespace) -> None:
    """Prints one line for each model: its operations and milliseconds."""
    import tensorflow as tf

    ids = methods.ids_of(arguments.ids)
    x = {name: tf.constant(ids[:rows]) for name, rows in SIZES.items()}
    first, *_ = arguments.folders
    for path in sorted(first.iterdir()):
        method = path.name.split("-")[0]
        if method not in arguments.methods:
            continue
        ways, operations, held = {}, {}, []
        for folder in arguments.folders:
            if not (folder / path.name).is_dir():
                continue
            model = tf.saved_model.load(str(folder / path.name))
            held.append(model)
            serve = model.signatures["serve"]
            operations[folder.name] = operations_of(serve)
            for size, batch in x.items():
                ways[f"{folder.name} {size}"] = lambda f=serve, b=batch: f(
                    ids=b
                )
        times = timing.in_turns(
            ways, arguments.rounds, most_seconds=arguments.seconds
        )
        line = {
            "model": path.name,
            "ids": arguments.ids,
            "operations": operations,
            "ms": times,
            "tensorflow": tf.__version__,
        }
        cells = [f"{n:4}" for n in operations.values()]
        cells += [f"{ms:9.3f}" for ms in times.values()]
        print(f"{path.name:22}", *cells, flush=True)
        if arguments.out:
            with arguments.out.open("a") as file:
                print(json.dumps(line), file=file)


def operations_of(function: Any) -> int:
    """Operations that a call of a signature may run.

    Constants and the plumbing of calls are no work.
    """
    graph = function.graph.as_graph_def()
    idle = {
        "Const", "Placeholder", "NoOp", "Identity", "IdentityN",
        "StatefulPartitionedCall", "PartitionedCall", "ReadVariableOp",
    }  # fmt: skip
    library = {f.signature.name: f.node_def for f in graph.library.function}
    total, left = 0, [graph.node]
    while left:
        for node in left.pop():
            total += node.op not in idle
            for value in node.attr.values():
                name = value.func.name
                if name in library:
                    left.append(library[name])
    return total


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=("write", "time"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument(
        "--methods", nargs="+", default=methods.METHODS,
        choices=methods.METHODS,
    )  # fmt: skip
    parser.add_argument(
        "--tables", nargs="+", default=["float", "int8"],
        choices=methods.TABLES,
    )  # fmt: skip
    parser.add_argument("--merge-cores", action="store_true")
    parser.add_argument("--ids", choices=("uniform", "zipf"), default="zipf")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--out", type=Path, help="file results are appended to")
    found = parser.parse_args()
    if found.command == "write" and len(found.folders) != 1:
        sys.exit("`write` takes one folder.")
    return found


if __name__ == "__main__":
    main()
