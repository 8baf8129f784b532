"""Opening a model, whatever its weights lie in, with its classes and its preprocessing.

A checkpoint is a folder with a ``config.json`` (the arguments of `ResNetCBAM`, the classes, the
preprocessing, the figures) and a ``model.safetensors``: the shape in which
`huggingface_hub.PyTorchModelHubMixin` reads and writes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from torch import Tensor
from torchvision.models import ResNet18_Weights

from .bounds import check_network
from .class_names import read_classes
from .errors import WeightsError
from .key_names import PLANES
from .neighbours import CONFIG, about, check_input
from .preprocessing import Preprocessing
from .reading import read_weights
from .recognition import recognise
from .resnet import ResNetCBAM, skeleton
from .settings import settings_of
from .sources import DEFAULT, catalogue, is_alone, locate, weights_file
from .untrained import why_untrained

#: What can make probabilities of a network's outputs.
ACTIVATIONS = ("softmax", "sigmoid")
IMAGENET_CLASSES = 1000


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
        activation: "softmax" (one of the classes is right) or "sigmoid" (each is for itself).
        notes: what was assumed of the weights, and what was not understood; a sentence each.
        unsure_below: the probability of the likeliest class below which it was wrong more often
            than right on validation photos, in 0..1; None if nobody found out.
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
    activation: str = "softmax"
    notes: tuple[str, ...] = ()
    unsure_below: float | None = None


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
    source: str | Path | None = None,
    classes: str | Path | None = None,
    planes: str | None = None,
    activation: str | None = None,
) -> Checkpoint:
    """A model with its classes and preprocessing.

    Args:
        source: a catalogue name; a file of weights of any family that `cbam_viz.models.key_names`
            knows, told by its content; a folder with such a file and perhaps what describes it; a
            Hub id ``user/repo[@revision]``; the default if None.
        classes: a file of class names, as `class_names.read_classes` takes it. If not given, the
            names are those of the files beside the weights (see `cbam_viz.models.neighbours`), or
            of the weights' own file, or ImageNet's for 1000 outputs, else "class 17".
        planes: "max-mean" or "mean-max", what the spatial attention sees, where neither names nor
            ``config.json`` tell.
        activation: "softmax" or "sigmoid", what makes probabilities of the outputs, likewise. If
            nothing tells, one output is a sigmoid's, and several are a softmax's.

    Raises:
        WeightsError: says what was found, what was expected and what to do. Pickled code is
            never run, and nothing half-loaded is ever given back.
        ValueError: there is no such order of the planes, or no such activation.
    """
    if activation not in (None, *ACTIVATIONS):
        raise ValueError(f"activation must be {' or '.join(ACTIVATIONS)}, not {activation!r}")
    found = locate(source or DEFAULT)
    single = not found.path.is_dir()
    folder = found.path.parent if single else found.path
    path = found.path if single else weights_file(folder)
    beside = dict(found.about)
    if not beside and (not single or is_alone(path)):
        beside = about(folder, Path(classes) if classes else None)
    weights, digest = read_weights(path)
    chosen = {"planes": planes, "activation": activation}
    chosen = {key: value for key, value in chosen.items() if value}
    if classes:
        chosen |= {"classes": read_classes(Path(classes)), "classes_zh": None}
    said = settings_of(weights)
    beside = said | beside | {"notes": [*beside.get("notes", ()), *said.get("notes", ())]}
    if isinstance(beside.get("input"), dict):
        beside["input"] = said.get("input", {}) | beside["input"]
    try:
        return _build(found.name, weights, digest, beside | chosen)
    except WeightsError as error:
        # What lies beside a single file may be another model's; in a folder they belong together.
        if not single or not (folder / CONFIG).is_file() or not beside or found.about:
            raise
        notes = [f"{CONFIG} beside it is not used: {error}.", *said.get("notes", ())]
        return _build(found.name, weights, digest, said | {"notes": notes} | chosen)


def _build(name: str, weights: Mapping, digest: str, config: dict) -> Checkpoint:
    """A checkpoint from weights of any family and what a config.json says of them."""
    planes, activation = config.get("planes"), config.get("activation")
    for key, value, known in (
        ("planes", planes, tuple(PLANES)),
        ("activation", activation, ACTIVATIONS),
    ):
        if value not in (None, *known):
            raise WeightsError(
                f"config.json of {name} says {key} = {value!r}; expected is {' or '.join(known)}"
            )
    found = recognise(weights, planes)
    check_network(found.state_dict)
    notes = [*config.get("notes", ()), *found.notes]
    for key, value in found.config.items():
        if config.get(key, value) != value:
            raise WeightsError(
                f"config.json of {name} says {key} = {config[key]!r}, but its weights are of a "
                f"network with {value!r}; one of the two files belongs to another model"
            )
    model = found.skeleton
    # The one argument that leaves no trace in the weights' shapes.
    if dilation := config.get("replace_stride_with_dilation"):
        model = skeleton(**found.config, replace_stride_with_dilation=dilation)
    model = assemble(model, found.state_dict)
    outputs = found.config["num_classes"]
    if (named := config.get("outputs", outputs)) != outputs:
        notes.append(
            f"{CONFIG} speaks of {named} classes, and its weights have {outputs} outputs: it may "
            "be another model's."
        )
    classes = _one_each(name, config.get("classes"), outputs) or _usual_classes(outputs)
    open_at = config.get("open_at")
    if open_at is not None and open_at not in (names := model.blocks()):
        raise WeightsError(
            f"config.json of {name} has open_at = {open_at!r}; its blocks are: {', '.join(names)}"
        )
    unsure_below = config.get("unsure_below")
    if unsure_below is not None and not (
        isinstance(unsure_below, int | float) and 0 <= unsure_below <= 1
    ):
        raise WeightsError(
            f"config.json of {name} has unsure_below = {unsure_below!r}; expected is a "
            "probability, 0 to 1"
        )
    try:
        preprocessing = Preprocessing(**check_input(config.get("input", {})))
    except WeightsError as error:
        raise WeightsError(f"config.json of {name}: {error}") from error
    if not activation:
        activation, assumed = _activation(outputs, found.beside)
        # Our own writes it since it can be chosen; what it wrote before is a softmax's.
        if assumed and "block" not in config:
            notes.append(assumed)
    untrained = why_untrained(model)
    if not config.get("gates_trained", True):
        untrained = "its config.json says that its gates were not trained"
    return Checkpoint(
        name,
        model,
        classes,
        preprocessing,
        digest,
        untrained,
        config.get("figures", {}),
        _one_each(name, config.get("classes_zh"), outputs),
        open_at,
        activation,
        tuple(notes),
        unsure_below,
    )


def _activation(outputs: int, beside: tuple[str, ...]) -> tuple[str, str | None]:
    """What makes probabilities of the outputs where nothing says so, and what to say of it."""
    if outputs == 1:
        return "sigmoid", (
            "It has one output: a sigmoid's is assumed, the probability of the one class."
        )
    if any(key.endswith("pos_weight") for key in beside):
        return "sigmoid", (
            "Its criterion weighs positives (pos_weight): a sigmoid is assumed for each output, "
            "and the probabilities do not add up to one. Else choose --activation softmax."
        )
    if outputs == IMAGENET_CLASSES:
        return "softmax", None
    return "softmax", (
        f"Of its {outputs} outputs a softmax is assumed: one class is right. If several can be "
        "(multi-label), choose --activation sigmoid."
    )


def assemble(model: ResNetCBAM, state: Mapping[str, Tensor]) -> ResNetCBAM:
    """A model in eval mode around tensors that are there already, as float32.

    Args:
        model: a `skeleton`, which is filled.
        state: its weights.
    """
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
    if outputs == IMAGENET_CLASSES:
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
        "activation": checkpoint.activation,
    }
    if checkpoint.classes_zh:
        config["classes_zh"] = list(checkpoint.classes_zh)
    if checkpoint.open_at:
        config["open_at"] = checkpoint.open_at
    if checkpoint.unsure_below is not None:
        config["unsure_below"] = checkpoint.unsure_below
    folder.mkdir(parents=True, exist_ok=True)
    if half:
        copies = {k: v.clone() for k, v in model.state_dict().items()}
        model = assemble(skeleton(**model._hub_mixin_config), copies).half()
    model.save_pretrained(folder, config=config)
