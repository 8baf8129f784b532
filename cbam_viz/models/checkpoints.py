"""Opening a model, whatever its weights lie in, with its classes and its preprocessing.

A checkpoint is a folder with a ``config.json`` (the arguments of `ResNetCBAM`, the classes, the
preprocessing, the figures) and a ``model.safetensors``: the shape in which
`huggingface_hub.PyTorchModelHubMixin` reads and writes.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import ResNet18_Weights

from .layouts import WeightsError, recognise, why_untrained
from .reading import read_weights
from .resnet import ResNetCBAM
from .sources import DEFAULT, catalogue, locate, weights_file


@dataclass(frozen=True)
class Preprocessing:
    """How a model wants its photos: the same numbers it was trained and judged with.

    Attributes:
        size: short side of the whole photo in px, and side of the evaluation crop.
        crop_resize: short side in px that the photo has before the evaluation crop is cut.
        mean, std: per channel (red, green, blue), for values in 0..1.
    """

    size: int = 224
    crop_resize: int = 256
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model and all that belongs to it.

    Attributes:
        name: as in the catalogue, or the file's.
        model: in eval mode, float32.
        classes: a label for each output.
        preprocessing: how it wants its photos.
        sha256: of the weights file.
        untrained: why what the gates show means nothing; None for trained gates.
        figures: what was measured of it, by name; empty if nothing is known.
        classes_zh: the same labels in Chinese; None if there are none.
        open_at: name of the block to look at first; None if it does not matter.
    """

    name: str
    model: ResNetCBAM
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    sha256: str | None = None
    untrained: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    classes_zh: tuple[str, ...] | None = None
    open_at: str | None = None


def list_checkpoints() -> list[str]:
    """Names of the models that can be opened by their name, the default first."""
    return [entry.name for entry in catalogue()]


def load_model(source: str | Path | None = None) -> ResNetCBAM:
    """A trained model in eval mode; `load_checkpoint` gives its classes too.

    Args:
        source: as for `load_checkpoint`.

    Raises:
        WeightsError: says what was found, what was expected and what to do.
    """
    return load_checkpoint(source).model


def load_checkpoint(
    source: str | Path | None = None, classes: str | Path | None = None
) -> Checkpoint:
    """A model with its classes and preprocessing.

    Args:
        source: a catalogue name; a ``.safetensors``, ``.pth``, ``.pt`` or ``.pth.tar`` file of any
            family that `cbam_viz.models.layouts` knows; a folder with such a file and perhaps a
            ``config.json``; a Hub id ``user/repo[@revision]``; the default if None.
        classes: a text file with one class name a line. If not given, the names are those of
            ``config.json`` ("classes", or "id2label"), those of a ``classes.txt`` beside the
            weights, ImageNet's for 1000 outputs, else "class 17".

    Raises:
        WeightsError: says what was found, what was expected and what to do. Pickled code is
            never run, and nothing half-loaded is ever given back.
    """
    found = locate(source or DEFAULT)
    folder = found.path if found.path.is_dir() else found.path.parent
    about = found.about or _read_config(folder if found.path.is_dir() else None)
    path = weights_file(folder) if found.path.is_dir() else found.path
    # A classes.txt beside a single file is its own; a config.json there may be another model's.
    names = Path(classes) if classes else folder / "classes.txt"
    if classes or ("classes" not in about and names.is_file()):
        about = about | {"classes": _read_classes(names), "classes_zh": None}
    weights, digest = read_weights(path)
    return _build(found.name, weights, digest, about)


def _read_config(folder: Path | None) -> dict:
    """What a folder's ``config.json`` says; nothing for a folder that has none."""
    path = folder and folder / "config.json"
    if not path or not path.exists():
        return {}
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path} is not valid JSON ({error})") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path} holds no object but {type(config).__name__}")
    if "classes" not in config and isinstance(labels := config.get("id2label"), dict):
        try:
            config["classes"] = [labels[k] for k in sorted(labels, key=int)]
        except ValueError as error:
            raise WeightsError(f"{path}: the keys of id2label are no numbers ({error})") from error
    return config


def _read_classes(path: Path) -> list[str]:
    """Class names, one a line; empty lines at the end are left out."""
    try:
        return path.read_text("utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"the class names in {path} cannot be read: {error}") from error


def _build(name: str, weights: Mapping, digest: str, config: dict) -> Checkpoint:
    """A checkpoint from weights of any family and what a config.json says of them."""
    found = recognise(weights)
    for key, value in found.config.items():
        if config.get(key, value) != value:
            raise WeightsError(
                f"config.json of {name} says {key} = {config[key]!r}, but its weights are of a "
                f"network with {value!r}; one of the two files belongs to another model"
            )
    arguments = dict(found.config)
    # The one argument that leaves no trace in the weights' shapes.
    if "replace_stride_with_dilation" in config:
        arguments["replace_stride_with_dilation"] = config["replace_stride_with_dilation"]
    model = assemble(arguments, found.state_dict)
    outputs = arguments["num_classes"]
    classes = _one_each(name, config.get("classes"), outputs) or _usual_classes(outputs)
    known = {f.name for f in fields(Preprocessing)}
    pre = {k: tuple(v) if isinstance(v, list) else v for k, v in config.get("input", {}).items()}
    if unknown := set(pre) - known:
        raise WeightsError(
            f"config.json of {name} has unknown input settings: {', '.join(sorted(unknown))}; "
            f"known are {', '.join(sorted(known))}"
        )
    open_at = config.get("open_at")
    if open_at is not None and open_at not in (names := model.blocks()):
        raise WeightsError(
            f"config.json of {name} has open_at = {open_at!r}; its blocks are: {', '.join(names)}"
        )
    untrained = why_untrained(model)
    if not config.get("gates_trained", True):
        untrained = "its config.json says that its gates were not trained"
    return Checkpoint(
        name,
        model,
        classes,
        Preprocessing(**pre),
        digest,
        untrained,
        config.get("figures", {}),
        _one_each(name, config.get("classes_zh"), outputs),
        open_at,
    )


def assemble(arguments: dict, state: Mapping[str, Tensor]) -> ResNetCBAM:
    """A model in eval mode around tensors that are there already, as float32."""
    with torch.device("meta"):  # no time is spent on initial values that are thrown away
        model = ResNetCBAM(**arguments)
    model.load_state_dict(state, strict=True, assign=True)
    return model.float().eval().requires_grad_(False)


def _one_each(name: str, labels: list | None, outputs: int) -> tuple[str, ...] | None:
    """A label for each output, or None if none are given."""
    if labels is None:
        return None
    if len(labels) != outputs:
        raise WeightsError(
            f"{len(labels)} class names are given for {name}, but the model has {outputs} "
            "outputs; expected is one name for each output, in their order"
        )
    return tuple(map(str, labels))


def _usual_classes(outputs: int) -> tuple[str, ...]:
    if outputs == 1000:
        return tuple(ResNet18_Weights.DEFAULT.meta["categories"])
    return tuple(f"class {i}" for i in range(outputs))


def save_checkpoint(checkpoint: Checkpoint, folder: Path, half: bool = True) -> None:
    """Write ``config.json`` and ``model.safetensors``, in half precision unless told otherwise."""
    model = checkpoint.model
    config = dict(model._hub_mixin_config) | {
        "classes": list(checkpoint.classes),
        "input": asdict(checkpoint.preprocessing),
        "gates_trained": checkpoint.untrained is None,
        "figures": dict(checkpoint.figures),
    }
    if checkpoint.classes_zh:
        config["classes_zh"] = list(checkpoint.classes_zh)
    if checkpoint.open_at:
        config["open_at"] = checkpoint.open_at
    folder.mkdir(parents=True, exist_ok=True)
    if half:
        model = assemble(
            dict(model._hub_mixin_config), {k: v.clone() for k, v in model.state_dict().items()}
        ).half()
    model.save_pretrained(folder, config=config)
