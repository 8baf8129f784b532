"""The catalogue of models, and opening a model from wherever its weights are.

A checkpoint is a folder with a ``config.json`` (the arguments of `ResNetCBAM`, the classes, the
preprocessing, the figures) and a ``model.safetensors``: the shape in which
`huggingface_hub.PyTorchModelHubMixin` reads and writes.
"""

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from zipfile import BadZipFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import ResNet18_Weights

from .layouts import WeightsError, recognise, why_untrained
from .resnet import ResNetCBAM

_PACKAGE = Path(__file__).parents[1]
# Installed, the weights lie inside the package; in a clone they lie beside it.
_WEIGHTS = _PACKAGE / "weights" if (_PACKAGE / "weights").is_dir() else _PACKAGE.parent / "weights"

DEFAULT = "resnet18-cbam-everyday117"
TORCH_SUFFIXES = (".pth", ".pt", ".pth.tar")


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
    """

    name: str
    model: ResNetCBAM
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    sha256: str | None = None
    untrained: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


def list_checkpoints() -> list[str]:
    """Names of the models that come with the package, the default first."""
    names = sorted(f.parent.name for f in _WEIGHTS.glob("*/config.json"))
    return sorted(names, key=lambda name: name != DEFAULT)


def load_model(source: str | Path | None = None) -> ResNetCBAM:
    """A trained model in eval mode; `load_checkpoint` gives its classes too.

    Args:
        source: a catalogue name, a folder, a weights file; the bundled default if None.

    Raises:
        WeightsError: says what was found, what was expected and what to do.
    """
    return load_checkpoint(source).model


def load_checkpoint(source: str | Path | None = None) -> Checkpoint:
    """A model with its classes and preprocessing.

    Args:
        source: a catalogue name, a folder with ``config.json`` and ``model.safetensors``, or a
            ``.safetensors``, ``.pth``, ``.pt`` or ``.pth.tar`` file of any family that
            `cbam_viz.models.layouts` knows; the bundled default if None.

    Raises:
        WeightsError: says what was found, what was expected and what to do. Pickled code is
            never run, and nothing half-loaded is ever given back.
    """
    if source is None:
        source = DEFAULT
    path = Path(source)
    if str(source) in list_checkpoints():
        path = _WEIGHTS / source
    elif not path.exists():
        raise WeightsError(
            f"no model {str(source)!r}: neither a file or folder nor in the catalogue, which has: "
            f"{', '.join(list_checkpoints())}"
        )
    if path.is_dir():
        return _from_folder(path)
    state, digest = read_weights(path)
    return _build(path.name, state, digest, {})


def read_weights(path: Path) -> tuple[Mapping, str]:
    """What lies in a weights file, unconverted, and the file's SHA-256. Runs no pickled code.

    Raises:
        WeightsError: missing, empty, truncated, a Git-LFS pointer, not a weights file, or a
            pickle that holds more than weights.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; expected are the weights of a model")
    name = path.name.lower()
    with path.open("rb") as f:
        head = f.read(64)
        if head.startswith(b"version https://git-lfs"):
            raise WeightsError(
                f"{path} is a Git-LFS pointer, not the weights themselves; fetch them with "
                "`git lfs pull`"
            )
        if not head:
            raise WeightsError(f"{path} is empty; fetch it again")
        f.seek(0)
        digest = hashlib.file_digest(f, "sha256").hexdigest()
    try:
        if name.endswith(".safetensors"):
            return load_file(path), digest
        if name.endswith(TORCH_SUFFIXES):
            return torch.load(path, map_location="cpu", weights_only=True), digest
    except SafetensorError as error:
        raise WeightsError(
            f"{path} is truncated or no safetensors file ({error}); fetch it again"
        ) from error
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is no plain weights file: it is damaged, or holds pickled objects beside its "
            "weights, which could run any code and are not opened. Save "
            "`model.state_dict()` alone, best as safetensors"
        ) from error
    except (RuntimeError, OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path} is truncated or no PyTorch file ({str(error).splitlines()[0][:120]}); "
            "fetch it again"
        ) from error
    raise WeightsError(
        f"{path} is no weights file by its name; expected is .safetensors, "
        f"{', '.join(TORCH_SUFFIXES)}, or a folder with config.json and model.safetensors"
    )


def _from_folder(folder: Path) -> Checkpoint:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(
            f"{folder} has no config.json; expected is a folder with config.json and "
            "model.safetensors, or give the weights file itself"
        ) from error
    except ValueError as error:
        raise WeightsError(f"{path} is not valid JSON ({error})") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path} holds no object but {type(config).__name__}")
    state, digest = read_weights(folder / "model.safetensors")
    return _build(folder.resolve().name, state, digest, config)


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
    classes = _classes(name, config, arguments["num_classes"])
    known = {f.name for f in fields(Preprocessing)}
    pre = {k: tuple(v) if isinstance(v, list) else v for k, v in config.get("input", {}).items()}
    if unknown := set(pre) - known:
        raise WeightsError(
            f"config.json of {name} has unknown input settings: {', '.join(sorted(unknown))}; "
            f"known are {', '.join(sorted(known))}"
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
    )


def assemble(arguments: dict, state: Mapping[str, Tensor]) -> ResNetCBAM:
    """A model in eval mode around tensors that are there already, as float32."""
    with torch.device("meta"):  # no time is spent on initial values that are thrown away
        model = ResNetCBAM(**arguments)
    model.load_state_dict(state, strict=True, assign=True)
    return model.float().eval().requires_grad_(False)


def _classes(name: str, config: dict, outputs: int) -> tuple[str, ...]:
    classes = config.get("classes")
    if classes is None and outputs == 1000:
        classes = ResNet18_Weights.DEFAULT.meta["categories"]
    if classes is None:
        classes = [f"class {i}" for i in range(outputs)]
    if len(classes) != outputs:
        raise WeightsError(
            f"config.json of {name} names {len(classes)} classes, but the model has {outputs} "
            "outputs; expected is one name for each output, in their order"
        )
    return tuple(classes)


def save_checkpoint(checkpoint: Checkpoint, folder: Path, half: bool = True) -> None:
    """Write ``config.json`` and ``model.safetensors``, in half precision unless told otherwise."""
    model = checkpoint.model
    config = dict(model._hub_mixin_config) | {
        "classes": list(checkpoint.classes),
        "input": asdict(checkpoint.preprocessing),
        "gates_trained": checkpoint.untrained is None,
        "figures": dict(checkpoint.figures),
    }
    folder.mkdir(parents=True, exist_ok=True)
    if half:
        model = assemble(
            dict(model._hub_mixin_config), {k: v.clone() for k, v in model.state_dict().items()}
        ).half()
    model.save_pretrained(folder, config=config)
