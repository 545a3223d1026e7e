"""What an export says of itself: its inputs, and what it was checked on."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_pss.serving.check_rows import id_limits
from keras_pss.serving.formats.portable import NUMBERS, NumberRules
from keras_pss.serving.signature_names import signature_names

if TYPE_CHECKING:
    from keras_pss.data.storage.log_encoding import LogEncoding

CARD, README = "model_card.json", "README.md"
FILES = (CARD, README)
_PACKAGES = (
    "keras-pss",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "ai-edge-litert",
    "onnxruntime",
    "openvino",
)
_CATEGORICAL, _DENSE, _WEIGHTS = "categorical", "dense", "_weights"


def write(
    folder: Path,
    model: keras.Model,
    format: str,
    encoding: "LogEncoding | None",
    output_name: str,
    checked: tuple[int, float],
    raw: keras.Model | None,
) -> None:
    """Writes `model_card.json` and `README.md` of an export.

    Args:
        folder: Folder of the export.
        model: The exported model.
        format: Name of the format.
        encoding: The log of the model, or None.
        output_name: Name of the output.
        checked: Number of rows of the check, and the largest difference.
        raw: The model of raw columns that the export holds, or None.
    """
    saved = format == "tf_saved_model"
    rules = None
    if encoding is not None and encoding.schema.dense:
        rules = NumberRules.of(encoding)
    card: dict[str, Any] = {
        "format": format,
        "model": model.name,
        "inputs": _inputs(model, encoding, rules, saved),
        "output": {
            "name": output_name,
            "dtype": "float32",
            "shape": ["batch"],
        },
        "checked": {
            "rows": checked[0],
            "largest_difference_from_keras": checked[1],
        },
        "versions": runtimes(),
    }
    if raw is not None and saved:
        card["raw_columns"] = [
            {
                "name": x.name,
                "dtype": x.dtype,
                "shape": ["batch", *x.shape[1:]],
            }
            for x in raw.inputs
        ]
    if rules is not None:
        card["numbers"] = _numbers(rules)
        card["numbers_are_transformed_in_the_graph"] = not saved
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", "utf-8")
    (folder / README).write_text(_readme(card, saved), "utf-8")


def runtimes() -> dict[str, str]:
    """Versions of what converts and runs exports, by package."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _inputs(
    model: keras.Model,
    encoding: "LogEncoding | None",
    rules: NumberRules | None,
    saved: bool,
) -> list[dict[str, Any]]:
    limits = id_limits(model)
    names = signature_names([x.name for x in model.inputs])
    found = []
    for x in model.inputs:
        entry: dict[str, Any] = {
            "name": names[x.name],
            "dtype": x.dtype,
            "shape": ["batch", *x.shape[1:]],
        }
        if x.name == _CATEGORICAL and x.name in limits:
            entry["columns"] = _columns(encoding, limits[x.name])
        elif x.name in limits:
            entry["ids"] = limits[x.name][0]
            entry["padding"] = -1
        elif x.name == _DENSE and rules is not None:
            if not saved:
                entry |= {"name": NUMBERS, "dtype": "float32"}
            entry["columns"] = [{"name": name} for name in rules.names]
            entry["holds"] = "transformed numbers" if saved else "raw numbers"
        elif x.name.removesuffix(_WEIGHTS) in limits:
            ids = names[x.name.removesuffix(_WEIGHTS)]
            entry["holds"] = f"weights of the ids in `{ids}`"
        found.append(entry)
    return found


def _columns(
    encoding: "LogEncoding | None", sizes: list[int]
) -> list[dict[str, Any]]:
    """What each column of `categorical` holds."""
    if encoding is None or len(encoding.schema.single) != len(sizes):
        return [{"ids": size} for size in sizes]
    found = []
    for feature, size in zip(encoding.schema.single, sizes, strict=True):
        entry: dict[str, Any] = {"name": feature.name, "ids": size}
        if hasattr(feature, "num_buckets"):  # a number in buckets
            entry["borders"] = encoding.statistics[feature.name]["borders"]
            entry["rule"] = (
                "1 + the number of borders that are not above the number; 0 "
                "if it is missing"
            )
        elif feature.ids == "hash":
            entry["rule"] = f"{encoding.hash_family} of the text, modulo ids"
        else:
            entry["rule"] = "place in the vocabulary; 0 if unknown or missing"
        found.append(entry)
    return found


def _numbers(rules: NumberRules) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "if_missing": float(rules.fill[k]),
            "minimum": float(rules.low[k]),
            "maximum": float(rules.high[k]),
            "transform": "log1p" if rules.logarithmic[k] else "none",
            "mean": float(rules.mean[k]),
            "deviation": float(rules.deviation[k]) or 1.0,
        }
        for k, name in enumerate(rules.names)
    ]


def _readme(card: dict[str, Any], saved: bool) -> str:
    lines = [
        f"# {card['model']} ({card['format']})",
        "",
        "| input | dtype | shape | holds |",
        "|---|---|---|---|",
    ]
    for entry in card["inputs"]:
        shape = ", ".join(map(str, entry["shape"]))
        held = entry.get("holds", "ids" if "int" in entry["dtype"] else "")
        if "padding" in entry:
            held = f"ids below {entry['ids']:,}, padded with -1"
        row = f"| `{entry['name']}` | {entry['dtype']} | ({shape}) | {held} |"
        lines.append(row)
    output = card["output"]["name"]
    lines += ["", f"Output: `{output}`, float32 (batch,).", ""]
    if saved:
        lines += [
            "These are the inputs of the signature `serving_default`. "
            "`serve_raw`, where there is one, takes raw columns, and "
            "`serve_examples` serialized `tf.train.Example`.",
            "",
        ]
    for entry in card["inputs"]:
        if "columns" not in entry or "int" not in entry["dtype"]:
            continue
        lines += [
            f"## Columns of `{entry['name']}`",
            "",
            "| column | feature | ids | id of a value |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {k} | {c.get('name', '')} | {c['ids']:,} "
            f"| {c.get('rule', '')} |"
            for k, c in enumerate(entry["columns"])
        ]
        lines.append("")
    if "numbers" in card:
        lines += _numbers_text(card["numbers"], saved)
    checked = card["checked"]
    lines.append(
        f"Checked on {checked['rows']} rows in the runtime of the format: "
        "largest difference from Keras "
        f"{checked['largest_difference_from_keras']:.1e}."
    )
    return "\n".join(lines) + "\n"


def _numbers_text(numbers: list[dict[str, Any]], saved: bool) -> list[str]:
    where = (
        "`dense` takes **transformed** numbers; raw ones give wrong "
        "probabilities without an error. Send raw numbers to `serve_raw`, or "
        "transform them:"
        if saved
        else "`numbers` takes **raw** numbers, NaN where one is missing. The "
        "graph transforms them:"
    )
    lines = [
        "## Numbers",
        "",
        where,
        "",
        "    x = if_missing, or min(max(number, minimum), maximum)",
        "    y = (log(1 + x) or x, - mean) / deviation",
        "",
        "| column | number | if missing | min | max | log | mean | deviation |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for k, each in enumerate(numbers):
        log = "yes" if each["transform"] == "log1p" else "no"
        cells = (
            k,
            each["name"],
            *(f"{each[n]:.6g}" for n in ("if_missing", "minimum", "maximum")),
            log,
            *(f"{each[n]:.6g}" for n in ("mean", "deviation")),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return [*lines, ""]
