"""A recipe: everything that decides what a trained model is, in one small TOML file."""

import tomllib
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path

import torch

from ..models.resnet import CONSTRUCTORS

RECIPES = files(__package__) / "recipes"
#: The four stages of residual blocks.
STAGES = ("layer1", "layer2", "layer3", "layer4")
#: Top-level modules with weights.
MODULES = ("conv1", "bn1", *STAGES, "fc")

#: What a phase can let learn, besides the network's top-level modules by their names.
PARTS = ("all", "fresh", "gates", "norms")


@dataclass(frozen=True)
class Phase:
    """Some epochs in which the same parts learn, at the same rates, from photos of the same sizes.

    Raises:
        ValueError: a field is of the wrong type or out of its range.
    """

    epochs: int = 1
    learns: tuple[str, ...] = ("all",)
    """What learns; all else stands still, and its batch norms do not measure. Top-level modules by
    name ("layer4", "fc"), "gates" and "norms" (the scales and shifts of the trunk's batch norms)
    wherever they are, "fresh" (the top-level modules that had no pretrained weights), or "all"."""
    rate: float = 1.0
    """All learning rates are multiplied with this."""
    warmup_epochs: float = 0.0
    """Linear warm-up of the phase: what stood still before has no moments yet and would leap."""
    sides: tuple[int, int] = (128, 192)
    """Least and greatest: each batch's height and width in px are drawn from these, in steps of
    16 px. Photos of many sizes and shapes are what the finished model will see."""

    def __post_init__(self):
        for name in ("rate", "warmup_epochs"):
            if type(value := getattr(self, name)) is int:
                object.__setattr__(self, name, float(value))
        for name in ("learns", "sides"):  # TOML has lists
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        if type(self.epochs) is not int or not 1 <= self.epochs <= 10_000:
            raise ValueError(f"epochs of a phase must be 1 to 10000, not {self.epochs!r}")
        if type(self.rate) is not float or not 0 < self.rate <= 100:
            raise ValueError(f"rate of a phase must be above 0, at most 100, not {self.rate!r}")
        if type(self.warmup_epochs) is not float or not 0 <= self.warmup_epochs <= self.epochs:
            raise ValueError(
                f"warmup_epochs of a phase must be 0 to its {self.epochs} epochs, not "
                f"{self.warmup_epochs!r}"
            )
        known = (*PARTS, *MODULES)
        words = self.learns
        if not isinstance(words, tuple) or not words or any(w not in known for w in words):
            raise ValueError(
                f"learns of a phase must be a list of some of {', '.join(known)}, not {words!r}"
            )
        sides = self.sides
        if not (
            isinstance(sides, tuple)
            and len(sides) == 2
            and all(type(v) is int for v in sides)
            and 32 <= sides[0] <= sides[1] <= 2048
        ):
            raise ValueError(
                "sides of a phase must be [least side, greatest side], 32 to 2048 px, e.g. "
                f"[128, 192], not {sides!r}"
            )


@dataclass(frozen=True)
class Recipe:
    """How a model is made. Every field can stand in a recipe file; these are the defaults.

    Raises:
        ValueError: a field is of the wrong type or out of its range.
    """

    model: str = "resnet18_cbam"
    """A constructor of `cbam_viz.models`."""
    plain: bool = False
    """Leave the attention out: torchvision's plain ResNet, to see what the attention earns."""
    init: str = "torchvision"
    """"torchvision" (its ImageNet weights), "scratch", an .npz of a folded trunk, or anything that
    `load_checkpoint` opens."""
    stride_in_conv1: bool = False
    """Of an .npz as `init`: its downsampling bottlenecks have their stride in the first convolution
    (1x1), not as torchvision's in the second (3x3), which is then fitted to it."""
    classes: str = "folders"
    """"folders": the class folders' names. "imagenet": ImageNet's 1000, known from the start and
    held by the teachers alone; photos need no labels."""
    phases: tuple[Phase, ...] = (Phase(epochs=10),)
    """What learns when: tables [[phases]], one after the other."""
    fixed_statistics: bool = False
    """Batch norms keep the statistics that they start with; their scales and shifts can learn."""
    batch_size: int = 64
    """Photos in a step, all processes together."""
    optimizer: str = "adamw"
    """"adamw", or "sgd" with a Nesterov momentum of 0.9."""
    lr: float = 1e-3
    """Peak learning rate, for weights that start from nothing."""
    pretrained_lr: float = 2e-4
    channel_gate_lr: float = 3e-4
    """The perceptrons see large values: with more than this the gates of a fresh stage saturate."""
    spatial_gate_lr: float = 1e-2
    """A neutral map learns slowly: with a tenth of this most maps stay at one half."""
    weight_decay: float = 0.05
    """Spared on norms and biases."""
    warmup_epochs: float = 0.5
    """Linear warm-up; a cosine to zero follows."""
    label_smoothing: float = 0.1
    crop_scale: float = 0.35
    """Smallest share of the photo's area that a training crop keeps."""
    trivial_augment: bool = True
    erasing: float = 0.1
    """Share of the photos in which a box is blotted out."""
    mixup: float = 0.0
    """Of Beta(mixup, mixup), from which the shares of two blended photos are drawn; 0 is none."""
    cutmix: float = 0.0
    """The same for a box pasted from another photo. With both, each batch gets one of the two."""
    teachers: tuple[str, ...] = ()
    """Networks that know ImageNet's 1000 classes and are asked about each crop: names of
    `cbam_viz.training.teacher.TEACHERS`, or "init", the plain network that `init` names, as its
    makers have it. Of several the mean counts."""
    teacher: float = 1.0
    """Weight of the teachers' soft labels, beside the labels' weight of 1. With classes from
    folders they are learnt through outputs of their own that the finished model lacks."""
    evidence: float = 0.0
    """Weight of showing each of `evidence_blocks`' spatial gates where the teachers' evidence
    lies (attention transfer); 0 is not to show it."""
    evidence_blocks: tuple[str, ...] = ()
    """Blocks by torchvision's paths, e.g. "layer4.0"."""
    class_balance: float = 0.5
    """A photo is drawn with weight (photos of its class) ** -class_balance."""
    ema: float = 0.998
    """Share of the averaged weights that stays at each step. The average is the finished model."""
    kept: tuple[tuple[str, float], ...] = ()
    """Pairs of a top-level module ("layer4") and the share of its weights before the last phase
    that the finished model keeps, in a file a table: in such a blend what the phase forgot comes
    back sooner than what it taught goes (WiSE-FT: Wortsman et al., arXiv 2109.01903)."""
    seed: int = 0
    val_every: int = 1
    """Top-1 on the validation photos after so many epochs each, and at the end; 0 for never."""
    view_size: int = 0
    """Short side in px at which the finished model wants its photos; 0 for the greatest side that
    it was trained on last."""
    open_at: str = ""
    """The block of the finished model to look at first; empty for the last one."""
    temperature: float = 1.0
    """The finished model's logits are divided by this, so that its probabilities mean what they
    say. Found on validation photos; no accuracy depends on it."""

    def __post_init__(self):
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in _LISTS:
                of, words = _LISTS[f.name]
                if not isinstance(value, list | tuple) or not all(isinstance(v, of) for v in value):
                    raise ValueError(f"{f.name} must be a list of {words}, not {value!r}")
                object.__setattr__(self, f.name, tuple(value))
            elif f.type is float and type(value) is int:
                object.__setattr__(self, f.name, float(value))
            elif f.name != "kept" and type(value) is not f.type:
                raise ValueError(f"{f.name} must be a {f.type.__name__}, not {value!r}")
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:  # this way round, NaN is refused too
                raise ValueError(f"{name} must be {low} to {high}, not {getattr(self, name)}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}"
                )
        if not self.phases:
            raise ValueError("phases is empty; at least one table [[phases]] says what learns")
        if self.teachers and (self.mixup or self.cutmix):
            raise ValueError("soft labels hold for one photo; set mixup and cutmix to 0")
        if self.classes == "imagenet" and not (self.teachers and self.teacher):
            raise ValueError(
                'with classes = "imagenet" the teachers hold the outputs; name some as `teachers`'
            )
        self._check_kept()
        if self.evidence:
            self._check_evidence()
        with torch.device("meta"):
            blocks = CONSTRUCTORS[self.model]().blocks()
        named = [*self.evidence_blocks, *filter(None, [self.open_at])]
        if unknown := [b for b in named if b not in blocks]:
            raise ValueError(
                f"{self.model} has no block {', '.join(unknown)}; it has {', '.join(blocks)}"
            )
        if self.view_size and not 32 <= self.view_size <= 2048:
            raise ValueError(f"view_size must be 32 to 2048, or 0, not {self.view_size}")

    def _check_kept(self) -> None:
        kept = dict(self.kept) if isinstance(self.kept, dict | tuple) else {str(self.kept): 0}
        if any(name not in MODULES for name in kept):
            raise ValueError(
                f"kept must be a table of shares for some of {', '.join(MODULES)}, not "
                f"{self.kept!r}"
            )
        for name, share in kept.items():
            if type(share) not in (int, float) or not 0 <= share <= 1:
                raise ValueError(f"kept of {name} must be a share from 0 to 1, not {share!r}")
        object.__setattr__(self, "kept", tuple((k, float(v)) for k, v in kept.items()))

    def _check_evidence(self) -> None:
        if not self.teachers or not self.evidence_blocks or self.plain:
            raise ValueError(
                "evidence is shown to gates by teachers; it needs `teachers`, `evidence_blocks` "
                "and a network that is not plain"
            )
        if self.trivial_augment or self.erasing:
            raise ValueError(
                "evidence lies where the teachers saw it; set trivial_augment to false and "
                "erasing to 0, which move or blot out parts of a photo"
            )

    @property
    def epochs(self) -> int:
        """Of all phases together."""
        return sum(phase.epochs for phase in self.phases)

    def phase(self, epoch: int) -> Phase:
        """The phase of an epoch counted from 0."""
        for phase in self.phases:
            epoch -= phase.epochs
            if epoch < 0:
                return phase
        raise IndexError(f"the recipe has {self.epochs} epochs")


#: Lowest and highest value of each number.
_RANGES = {
    "batch_size": (2, 65_536),
    "lr": (0, 10),
    "pretrained_lr": (0, 10),
    "channel_gate_lr": (0, 10),
    "spatial_gate_lr": (0, 10),
    "weight_decay": (0, 10),
    "warmup_epochs": (0, 10_000),
    "label_smoothing": (0, 0.99),
    "crop_scale": (0.01, 1),
    "erasing": (0, 1),
    "mixup": (0, 100),
    "cutmix": (0, 100),
    "teacher": (0, 100),
    "evidence": (0, 100),
    "class_balance": (0, 1),
    "ema": (0, 0.999999),
    "seed": (0, 2**31),
    "val_every": (0, 10_000),
    "temperature": (0.01, 100),
}
_CHOICES = {
    "model": tuple(CONSTRUCTORS),
    "classes": ("folders", "imagenet"),
    "optimizer": ("adamw", "sgd"),
}
#: Of each field that is a list: what its items are, and what to call them.
_LISTS = {
    "phases": (Phase, "tables"),
    "teachers": (str, "names"),
    "evidence_blocks": (str, "blocks' names"),
}


def imagenet_classes_zh() -> tuple[str, ...]:
    """Chinese names of ImageNet's 1000 classes, in torchvision's order."""
    return tuple((RECIPES / "imagenet_zh.txt").read_text("utf-8").splitlines())


def recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(f.name.removesuffix(".toml") for f in RECIPES.iterdir() if f.suffix == ".toml")


def load_recipe(name: str) -> Recipe:
    """A recipe by its name, or from a .toml file.

    Raises:
        ValueError: there is no such recipe, it is no TOML, it holds a field that there is not, or
            a field is of the wrong type or out of its range.
    """
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if not path.is_file():
        raise ValueError(f"no recipe {name!r}; there are: {', '.join(recipes())}, or a .toml file")
    try:
        values = tomllib.loads(path.read_text("utf-8"))
        if isinstance(tables := values.get("phases"), list):
            values["phases"] = [_filled(Phase, t) if isinstance(t, dict) else t for t in tables]
        return _filled(Recipe, values)
    except ValueError as error:
        raise ValueError(f"recipe {name!r}: {error}") from error


def _filled(of: type, values: dict) -> Recipe | Phase:
    known = [f.name for f in fields(of)]
    if unknown := set(values) - set(known):
        raise ValueError(f"unknown {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    return of(**values)
