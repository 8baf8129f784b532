"""What is judged: photos, the class of each, and where the objects in them are."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torchvision import datasets

#: So many of a long list are named in an error.
NAMED = 10


@dataclass(frozen=True)
class Sample:
    """A photo to judge with.

    Attributes:
        path: of the file.
        key: what annotations and reports call it: its path below the folder of photos.
        label: index of its class in the model; None where only the place of its object is known.
    """

    path: Path
    key: str
    label: int | None


def samples_by_folder(data: Path, classes: Sequence[str]) -> list[Sample]:
    """The photos of a folder of class folders, matched to the model's classes by name.

    Args:
        data: holds ``<class>/<photo>``, or ``val/<class>/<photo>``.
        classes: the model's.

    Raises:
        ValueError: no photos, or classes that the model does not have (or has twice).
        OSError: there is no such folder.
    """
    data = judged_folder(data)
    try:
        folder = datasets.ImageFolder(str(data), allow_empty=True)
    except FileNotFoundError as error:  # torchvision's word for a folder without folders
        raise ValueError(
            f"{data} has no class folders, so its photos have no labels; expected is "
            "<class>/<photo>, or a file of labels (--labels)"
        ) from error
    if not folder.samples:
        raise ValueError(f"{data} has class folders, but no photos in them")
    times = Counter(classes)
    if strange := [name for name in folder.classes if times[name] != 1]:
        raise ValueError(
            f"{len(strange)} of the {len(folder.classes)} class folders in {data} do not stand "
            f"for exactly one of the model's {len(classes)} classes: {_some(strange)}. Folders "
            f"must carry the names of the classes, as in: {', '.join(classes[:5])}. For photos of "
            "other classes give the labels of photos that have the model's (--labels), and these "
            "as photos of objects (--objects)"
        )
    index = {name: i for i, name in enumerate(classes)}
    paths = ((Path(file), folder.classes[target]) for file, target in folder.samples)
    return [Sample(p, p.relative_to(data).as_posix(), index[name]) for p, name in paths]


def samples_by_file(data: Path, labels: Path, classes: int) -> list[Sample]:
    """The photos that a file of labels names. Other photos of the folder are not judged.

    Args:
        data: the folder that the photos are in.
        labels: JSON object, from a photo's path below the folder to the index of its class.
        classes: how many the model has.

    Raises:
        ValueError: the file is no such JSON, an index is none of the model's, or a photo is not
            there. Says which.
        OSError: there is no such folder or file.
    """
    _check_folder(data)
    indices = _read_object(labels, "the index of a class for each photo")
    for key, index in indices.items():
        if type(index) is not int or not 0 <= index < classes:
            raise ValueError(
                f"{labels}, {key!r}: {index!r} is no class of this model; expected is a whole "
                f"number from 0 to {classes - 1}"
            )
    samples = [Sample(data / key, key, index) for key, index in indices.items()]
    if missing := [s.key for s in samples if not s.path.is_file()]:
        raise ValueError(
            f"{len(missing)} of the {len(samples)} photos that {labels} labels are not in {data}: "
            f"{_some(missing)}"
        )
    return samples


def samples_with_objects(data: Path, outlines: dict[str, list[np.ndarray]]) -> list[Sample]:
    """The annotated photos of a folder, whatever their classes.

    Raises:
        OSError: there is no such folder.
    """
    data = judged_folder(data)
    return [Sample(data / key, key, None) for key in outlines if (data / key).is_file()]


def judged_folder(data: Path) -> Path:
    """The folder itself, or its ``val`` if that holds class folders.

    Raises:
        OSError: there is no such folder.
    """
    _check_folder(data)
    val = data / "val"
    return val if val.is_dir() and any(f.is_dir() for f in val.iterdir()) else data


def _check_folder(data: Path) -> None:
    if not data.is_dir():
        raise FileNotFoundError(f"{data} is no folder; expected is a folder of photos")


def read_annotations(path: Path) -> dict[str, list[np.ndarray]]:
    """Outlines of objects by key: polygons, float64 [points, (x, y)] in fractions of the photo.

    Raises:
        ValueError: the file is no such JSON; names the first entry that is wrong.
        OSError: there is no such file.
    """
    entries = _read_object(path, "an entry for each annotated photo")
    return {key: _polygons(entry, f"{path}, {key!r}") for key, entry in entries.items()}


def _read_object(path: Path, of: str) -> dict:
    try:
        entries = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error})") from error
    if not isinstance(entries, dict) or not entries:
        raise ValueError(f"{path} must hold a JSON object with {of}")
    return entries


def _polygons(entry: dict, where: str) -> list[np.ndarray]:
    try:
        if entry.get("contour"):
            polygons = [np.array(entry["contour"], np.float64)]
        else:
            corners = [(0, 1), (2, 1), (2, 3), (0, 3)]
            polygons = [
                np.array([(box[i], box[j]) for i, j in corners], np.float64)
                for box in entry["boxes"]
            ]
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        polygons = []
    good = (
        p.ndim == 2 and p.shape[1] == 2 and len(p) > 2 and np.isfinite(p).all() for p in polygons
    )
    if not polygons or not all(good):
        raise ValueError(
            f"{where}: expected is a contour [[x, y], ...] of three points or more, or boxes "
            "[[x0, y0, x1, y1], ...], as fractions of the photo's width and height"
        )
    return polygons


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
