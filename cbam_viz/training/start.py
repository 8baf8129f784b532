"""Where training starts: pretrained weights, under gates that change nothing yet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import ResNet, get_model

from ..models.checkpoints import load_checkpoint
from ..models.resnet import CONSTRUCTORS, ResNetCBAM, plain_weights
from .recipe import Recipe

#: What `ResNetCBAM` takes that a constructor's name leaves open.
GATE_OPTIONS = (
    "reduction",
    "kernel_size",
    "mlp_bias",
    "spatial_norm",
    "replace_stride_with_dilation",
)


def build(recipe: Recipe, classes: int, **options) -> ResNet:
    """The recipe's network in its initial state: a `ResNetCBAM`, or torchvision's if it is plain.

    Args:
        recipe: names the constructor.
        classes: outputs of the network.
        options: further arguments of `ResNetCBAM`, of `GATE_OPTIONS`.
    """
    if recipe.plain:
        return get_model(recipe.model.removesuffix("_cbam"), num_classes=classes)
    return CONSTRUCTORS[recipe.model](num_classes=classes, **options)


def start(
    recipe: Recipe, classes: Sequence[str], photos: Callable[[], Tensor]
) -> tuple[ResNet, set[str]]:
    """The model as the recipe starts it, and its top-level modules that are pretrained.

    Args:
        recipe: says from what.
        classes: names, in the model's order.
        photos: gives some dozens of photos as model input [N, 3, H, W]; asked only for a trunk
            whose norms have to be measured.

    Raises:
        ValueError: the pretrained weights are of another network than the recipe's model.
        OSError: they are not there and cannot be downloaded.
    """
    if recipe.init == "scratch":
        return build(recipe, len(classes)), set()
    if recipe.init.endswith(".npz"):
        model = build(recipe, len(classes))
        return model, load_folded_trunk(model, Path(recipe.init), photos())
    if recipe.init == "torchvision":
        model = build(recipe, len(classes))
        plain = plain_weights(recipe.model.removesuffix("_cbam"))
        trunk = {k: v for k, v in plain.items() if not k.startswith("fc.")}
        load_plain(model, trunk)
        return model, {k.split(".")[0] for k in trunk}
    return _from_checkpoint(recipe, classes)


def _from_checkpoint(recipe: Recipe, classes: Sequence[str]) -> tuple[ResNet, set[str]]:
    checkpoint = load_checkpoint(recipe.init)
    theirs = checkpoint.model._hub_mixin_config
    gated = replace(recipe, plain=False)
    model = build(gated, len(classes), **{k: theirs[k] for k in GATE_OPTIONS})
    ours = model._hub_mixin_config
    for key in ("block", "layers", "groups", "width_per_group"):
        if ours[key] != theirs[key]:
            raise ValueError(
                f"{recipe.init} has {key} = {theirs[key]}, but {recipe.model} has {ours[key]}; "
                "name the constructor that fits as `model`, or give another `init`"
            )
    state = checkpoint.model.state_dict()
    if recipe.plain:
        model, state = build(recipe, len(classes)), checkpoint.model.plain_state()
        if state is None:
            raise ValueError(
                f"a plain network cannot start from {recipe.init}, whose gates are not neutral; "
                "give the model of a plain run"
            )
    if checkpoint.classes != tuple(classes):  # another classifier: its rows mean other things
        state = {k: v for k, v in state.items() if not k.startswith("fc.")}
    elif recipe.frozen_epochs:
        raise ValueError(
            f"{recipe.init} knows these classes already, so with frozen_epochs = "
            f"{recipe.frozen_epochs} nothing would learn; set it to 0"
        )
    model.load_state_dict(model.state_dict() | state)
    return model, {k.split(".")[0] for k in state}


def load_plain(model: ResNet, state: Mapping[str, Tensor]) -> None:
    """Give a model a plain ResNet's weights; it then computes exactly what the plain one does.

    Args:
        model: plain, or with gates, which are made neutral.
        state: under torchvision's names; what is missing (the classifier, say) stays as it is.
    """
    if isinstance(model, ResNetCBAM):
        model.load_plain(state)
    else:
        model.load_state_dict(model.state_dict() | dict(state))


@torch.no_grad()
def load_folded_trunk(model: ResNet, path: Path, photos: Tensor) -> set[str]:
    """Give a model convolutions whose batch norms were folded into them.

    Each kernel is loaded as it is. The photos are then passed through once, and each norm is set
    to the mean and variance it meets, with the scale and shift that undo them: the network
    computes what the folded one does, and its norms are ready to be trained.

    Args:
        model: in its initial state, plain or with gates.
        path: .npz of float32 ``<conv>.weight`` and ``<conv>.bias`` under torchvision's names.
        photos: normalised model input [N, 3, H, W], at least some dozens.

    Returns:
        The names of the top-level modules that were filled ("conv1", "layer1", ...).

    Raises:
        ValueError: if the file names a convolution that the model does not have.
    """
    arrays = np.load(path)
    modules = dict(model.named_modules())
    biases, handles = {}, []
    for key in arrays:
        name, kind = key.rsplit(".", 1)
        if not isinstance(modules.get(name), nn.Conv2d):
            raise ValueError(f"{path}: {name!r} is no convolution of this model")
        value = torch.from_numpy(arrays[key])
        if kind == "weight":
            modules[name].weight.copy_(value)
        else:
            head, _, _ = name.rpartition(".")
            norm = f"{head}.1" if head.endswith("downsample") else name.replace("conv", "bn")
            biases[modules[norm]] = value

    def calibrate(norm: nn.BatchNorm2d, args: tuple[Tensor]) -> None:
        variance, mean = torch.var_mean(args[0], (0, 2, 3), correction=0)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(biases[norm] + mean)

    # The gates must be neutral while the norms are measured, as they will be when training
    # starts; the factor 4 that makes up for them goes on each last norm after it was measured.
    gated = set()
    if isinstance(model, ResNetCBAM):
        gated = {b.last_norm for b in model.blocks().values()}
        model.neutralise_gates()

    def calibrate_gated(norm: nn.BatchNorm2d, args: tuple[Tensor]) -> None:
        calibrate(norm, args)
        norm.weight *= 4
        norm.bias *= 4

    for norm in biases:
        hook = calibrate_gated if norm in gated else calibrate
        handles.append(norm.register_forward_pre_hook(hook))
    model.eval()
    try:
        model(photos)
    finally:
        for handle in handles:
            handle.remove()
    return {key.split(".")[0] for key in arrays} | {"bn1"}
