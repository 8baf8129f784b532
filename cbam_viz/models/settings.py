"""What a file of weights says of its network beside the weights: where training scripts put it."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from .class_names import class_names
from .errors import WeightsError
from .neighbours import take_normalisation
from .preprocessing import Preprocessing

_CLASSES = (
    *("classes", "class_names", "CLASSES", "id2label", "idx_to_class", "class_to_idx"),
    *("idx2label", "label2id", "label_names", "vocab"),
)
_SIZES = ("img_size", "image_size", "input_size", "resolution", "imgsz")
#: Deepest that settings lie within each other.
_DEPTH = 3


def settings_of(weights: object) -> dict:
    """Class names and normalisation that lie in the weights' own file.

    Returns:
        ``classes``, ``input`` and ``notes``, as from `neighbours.about`; whichever are said.
    """
    found: dict = {}
    notes: list[str] = []
    for table in _tables(weights):
        for key in _CLASSES:
            value = table.get(key)
            if "classes" not in found and value and isinstance(value, Mapping | list | tuple):
                try:
                    found["classes"] = class_names(value, f"the weights' {key}")
                except WeightsError as error:  # it may be something else of that name
                    notes.append(f"Not understood in its file: {error}.")
        mean, std = (_plain(table.get(key)) for key in ("mean", "std"))
        if "input" not in found and all(isinstance(v, list) and len(v) == 3 for v in (mean, std)):
            found["input"] = {}
            take_normalisation(found["input"], mean, std, notes)
        for key in _SIZES:
            value = _plain(table.get(key))
            side = value[-1] if isinstance(value, list) and value else value
            if isinstance(side, int) and side not in (0, 1, Preprocessing.size):
                notes.append(
                    f"Its file says {key} = {value}, which is not followed: photos are seen at "
                    f"{Preprocessing.size} px, unless a config.json beside it says "
                    f'{{"input": {{"size": {side}, "crop_resize": {side}}}}}.'
                )
    if notes:
        found["notes"] = list(dict.fromkeys(notes))
    return found


def _tables(weights: object) -> Iterator[Mapping]:
    """The mappings of a file that are no state dicts, the outer ones first."""
    waiting, seen = [(weights, 0)], {id(weights)}
    while waiting:
        value, depth = waiting.pop(0)
        # A Namespace is read as a stand-in that keeps what was in it.
        value = value if isinstance(value, Mapping) else getattr(value, "state", None)
        if not isinstance(value, Mapping) or any(
            isinstance(v, Tensor) and "." in str(key) for key, v in value.items()
        ):
            continue
        yield value
        for key, inner in value.items():
            # Of optimizers nothing is wanted, and they hold the most.
            if depth < _DEPTH and id(inner) not in seen and not str(key).startswith("optim"):
                seen.add(id(inner))
                waiting.append((inner, depth + 1))


def _plain(value: object) -> object:
    """A tensor or tuple of three numbers as a list; None for what is none that says anything."""
    if isinstance(value, Tensor) and value.numel() == 3:
        return [float(v) for v in value.flatten()]
    if isinstance(value, list | tuple):
        numbers = all(isinstance(v, int | float) for v in value)
        return list(value) if numbers and len(value) in (1, 2, 3) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
