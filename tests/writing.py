"""Writers of files and folders."""

from keras_pss.files import complete_folder


def is_log(folder):
    return (folder / "marker").is_file()


def folder_writer(path, overwrite=False):
    return complete_folder(path, overwrite, "a log", is_log)


def write(path, text, overwrite=False, meanwhile=None):
    """Writes a folder with a text; calls `meanwhile` before the end."""
    with folder_writer(path, overwrite) as new:
        (new / "marker").write_text(text)
        if meanwhile:
            meanwhile()


def listing(folder):
    return sorted(
        str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()
    )
