"""A recipe: everything that decides what a trained model is, in one small TOML file."""

import tomllib
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path

from ..models.resnet import CONSTRUCTORS

RECIPES = files(__package__) / "recipes"


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
    epochs: int = 10
    frozen_epochs: int = 0
    """For this long, only what had no pretrained weights learns (stages are frozen whole)."""
    sizes: list[list[int]] = field(default_factory=lambda: [[0, 128, 192]])
    """[first epoch, least, greatest]: each batch's height and width in px are drawn from these, in
    steps of 16 px. Photos of many sizes and shapes are what the finished model will see."""
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
    teacher: float = 0.0
    """Weight of what a network with ImageNet's 1000 classes says of the same crop, beside the
    labels' weight of 1. It is learnt through outputs of its own that the finished model lacks; 0
    is no teacher."""
    class_balance: float = 0.5
    """A photo is drawn with weight (photos of its class) ** -class_balance."""
    ema: float = 0.998
    """Share of the averaged weights that stays at each step. The average is the finished model."""
    seed: int = 0
    val_every: int = 1
    """Top-1 on the validation photos after so many epochs each, and at the end; 0 for never."""
    view_size: int = 0
    """Short side in px at which the finished model wants its photos; 0 for the greatest side that
    it was trained on last."""
    temperature: float = 1.0
    """The finished model's logits are divided by this, so that its probabilities mean what they
    say. Found on validation photos; no accuracy depends on it."""

    def __post_init__(self):
        for f in fields(self):
            value = getattr(self, f.name)
            if f.type is float and type(value) is int:
                object.__setattr__(self, f.name, float(value))
            elif f.name != "sizes" and type(value) is not f.type:
                raise ValueError(f"{f.name} must be a {f.type.__name__}, not {value!r}")
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:  # this way round, NaN is refused too
                raise ValueError(f"{name} must be {low} to {high}, not {getattr(self, name)}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}"
                )
        if not _are_sizes(self.sizes):
            raise ValueError(
                "sizes must be triples [first epoch, least side, greatest side], from epoch 0 in "
                "rising order, 32 to 2048 px, e.g. [[0, 112, 112], [7, 96, 160]], not "
                f"{self.sizes!r}"
            )
        if self.teacher and (self.mixup or self.cutmix):
            raise ValueError("a teacher's word holds for one photo; set mixup and cutmix to 0")
        if self.view_size and not 32 <= self.view_size <= 2048:
            raise ValueError(f"view_size must be 32 to 2048, or 0, not {self.view_size}")

    def sides(self, epoch: int) -> tuple[int, int]:
        """Least and greatest side of a batch in px, in an epoch counted from 0."""
        return [(least, greatest) for first, least, greatest in self.sizes if first <= epoch][-1]


#: Lowest and highest value of each number.
_RANGES = {
    "epochs": (1, 10_000),
    "frozen_epochs": (0, 10_000),
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
    "class_balance": (0, 1),
    "ema": (0, 0.999999),
    "seed": (0, 2**31),
    "val_every": (0, 10_000),
    "temperature": (0.01, 100),
}
_CHOICES = {"model": tuple(CONSTRUCTORS), "optimizer": ("adamw", "sgd")}


def _are_sizes(sizes: object) -> bool:
    def triple(t: object) -> bool:
        return isinstance(t, list) and len(t) == 3 and all(type(v) is int for v in t)

    if not (isinstance(sizes, list) and sizes and all(triple(t) for t in sizes)):
        return False
    epochs = [first for first, _, _ in sizes]
    rising = epochs[0] == 0 and epochs == sorted(set(epochs))
    return rising and all(32 <= least <= greatest <= 2048 for _, least, greatest in sizes)


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
    known = [f.name for f in fields(Recipe)]
    try:
        values = tomllib.loads(path.read_text("utf-8"))
        if unknown := set(values) - set(known):
            raise ValueError(f"unknown {', '.join(sorted(unknown))}; known are {', '.join(known)}")
        return Recipe(**values)
    except ValueError as error:
        raise ValueError(f"recipe {name!r}: {error}") from error
