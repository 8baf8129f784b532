"""Grad-CAM, to hold the spatial gates against.

A gate knows nothing of classes: it is what the network multiplied with, whatever it then said.
Grad-CAM answers another question: which cells spoke for one class. Both live on the same cells.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torchcam.methods import GradCAM

from ..models.resnet import ResNetCBAM
from .recorder import of_this_thread, registration


class _OfThisThread(GradCAM):
    """torchcam's extractor, deaf to the passes that other threads run through the same model."""

    def __init__(self, model: ResNetCBAM, blocks: list[nn.Module | str]):
        self._hook_a, self._hook_g = of_this_thread(self._hook_a), of_this_thread(self._hook_g)
        with registration:
            super().__init__(model, blocks)

    def remove_hooks(self) -> None:
        with registration:
            super().remove_hooks()


def grad_cam(
    model: ResNetCBAM,
    inputs: Tensor,
    blocks: Sequence[str],
    indices: Sequence[int] | None = None,
) -> tuple[list[int], dict[str, np.ndarray]]:
    """Grad-CAM of several blocks from one forward and one backward pass.

    A block's channels are weighted with the mean gradient of the class's logit, added up, and
    what speaks against the class is cut off at 0. Selvaraju et al.: "Grad-CAM: Visual
    Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
    https://arxiv.org/abs/1610.02391, equations 1 and 2. The maps are not stretched to 0..1, and
    compare within one map only.

    The model is left as it was: no hook stays, no gradient is kept. May be called from many
    threads at once.

    Args:
        model: to look into, in eval mode; `Explainer.model` for example.
        inputs: float32 [N, 3, H, W], as `ModelInput` holds them.
        blocks: torchvision's paths of the blocks.
        indices: a class for each input; the most likely ones if not given.

    Returns:
        The classes' indices, and by block the maps, float32 [N, rows, columns], 0 and up, on the
        cells of the block's spatial gate.

    Raises:
        ValueError: there is no such block or class.
    """
    known = model.blocks()
    if unknown := [b for b in blocks if b not in known]:
        raise ValueError(f"no block {unknown[0]!r}; this model has: {', '.join(known)}")
    classes = model.fc.out_features
    for index in indices or ():
        if not 0 <= index < classes:
            raise ValueError(f"no class {index}; this model has 0 to {classes - 1}")
    # The caller may have switched gradients off, and the model's own weights may have none.
    with torch.inference_mode(False), torch.enable_grad():
        inputs = inputs.detach().clone().requires_grad_()
        with _OfThisThread(model, list(blocks)) as extractor:
            scores = model(inputs)
            indices = scores.argmax(1).tolist() if indices is None else list(indices)
            maps = extractor(indices, scores, normalized=False)
    return indices, {b: m.numpy() for b, m in zip(blocks, maps, strict=True)}
