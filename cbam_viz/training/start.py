"""Where training starts: plain ResNet weights under gates that change nothing yet."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..models.resnet import ResNetCBAM


@torch.no_grad()
def load_folded_trunk(model: ResNetCBAM, path: Path, photos: Tensor) -> set[str]:
    """Give a model convolutions whose batch norms were folded into them.

    Each kernel is loaded as it is. The photos are then passed through once, and each norm is set
    to the mean and variance it meets, with the scale and shift that undo them: the network
    computes what the folded one does, and its norms are ready to be trained.

    Args:
        model: in its initial state.
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
    neutral = {b.last_norm: b for b in model.blocks().values()}
    model.neutralise_gates()

    def calibrate_last(norm: nn.BatchNorm2d, args: tuple[Tensor]) -> None:
        calibrate(norm, args)
        norm.weight *= 4
        norm.bias *= 4

    for norm in biases:
        hook = calibrate_last if norm in neutral else calibrate
        handles.append(norm.register_forward_pre_hook(hook))
    model.eval()
    try:
        model(photos)
    finally:
        for handle in handles:
            handle.remove()
    return {key.split(".")[0] for key in arrays} | {"bn1"}
