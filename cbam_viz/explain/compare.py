"""Grad-CAM, to hold the spatial gates against.

A gate knows nothing of classes: it is what the network multiplied with, whatever it then said.
Grad-CAM answers another question: which cells spoke for one class. Both live on the same cells.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torchcam.methods import GradCAM

from .explainer import VIEWS, Explainer
from .photo import Photo, PhotoSource
from .recorder import registration
from .view import View


class _OfThisThread(GradCAM):
    """torchcam's extractor, deaf to the passes that other threads run through the same model."""

    def __init__(self, *args, **options):
        self._thread = threading.get_ident()
        with registration:
            super().__init__(*args, **options)

    def remove_hooks(self) -> None:
        with registration:
            super().remove_hooks()

    def _hook_a(self, *args, **options) -> None:
        if threading.get_ident() == self._thread:
            super()._hook_a(*args, **options)

    def _hook_g(self, *args, **options) -> None:
        if threading.get_ident() == self._thread:
            super()._hook_g(*args, **options)


@dataclass(frozen=True, eq=False)
class ClassMap:
    """Where one class found its evidence in one photo.

    Attributes:
        block: torchvision's path of the block whose output was looked at, "layer4.1".
        stride: input px between neighbouring cells, as of the block's spatial gate.
        index, label: the class.
        cells: float32 [H, W], 0 and up. The values have no scale of their own: they compare
            within one map only.
        view: the geometry between photo and model input.
    """

    block: str
    stride: int
    index: int
    label: str
    cells: np.ndarray = field(repr=False)
    view: View = field(repr=False)

    def on_photo(self) -> np.ndarray:
        """The map over the photo, as `Explanation.spatial_on_image` lays the gates.

        Returns:
            float32 [photo height, photo width]; NaN outside the evaluation crop, if that was the
            view.
        """
        return self.view.on_photo(self.cells, self.stride)


def grad_cam(
    explainer: Explainer,
    photo: PhotoSource | Photo,
    block: str | None = None,
    index: int | None = None,
    view: str = "whole",
) -> ClassMap:
    """Grad-CAM of one photo, class and block. May be called from many threads at once.

    Args:
        explainer: whose model to look into.
        photo: as for `Explainer.explain`.
        block: torchvision's path of the block; the last one, as is usual, if not given.
        index: of the class; the most likely one if not given.
        view: "whole" or "crop", as for `Explainer.explain`.

    Raises:
        PhotoError: not a photo that can be read.
        ValueError: there is no such block, class or view.
    """
    if view not in VIEWS:
        raise ValueError(f"no view {view!r}; there are: {', '.join(VIEWS)}")
    photo = Photo.of(photo)
    seen = VIEWS[view](photo.size, explainer.preprocessing)
    inputs = seen.input_tensor(photo.at_least(*seen.resized), explainer.preprocessing)
    block = block or list(explainer.model.blocks())[-1]
    indices, maps = class_maps(explainer, inputs, [block], None if index is None else [index])
    return ClassMap(
        block,
        explainer.model.strides()[block],
        indices[0],
        explainer.classes[indices[0]],
        maps[block][0],
        seen,
    )


def class_maps(
    explainer: Explainer,
    inputs: Tensor,
    blocks: Sequence[str],
    indices: Sequence[int] | None = None,
) -> tuple[list[int], dict[str, np.ndarray]]:
    """Grad-CAM of several blocks from one forward and one backward pass.

    A block's channels are weighted with the mean gradient of the class's logit, added up, and
    what speaks against the class is cut off at 0. Selvaraju et al.: "Grad-CAM: Visual
    Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
    https://arxiv.org/abs/1610.02391, equations 1 and 2. The maps are not stretched to 0..1.

    The model is left as it was: no hook stays, no gradient is kept.

    Args:
        explainer: whose model to look into.
        inputs: float32 [N, 3, H, W], as `View.input_tensor` makes them.
        blocks: torchvision's paths of the blocks.
        indices: a class for each input; the most likely ones if not given.

    Returns:
        The classes' indices, and by block the maps, float32 [N, rows, columns], 0 and up.

    Raises:
        ValueError: there is no such block or class.
    """
    there_are = explainer.model.blocks()
    if unknown := [b for b in blocks if b not in there_are]:
        raise ValueError(f"no block {unknown[0]!r}; this model has: {', '.join(there_are)}")
    classes = len(explainer.classes)
    for index in indices or ():
        if not 0 <= index < classes:
            raise ValueError(f"no class {index}; this model has 0 to {classes - 1}")
    # The caller may have switched gradients off, and the model's own weights may have none.
    with torch.inference_mode(False), torch.enable_grad():
        inputs = inputs.detach().clone().requires_grad_()
        with _OfThisThread(explainer.model, list(blocks)) as extractor:
            scores = explainer.model(inputs)
            indices = scores.argmax(1).tolist() if indices is None else list(indices)
            maps = extractor(indices, scores, normalized=False)
    return indices, {b: m.numpy() for b, m in zip(blocks, maps, strict=True)}
