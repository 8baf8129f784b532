"""What class a photo has: its folder's name, or what a file of labels beside it says."""

import glob
import json
import os
from collections.abc import Sequence
from pathlib import Path

import fsspec

from ..explain.photo import ADDRESS

#: Folders that hold class folders and are none themselves.
SPLITS = {"train", "val", "valid", "validation", "test"}
#: Beside photos: a JSON object, from their file names to indices of the model's classes.
LABELS_FILE = "labels.json"


def labels_for(source: str, photos: Sequence[str]) -> Sequence[str | int | None]:
    """Of each photo of a source its class: a name, an index of the model's, or None.

    Only folders bring classes. Where photos in one, or below it, have a `LABELS_FILE` beside them,
    these say the classes, and photos that none of them names have none; else the names of folders
    do, where all photos lie in class folders.

    Raises:
        ValueError: a file of labels is not what it should be.
    """
    if ADDRESS.match(source):
        system, path = fsspec.core.url_to_fs(source)
        folder = list(photos) != [source] and not glob.has_magic(path)
        root = system.unstrip_protocol(path).rstrip("/")
    else:
        folder, root = Path(source).is_dir(), os.path.abspath(source)
    if not folder:
        return [None] * len(photos)
    parts = [os.path.split(path) for path in photos]
    beside = {folder: _read(folder) for folder in dict.fromkeys(folder for folder, _ in parts)}
    if all(labels is None for labels in beside.values()):
        return _class_folders(root, photos)
    names: dict[str, set[str]] = {}
    for folder, name in parts:
        names.setdefault(folder, set()).add(name)
    for folder, labels in beside.items():
        if missing := sorted(set(labels or ()) - names[folder]):
            raise ValueError(
                f"{labels_file(folder)} names {len(missing)} photos that are not beside it, "
                f"{missing[0]!r} is one"
            )
    return [(beside[folder] or {}).get(name) for folder, name in parts]


def labels_file(folder: str) -> str:
    """Where the labels of the photos in a folder would be."""
    return f"{folder}/{LABELS_FILE}"


def _read(folder: str) -> dict[str, int] | None:
    """What the file of labels in a folder says; None if there is none."""
    file = labels_file(folder)
    if ADDRESS.match(file):
        system, path = fsspec.core.url_to_fs(file)
        try:
            contents = system.cat_file(path) if system.exists(path) else None
        except Exception as error:  # of as many kinds as there are libraries below fsspec
            raise ValueError(f"{file} cannot be read: {error!r:.300}") from error
    else:
        contents = Path(file).read_bytes() if os.path.isfile(file) else None
    if contents is None:
        return None
    try:
        labels = json.loads(contents)
    except ValueError as error:
        raise ValueError(f"{file} is not valid JSON ({error})") from error
    if not isinstance(labels, dict) or not all(type(i) is int and i >= 0 for i in labels.values()):
        raise ValueError(
            f"{file} must hold an object with the index of a class of the model's for each "
            f'photo\'s file name, {{"photo.jpg": 281, ...}}; a glob of the photos (DIR/*) takes '
            "them without classes"
        )
    return labels


def _class_folders(root: str, photos: Sequence[str]) -> Sequence[str | None]:
    """The class of each photo of a folder, where the folder is a tree of classes."""
    nothing = [None] * len(photos)
    below = [
        path.removeprefix(root).strip("/\\").replace(os.sep, "/").split("/") for path in photos
    ]
    if any(len(parts) < 2 for parts in below):
        return nothing
    if all(parts[0] in SPLITS for parts in below):
        below = [parts[1:] for parts in below]
        if any(len(parts) < 2 for parts in below):
            return nothing
    return [readable(parts[0]) for parts in below]


def readable(name: str) -> str:
    """A name as text that can be written: bytes of it that are no UTF-8 as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
