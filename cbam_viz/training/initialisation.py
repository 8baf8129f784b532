"""Where training starts: pretrained weights, under gates that change nothing yet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import ResNet, get_model
from torchvision.models.resnet import Bottleneck

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
    "gated",
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


def initial(
    recipe: Recipe, classes: Sequence[str], photos: Callable[[], Tensor]
) -> tuple[ResNet, set[str]]:
    """The model as the recipe starts it, and its top-level modules that are pretrained.

    Args:
        recipe: says from what.
        classes: names, in the model's order.
        photos: gives some dozens of photos as model input [N, 3, H, W]; asked only for a folded
            trunk, whose norms have to be measured.

    Raises:
        ValueError: the pretrained weights are of another network than the recipe's model.
        OSError: they are not there and cannot be downloaded.
    """
    if recipe.init == "scratch":
        return build(recipe, len(classes)), set()
    knows = recipe.classes == "imagenet"  # the pretrained classifier's classes are the model's
    if recipe.init.endswith(".npz"):
        model, arrays, some = build(recipe, len(classes)), read_arrays(Path(recipe.init)), photos()
        if recipe.stride_in_conv1:
            plain = recipe.model.removesuffix("_cbam")
            arrays |= fit_strides(
                folded_network(plain, Path(recipe.init), stride_in_conv1=True),
                folded_network(plain, Path(recipe.init)),
                some,
            )
        if not knows:
            arrays = {k: v for k, v in arrays.items() if not k.startswith("fc.")}
        return model, load_folded(model, arrays, some[:128])
    if recipe.init == "torchvision":
        model = build(recipe, len(classes))
        state = plain_weights(recipe.model.removesuffix("_cbam"))
        if not knows:
            state = {k: v for k, v in state.items() if not k.startswith("fc.")}
        load_plain_state(model, state)
        return model, {k.split(".")[0] for k in state}
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
    named = [*recipe.evidence_blocks, *filter(None, [recipe.open_at])]
    if not recipe.plain and (missing := [b for b in named if b not in model.blocks()]):
        raise ValueError(
            f"the recipe names {', '.join(missing)}, which in {recipe.init} has no gates; it has "
            f"gates in {', '.join(model.blocks())}"
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
    model.load_state_dict(model.state_dict() | state)
    return model, {k.split(".")[0] for k in state}


def load_plain_state(model: ResNet, state: Mapping[str, Tensor]) -> None:
    """Give a model a plain ResNet's weights; it then computes exactly what the plain one does.

    Args:
        model: plain, or with gates, which are made neutral.
        state: under torchvision's names; what is missing (the classifier, say) stays as it is.
    """
    if isinstance(model, ResNetCBAM):
        model.load_plain(state)
    else:
        model.load_state_dict(model.state_dict() | dict(state))


def read_arrays(path: Path) -> dict[str, Tensor]:
    """A folded network's weights and biases by their names.

    Raises:
        OSError: there is no such file.
        ValueError: it is no .npz of numbers.
    """
    try:
        with np.load(path) as file:
            return {key: torch.from_numpy(file[key]) for key in file}
    except (ValueError, TypeError, EOFError, AttributeError, BadZipFile) as error:
        raise ValueError(f"{path} is no .npz of a network's arrays ({error})") from error


def folded_network(plain: str, path: Path, stride_in_conv1: bool = False) -> ResNet:
    """A plain network whose batch norms are folded into its convolutions, to be asked, not trained.

    Args:
        plain: torchvision's name of it, "resnet50".
        path: as `read_arrays` takes it, with the classifier.
        stride_in_conv1: whether downsampling bottlenecks have their stride in the first
            convolution.

    Raises:
        OSError: there is no such file.
        ValueError: it is of another network.
    """
    network = get_model(plain, norm_layer=nn.Identity)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
        if stride_in_conv1 and isinstance(module, Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    try:
        network.load_state_dict(read_arrays(path))
    except RuntimeError as error:
        raise ValueError(f"{path} is not of a whole {plain} ({error})") from error
    return network.eval().to(memory_format=torch.channels_last)


@torch.inference_mode()
def fit_strides(donor: ResNet, network: ResNet, photos: Tensor) -> dict[str, Tensor]:
    """Make a network with torchvision's strides do what one with its strides in `conv1` does.

    A 3x3 convolution over every cell cannot be what one over every second cell was, but it can be
    near: the second convolution of each downsampling bottleneck is fitted by least squares to what
    its donor's gives on some photos, one stage after the other, and held to its old weights where
    the photos say nothing.

    Args:
        donor: folded, with its strides in the first convolutions.
        network: folded, the same weights; its second convolutions are changed.
        photos: normalised model input [N, 3, H, W].

    Returns:
        The new arrays by their names.
    """
    new = {}
    for stage in ("layer2", "layer3", "layer4"):
        theirs, ours = getattr(donor, stage)[0], getattr(network, stage)[0]
        conv = ours.conv2
        old = torch.cat([conv.weight.flatten(1), conv.bias[:, None]], 1).T  # [inputs + 1, outputs]
        squares = torch.zeros(len(old), len(old))
        rest = torch.zeros_like(old)  # of the normal equations, at the old weights
        for x in photos.split(16):
            inputs = ours.relu(ours.conv1(_before(network, stage, x)))
            target = theirs.conv2(theirs.relu(theirs.conv1(_before(donor, stage, x))))
            rows = F.unfold(inputs, 3, padding=1, stride=conv.stride).transpose(1, 2).flatten(0, 1)
            rows = F.pad(rows, (0, 1), value=1.0)
            squares += rows.T @ rows
            rest += rows.T @ (target.flatten(2).transpose(1, 2).flatten(0, 1) - rows @ old)
        squares.diagonal().add_(1e-3 * squares.diagonal().mean())
        fitted = old + torch.linalg.solve(squares.double(), rest.double()).float()
        conv.weight.copy_(fitted[:-1].T.reshape(conv.weight.shape))
        conv.bias.copy_(fitted[-1])
        new |= {f"{stage}.0.conv2.{k}": v.clone() for k, v in conv.named_parameters()}
    return new


def _before(network: ResNet, stage: str, x: Tensor) -> Tensor:
    """What a stage of a ResNet is given."""
    x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
    for name in ("layer1", "layer2", "layer3", "layer4"):
        if name == stage:
            break
        x = getattr(network, name)(x)
    return x


@torch.no_grad()
def load_folded(model: ResNet, arrays: Mapping[str, Tensor], photos: Tensor) -> set[str]:
    """Give a model convolutions whose batch norms were folded into them.

    Each kernel is loaded as it is. The photos are then passed through once, and each norm is set
    to the mean and variance it meets, with the scale and shift that undo them: the network
    computes what the folded one does, and its norms are ready to be trained.

    Args:
        model: in its initial state, plain or with gates.
        arrays: float32 ``<conv>.weight`` and ``<conv>.bias`` under torchvision's names, and perhaps
            the classifier's.
        photos: normalised model input [N, 3, H, W], at least some dozens.

    Returns:
        The names of the top-level modules that were filled ("conv1", "layer1", ...).

    Raises:
        ValueError: an array is of a convolution that the model does not have, or of another shape,
            or there are arrays of some of a module's convolutions alone.
    """
    modules = dict(model.named_modules())
    trunk = {
        name: module
        for name, module in modules.items()
        if name == "fc" or (isinstance(module, nn.Conv2d) and "_attention." not in name)
    }
    filled = {key.split(".")[0] for key in arrays}
    wanted = [f"{name}.{kind}" for name in trunk for kind in ("weight", "bias")]
    if unknown := sorted(arrays.keys() - set(wanted)):
        raise ValueError(f"the folded weights have {unknown[0]!r}, which this model has not")
    if missing := [k for k in wanted if k.split(".")[0] in filled and k not in arrays]:
        raise ValueError(f"the folded weights lack {missing[0]!r}, which this model has")
    biases, handles = {}, []
    for key, value in arrays.items():
        name, kind = key.rsplit(".", 1)
        module = trunk[name]
        head, _, _ = name.rpartition(".")
        norm = modules[f"{head}.1" if head.endswith("downsample") else name.replace("conv", "bn")]
        place = module.weight if kind == "weight" else module.bias if name == "fc" else norm.bias
        if place.shape != value.shape:
            raise ValueError(
                f"the folded weights have {key} of shape {list(value.shape)}; this model's is "
                f"{list(place.shape)}"
            )
        if kind == "weight" or name == "fc":
            place.copy_(value)
        else:
            biases[norm] = value

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
    return filled | {"bn1"}
