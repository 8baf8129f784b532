"""Does a map depend on what the network learnt: its weights drawn anew, stage by stage.

Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim: "Sanity Checks for Saliency Maps", NeurIPS 2018,
https://arxiv.org/abs/1810.03292, section 3.1, "cascading randomization". A map that stays the same
shows the photo, or the network's wiring (zero padding marks the border, strides mark a grid), and
not what was learnt.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from ..explain.class_maps import class_index, class_maps
from ..explain.explainer import Explainer
from ..explain.explanation import Explanation
from ..explain.photo import Photo, PhotoSource
from ..explain.recorder import recorded
from ..models.resnet import ResNetCBAM
from ..models.untrained import draw
from .metrics import rank_correlation

#: What is drawn anew, one after the other, from the output to the input.
STAGES = ("fc", "layer4", "layer3", "layer2", "layer1", "stem")


@dataclass(frozen=True, eq=False)
class Randomised:
    """A photo's maps while more and more of the network's weights are drawn anew.

    Attributes:
        index: of the class that Grad-CAM is of: the one asked for, or the predicted one of the
            network as it was.
        gates: by block, the spatial gates float32 [1 + stages, rows, columns]: as they were, then
            after each of `STAGES`.
        grad_cams: by block, Grad-CAM likewise.
    """

    index: int
    gates: dict[str, np.ndarray] = field(repr=False)
    grad_cams: dict[str, np.ndarray] = field(repr=False)

    def correlations(self, block: str, kind: str = "gates") -> list[float | None]:
        """`rank_correlation` of a block's map with what it was, after each of `STAGES`.

        A gate has seen nothing of the stages after its own: until its own is drawn anew, it is
        the same map, and the correlation is 1 by construction.

        Args:
            block: its name.
            kind: "gates" or "grad_cams".

        Raises:
            ValueError: there is no such block or kind.
        """
        if kind not in ("gates", "grad_cams"):
            raise ValueError(f"no kind {kind!r}; there are: gates, grad_cams")
        maps = getattr(self, kind)
        if block not in maps:
            raise ValueError(f"no block {block!r}; this model has: {', '.join(maps)}")
        first, *others = maps[block]
        return [rank_correlation(first, other) for other in others]


def randomise(
    explainer: Explainer,
    photo: PhotoSource | Photo | Explanation,
    target: int | str | None = None,
    seed: int = 0,
) -> Randomised:
    """Draw a network's weights anew from the top, and keep every block's maps on the way.

    Seven passes forward and back: one of the network as it is, one after each of `STAGES`. The
    explainer's own model is left as it is. May be called from many threads at once.

    Args:
        explainer: with the model.
        photo: as for `Explainer.input`.
        target: the class of Grad-CAM, as for `class_index`; the predicted one if None.
        seed: of the draw.

    Raises:
        PhotoError: not a photo that can be read.
        ValueError: there is no such class.
    """
    indices = None if target is None else [class_index(explainer, target)]
    tensor = explainer.input(photo).tensor
    blocks = list(explainer.model.blocks())
    gates: dict[str, list] = {b: [] for b in blocks}
    cams: dict[str, list] = {b: [] for b in blocks}
    for model in _cascade(explainer.model, torch.Generator().manual_seed(seed)):
        with recorded(model) as found:
            indices, maps = class_maps(model, tensor, blocks, indices)
        for b in blocks:
            gates[b].append(found[b].spatial[0, 0].detach().numpy())
            cams[b].append(maps[b][0])
    assert indices is not None
    return Randomised(
        indices[0],
        {b: np.stack(maps) for b, maps in gates.items()},
        {b: np.stack(maps) for b, maps in cams.items()},
    )


def _cascade(model: ResNetCBAM, generator: torch.Generator) -> Iterator[ResNetCBAM]:
    """The model, and then a copy of it after each of `STAGES`."""
    yield model
    model = copy.deepcopy(model)
    for stage in STAGES:
        parts = [model.conv1, model.bn1] if stage == "stem" else [getattr(model, stage)]
        for part in parts:
            _draw_anew(part, generator)
        yield model


@torch.no_grad()
def _draw_anew(part: nn.Module, generator: torch.Generator) -> None:
    """Every weight as the network's constructor draws it; norms as they begin."""
    for name, m in part.named_modules():
        if isinstance(m, nn.Conv2d) and "_attention" not in name:  # torchvision's rule
            nn.init.kaiming_normal_(
                m.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
        elif isinstance(m, nn.Conv2d | nn.Linear):
            draw(m, generator)
        elif isinstance(m, nn.BatchNorm2d):
            m.reset_parameters()
