"""A recipe: everything that decides what a trained model is, in one small TOML file."""

import tomllib
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True)
class Recipe:
    """How a model is made. Every field can stand in a recipe file; these are the defaults."""

    model: str = "resnet18_cbam"
    """A constructor of `cbam_viz.models`."""
    init: str = "torchvision"
    """"torchvision" (its ImageNet weights), "scratch", or an .npz of a folded trunk."""
    epochs: int = 10
    frozen_epochs: int = 0
    """For this long, only what had no pretrained weights learns (stages are frozen whole)."""
    sizes: list[list[int]] = field(default_factory=lambda: [[0, 160]])
    """Side of the training crop in px: pairs [first epoch, side]."""
    batch_size: int = 64
    lr: float = 1e-3
    """Peak learning rate of AdamW, for weights that start from nothing."""
    pretrained_lr: float = 2e-4
    channel_gate_lr: float = 3e-4
    """The perceptrons see large values: with more than this the gates of a fresh stage saturate."""
    spatial_gate_lr: float = 1e-2
    """A neutral map learns slowly: with a tenth of this most maps stay at one half."""
    weight_decay: float = 0.05
    """Spared on norms and biases."""
    warmup_epochs: float = 0.5
    label_smoothing: float = 0.1
    crop_scale: float = 0.35
    """Smallest share of the photo's area that a training crop keeps."""
    trivial_augment: bool = True
    erasing: float = 0.1
    class_balance: float = 0.5
    """A photo is drawn with weight (photos of its class) ** -class_balance."""
    ema: float = 0.998
    seed: int = 0


def recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = files(__package__) / "recipes"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.suffix == ".toml")


def load_recipe(name: str) -> Recipe:
    """A recipe by its name, or from a .toml file.

    Raises:
        ValueError: there is no such recipe, or it holds a field that there is not.
    """
    path = Path(name) if name.endswith(".toml") else files(__package__) / "recipes" / f"{name}.toml"
    if not path.is_file():
        raise ValueError(f"no recipe {name!r}; there are: {', '.join(recipes())}, or a .toml file")
    values = tomllib.loads(path.read_text("utf-8"))
    unknown = set(values) - {f.name for f in fields(Recipe)}
    if unknown:
        raise ValueError(f"recipe {name!r} has unknown fields: {', '.join(sorted(unknown))}")
    return Recipe(**values)
