"""Folders of a model's versions, `NAME/1`, `NAME/2`, as servers read them."""

from pathlib import Path

from keras_pss.messages import shown

MODEL_FILE = "saved_model.pb"


def versions(model: Path | str) -> dict[int, Path]:
    """The complete versions of a model by number, in ascending order.

    As TensorFlow Serving does, it ignores what is no number: an export that
    is still being written has such a name. So has a folder that is a number
    with leading zeros.

    Args:
        model: Folder of the model, with one folder a version.
    """
    model = Path(model)
    found = {
        int(folder.name): folder
        for folder in (model.iterdir() if model.is_dir() else ())
        if _is_number(folder.name) and (folder / MODEL_FILE).is_file()
    }
    return dict(sorted(found.items()))


def next_version(model: Path | str) -> Path:
    """The folder of the version after the latest one, `NAME/1` at first.

    Numbers that are taken by anything, such as an incomplete copy, are not
    used again.

    Args:
        model: Folder of the model, which may not exist yet.

    Raises:
        ValueError: If `model` is itself a version or a SavedModel, or a file.
    """
    model = Path(model)
    if (model / MODEL_FILE).is_file() or _is_number(model.name):
        raise ValueError(
            "`model` must be the folder of a model's versions, such as "
            "served/shop, not one version of it. Give the folder above. "
            f"Received: model={model}"
        )
    if model.exists() and not model.is_dir():
        raise ValueError(
            f"`model` must be a folder, but it is a file. Received: "
            f"model={model}"
        )
    names = [entry.name for entry in model.iterdir()] if model.is_dir() else []
    taken = [int(name) for name in names if _is_number(name)]
    return model / str(max(taken, default=0) + 1)


def find_version(
    model: Path | str, version: int | None = None
) -> tuple[int, Path]:
    """The number and the folder of the version to serve.

    Args:
        model: Folder with versions, or a SavedModel itself, which is version
            1 unless the name of its folder is a number.
        version: Number of the version. Default: None, the latest.

    Raises:
        ValueError: If there is no such SavedModel.
    """
    model = Path(model)
    if (model / MODEL_FILE).is_file():
        name = model.resolve().name
        found = {int(name) if _is_number(name) else 1: model}
    else:
        found = versions(model)
    if not found:
        raise ValueError(
            "`model` must be a SavedModel, or a folder with versions of one, "
            "such as served/shop with served/shop/1. Write one with "
            f"`keras-pss export`. Received: model={model}"
        )
    if version is None:
        version = max(found)
    if version not in found:
        raise ValueError(
            f"`version` must be one of {', '.join(map(str, found))}, which "
            f"are in {model}. Received: version={shown(version)}"
        )
    return version, found[version]


def name_of(model: Path | str) -> str:
    """The name of the model: that of the folder above its versions."""
    folder = Path(model).resolve()
    if (folder / MODEL_FILE).is_file() and (
        _is_number(folder.name) or folder.name == "saved_model"
    ):
        folder = folder.parent
    return folder.name


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and name == str(int(name))
