"""Class maps, to hold the spatial gates against.

A gate knows nothing of classes: it is what the network multiplied with, whatever it then said.
These maps answer other questions: which cells spoke for one class (Grad-CAM, LayerCAM), what of
the photo the class cannot do without (occlusion), and where the features are strongest at all
(Eigen-CAM, which knows no class either). All are laid over the photo as the gates are.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torchcam.methods import GradCAM, LayerCAM
from torchcam.methods.core import _CAM

from ..models.resnet import ResNetCBAM
from .explainer import Explainer
from .explanation import Explanation
from .photo import Photo
from .photo_errors import PhotoSource
from .recorder import of_this_thread, registration
from .view import View

#: Side and step of the patch that occlusion covers, in input px.
PATCH, STEP = 64, 32
#: Input px between neighbouring values of an occlusion map: each is one pixel's own value.
OCCLUSION_STRIDE = 4
#: Patches in one pass.
AT_ONCE = 16


class _OfThisThread(_CAM):
    """An extractor of torchcam's, deaf to the passes that other threads run through its model."""

    def __init__(self, model: ResNetCBAM, blocks: list[nn.Module | str]):
        for name in ("_hook_a", "_hook_g"):
            if hook := getattr(self, name, None):
                setattr(self, name, of_this_thread(hook))
        with registration:
            super().__init__(model, blocks)

    def remove_hooks(self) -> None:
        with registration:
            super().remove_hooks()


class _GradCAM(_OfThisThread, GradCAM):
    pass


class _LayerCAM(_OfThisThread, LayerCAM):
    pass


class _EigenCAM(_OfThisThread):
    """The features' projection on their first principal direction; torchcam has none."""

    def _get_weights(self, class_idx: object, *args: object, **kwargs: object) -> list[Tensor]:
        weights = []
        for features in self.hook_a:
            assert features is not None  # there was a pass
            direction = torch.linalg.svd(features.flatten(2), full_matrices=False).U[:, :, 0]
            # Of either sign; features after a ReLU make all its entries of one.
            weights.append(direction * direction.sum(1, keepdim=True).sign())
        return weights


_EXTRACTORS = {"grad-cam": _GradCAM, "layer-cam": _LayerCAM, "eigen-cam": _EigenCAM}
#: The methods there are, by name.
METHODS = (*_EXTRACTORS, "occlusion")


def class_maps(
    model: ResNetCBAM,
    inputs: Tensor,
    blocks: Sequence[str],
    indices: Sequence[int] | None = None,
    method: str = "grad-cam",
) -> tuple[list[int], dict[str, np.ndarray]]:
    """One method's maps of several blocks, from one forward and at most one backward pass.

    - "grad-cam": a block's channels are weighted with the mean gradient of the class's logit and
      added up. Selvaraju et al.: "Grad-CAM: Visual Explanations from Deep Networks via
      Gradient-based Localization", ICCV 2017, https://arxiv.org/abs/1610.02391, equations 1 and 2.
    - "layer-cam": every value is weighted with its own gradient, where that is positive. Jiang et
      al.: "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE TIP
      2021, equations 7 and 8.
    - "eigen-cam": the features projected on their first principal direction, without a class.
      Muhammad, Yeasin: "Eigen-CAM: Class Activation Map using Principal Components", IJCNN 2020,
      https://arxiv.org/abs/2008.00299, section III.

    What speaks against the class is cut off at 0. The maps are not stretched to 0..1, and compare
    within one map only. The model is left as it was: no hook stays, no gradient is kept. May be
    called from many threads at once.

    Args:
        model: to look into, in eval mode; `Explainer.model` for example.
        inputs: float32 [N, 3, H, W], as `ModelInput` holds them.
        blocks: torchvision's paths of the blocks.
        indices: a class for each input; the most likely ones if not given.
        method: "grad-cam", "layer-cam" or "eigen-cam".

    Returns:
        The classes' indices, and by block the maps, float32 [N, rows, columns], 0 and up, on the
        cells of the block's spatial gate.

    Raises:
        ValueError: there is no such block, class or method.
    """
    known = model.blocks()
    if unknown := [b for b in blocks if b not in known]:
        raise ValueError(f"no block {unknown[0]!r}; this model has: {', '.join(known)}")
    if method not in _EXTRACTORS:
        raise ValueError(f"no method {method!r} for blocks; there are: {', '.join(_EXTRACTORS)}")
    classes = model.fc.out_features
    for index in indices or ():
        if not 0 <= index < classes:
            raise ValueError(f"no class {index}; this model has 0 to {classes - 1}")
    # The caller may have switched gradients off, and the model's own weights may have none.
    with torch.inference_mode(False), torch.enable_grad():
        inputs = inputs.detach().clone().requires_grad_()
        with _EXTRACTORS[method](model, list(blocks)) as extractor:
            scores = model(inputs)
            indices = scores.argmax(1).tolist() if indices is None else list(indices)
            maps = extractor(indices, scores, normalized=False)
    return indices, {b: m.clamp(min=0).numpy() for b, m in zip(blocks, maps, strict=True)}


def occlusion(
    forward: Callable[[Tensor], Tensor], inputs: Tensor, index: int
) -> tuple[np.ndarray, int]:
    """By how much a class's logit falls when a patch of the input is covered, place by place.

    Zeiler, Fergus: "Visualizing and Understanding Convolutional Networks", ECCV 2014,
    https://arxiv.org/abs/1311.2901, section 4.2, by captum. The patch is `PATCH` px wide, moves
    by `STEP` px and is of the mean colour; a pixel's value is the mean over the patches that
    covered it. Where covering makes the class likelier the map is 0.

    Args:
        forward: from inputs [N, 3, H, W] to logits [N, classes].
        inputs: float32 [1, 3, H, W], as `ModelInput` holds it.
        index: of the class.

    Returns:
        float32 [rows, columns], in logits, 0 and up, of stride `OCCLUSION_STRIDE`; and how many
        inputs went through the network.
    """
    from captum.attr import Occlusion  # takes a second to import

    passed = 0

    def counted(batch: Tensor) -> Tensor:
        nonlocal passed
        passed += len(batch)
        return forward(batch)

    height, width = inputs.shape[2:]
    with torch.inference_mode():
        fall = Occlusion(counted).attribute(
            inputs,
            sliding_window_shapes=(inputs.shape[1], min(PATCH, height), min(PATCH, width)),
            strides=(inputs.shape[1], STEP, STEP),
            baselines=0,  # inputs are normalised: the mean of the photos the model was trained on
            target=index,
            perturbations_per_eval=AT_ONCE,
        )
    # All planes of a pixel were covered together and have one value.
    values = fall[0, 0, ::OCCLUSION_STRIDE, ::OCCLUSION_STRIDE].clamp(min=0)
    return values.float().numpy(), passed


def forwards(method: str, view: View) -> int:
    """How many inputs a method sends through the network: its cost, known before it runs.

    Grad-CAM and LayerCAM add a backward pass, which takes about two forward passes.

    Raises:
        ValueError: there is no such method.
    """
    _check_method(method)
    if method != "occlusion":
        return 1
    places = [1 + max(0, -(-(side - PATCH) // STEP)) for side in view.size]
    return 1 + places[0] * places[1]


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; there are: {', '.join(METHODS)}")


@dataclass(frozen=True, eq=False)
class ClassMap:
    """Where one photo speaks for one class, by one method.

    Attributes:
        method: one of `METHODS`.
        index, label: of the class. Eigen-CAM's map is the same for every class.
        block: whose cells the map is on; None for occlusion, which is about the whole network.
        logit: of the class.
        stride: input px between neighbouring values.
        values: float32 [rows, columns], 0 and up, in the method's own unit.
        view: the geometry between photo and input.
    """

    method: str
    index: int
    label: str
    block: str | None
    logit: float
    stride: int
    values: np.ndarray = field(repr=False)
    view: View = field(repr=False)

    @property
    def relative(self) -> np.ndarray:
        """The values over their greatest, in 0..1: what can be drawn on a gate's scale."""
        greatest = self.values.max()
        return self.values / greatest if greatest > 0 else self.values

    def on_image(self) -> np.ndarray:
        """The values over the photo, as `Explanation.spatial_on_image` lays a gate.

        Returns:
            float32 [photo height, photo width]; NaN outside what the model saw.
        """
        return self.view.on_photo(self.values, self.stride)


def class_map(
    explainer: Explainer,
    photo: PhotoSource | Photo | Explanation,
    target: int | str | None = None,
    method: str = "grad-cam",
    block: str | None = None,
    view: str = "whole",
) -> ClassMap:
    """Where a photo speaks for a class. May be called from many threads at once.

    Args:
        explainer: with the model.
        photo: as for `Explainer.input`.
        target: the class, as for `class_index`; the predicted one if None.
        method: one of `METHODS`; `forwards` tells what each costs.
        block: whose cells the map is on; the last one if None. Of no meaning to occlusion.
        view: "whole" or "crop"; of no effect for an explanation.

    Raises:
        PhotoError: not a photo that can be read.
        ValueError: there is no such class, method, block or view.
    """
    _check_method(method)
    index = None if target is None else class_index(explainer, target)
    blocks = list(explainer.model.blocks())
    block = blocks[-1] if block is None else block
    if block not in blocks:
        raise ValueError(f"no block {block!r}; this model has: {', '.join(blocks)}")
    seen = explainer.input(photo, view)
    with torch.inference_mode():
        logits = explainer.serving(seen.tensor)[0]
    index = int(logits.argmax()) if index is None else index
    if method == "occlusion":
        values, _ = occlusion(explainer.serving, seen.tensor, index)
        block, stride = None, OCCLUSION_STRIDE
    else:
        _, maps = class_maps(explainer.model, seen.tensor, [block], [index], method)
        values, stride = maps[block][0], explainer.model.strides()[block]
    values.flags.writeable = False
    return ClassMap(
        method=method,
        index=index,
        label=explainer.classes[index],
        block=block,
        logit=float(logits[index]),
        stride=stride,
        values=values,
        view=seen.view,
    )


class UnknownClass(ValueError):
    """No class has the name that was asked for.

    Attributes:
        asked: the name.
        like: names of classes that are like it, at most 8.
    """

    def __init__(self, asked: str, like: list[str]):
        hint = f"; like it are: {', '.join(like)}" if like else "; see the explainer's classes"
        super().__init__(f"no class {asked!r}{hint}")
        self.asked = asked
        self.like = like


def class_index(explainer: Explainer, target: int | str) -> int:
    """The index of a class by index or name, in English or in Chinese, in any case.

    Raises:
        UnknownClass: there is no such class; says which are like it.
        ValueError: there is no such index, or there are several classes of that name.
    """
    if isinstance(target, int):
        if not 0 <= target < len(explainer.classes):
            raise ValueError(f"no class {target}; this model has 0 to {len(explainer.classes) - 1}")
        return target
    wanted = target.strip().casefold()
    languages = [explainer.classes, explainer.classes_zh or ()]
    found = {i for names in languages for i, n in enumerate(names) if n.casefold() == wanted}
    if len(found) == 1:
        return found.pop()
    if found:
        raise ValueError(f"several classes are called {target!r}; say which by its index: {found}")
    names = list(dict.fromkeys(n for names in languages for n in names))
    like = [n for n in names if wanted and wanted in n.casefold()]
    like = like or difflib.get_close_matches(target, names)
    raise UnknownClass(target, like[:8])
