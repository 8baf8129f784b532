"""What an explanation holds: predictions, every block's gates, and the way back to the photo."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from .photo import Photo
from .view import View

#: A gate whose values span less than this is called nearly constant.
NEARLY_CONSTANT = 0.05


@dataclass(frozen=True)
class Prediction:
    """One class the network holds for likely.

    Attributes:
        label: the class's name.
        probability: of the model's activation, in 0..1. A softmax's add up to one over all
            classes; a sigmoid's are each for itself.
        index: of the network's output.
        label_zh: the name in Chinese; None if the model brings none.
    """

    label: str
    probability: float
    index: int
    label_zh: str | None = None


@dataclass(frozen=True)
class GateFigures:
    """What a gate's values are like: all in (0, 1); 0.5 is what an undecided gate gives."""

    min: float
    mean: float
    max: float
    deviation: float

    @property
    def nearly_constant(self) -> bool:
        """Whether the values span less than `NEARLY_CONSTANT`: there is little to see in it."""
        return self.max - self.min < NEARLY_CONSTANT

    @classmethod
    def of(cls, gate: np.ndarray) -> "GateFigures":
        return cls(*(float(f(gate)) for f in (np.min, np.mean, np.max, np.std)))


@dataclass(frozen=True, eq=False, repr=False)
class BlockAttention:
    """Both gates of one block, as numbers the network itself multiplied with.

    Attributes:
        name: torchvision's path of the block, "layer4.1".
        stride: input px between neighbouring cells of the map.
        channel: float32 [C], in (0, 1).
        spatial: float32 [H, W], in (0, 1).
    """

    name: str
    stride: int
    channel: np.ndarray
    spatial: np.ndarray

    @property
    def stage(self) -> int:
        """1 to 4."""
        return int(self.name[5])

    @cached_property
    def channel_figures(self) -> GateFigures:
        return GateFigures.of(self.channel)

    @cached_property
    def spatial_figures(self) -> GateFigures:
        return GateFigures.of(self.spatial)

    def __repr__(self) -> str:
        (rows, columns), s, c = self.spatial.shape, self.spatial_figures, self.channel_figures
        return (
            f"BlockAttention({self.name}: spatial {columns} x {rows} in {s.min:.3f}..{s.max:.3f}, "
            f"channel {len(self.channel)} in {c.min:.3f}..{c.max:.3f})"
        )

    def _repr_html_(self) -> str:
        from ..ui.notebook import block_html  # as `Explanation.overlay`

        return block_html(self)


@dataclass(frozen=True)
class ModelFacts:
    """Which network an explanation is of.

    Attributes:
        name: as in the catalogue, or the file's.
        sha256: of its weights file; None for a model that came from no file.
        untrained: why what the gates show means nothing; None for trained gates.
        activation: "softmax" or "sigmoid", what the probabilities are of.
        notes: what was assumed of its weights, and what was not understood; a sentence each.
        unsure_below: the probability of the likeliest class below which it was wrong more often
            than right on validation photos, in 0..1; None if nobody found out.
    """

    name: str
    sha256: str | None = None
    untrained: str | None = None
    activation: str = "softmax"
    notes: tuple[str, ...] = ()
    unsure_below: float | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What one forward pass over one photo gave.

    Attributes:
        photo: the photo.
        predictions: most likely first.
        logits: float32 [classes], the network's outputs.
        blocks: from input to output.
        view: the geometry between photo and model input.
        model: which network.
        seconds: how long decoding, forward pass and reading the gates took.
    """

    photo: Photo
    predictions: tuple[Prediction, ...]
    logits: np.ndarray
    blocks: tuple[BlockAttention, ...]
    view: View
    model: ModelFacts
    seconds: float

    @property
    def image(self) -> Image.Image:
        """The upright RGB photo."""
        return self.photo.image

    @cached_property
    def probabilities(self) -> np.ndarray:
        """float32 [classes]: of the model's activation, as in `Prediction`."""
        if self.model.activation == "sigmoid":
            return 0.5 + 0.5 * np.tanh(self.logits / 2)  # exp would overflow far below 0
        shares = np.exp(self.logits - self.logits.max())
        return shares / shares.sum()

    def __repr__(self) -> str:
        (width, height), likely = self.photo.size, self.predictions[0]
        return (
            f"Explanation({self.model.name}, {width} x {height} px: {likely.label} "
            f"{likely.probability:.1%}, {len(self.blocks)} blocks)"
        )

    def _repr_html_(self) -> str:
        from ..ui.notebook import explanation_html  # as `overlay`

        return explanation_html(self)

    def block(self, name: str) -> BlockAttention:
        """A block by its name.

        Raises:
            ValueError: there is no such block; the message lists those there are.
        """
        for block in self.blocks:
            if block.name == name:
                return block
        names = ", ".join(b.name for b in self.blocks)
        raise ValueError(f"no block {name!r}; this model has: {names}")

    def spatial_on_image(self, name: str) -> np.ndarray:
        """A block's spatial gate over the photo.

        Returns:
            float32 [photo height, photo width]: the gate's own values, cells at their
            receptive-field centres, bilinear between them; NaN outside the evaluation crop, if
            that was the view.

        Raises:
            ValueError: there is no such block.
        """
        block = self.block(name)
        return self.view.on_photo(block.spatial, block.stride)

    def overlay(self, name: str, **look) -> Image.Image:
        """A block's spatial gate laid over the photo, of the photo's size.

        Args:
            name: of the block.
            look: fields of `cbam_viz.render.overlay.Look`: mode, colours, opacity, scale, keep.

        Raises:
            ValueError: an unknown block, mode, colour table or scale; lists what there is.
        """
        from ..render.overlay import Look, overlay  # drawing is built on explaining

        block, untrained = self.block(name), self.model.untrained is not None
        return overlay(self.image, block.spatial, block.stride, self.view, Look(**look), untrained)

    def save(self, folder: str | Path) -> Path:
        """Write PNGs, ``attention.npz`` and ``explanation.json`` into a folder, each file whole.

        Returns:
            The folder.
        """
        from ..render.export import save  # drawing is built on explaining

        return save(self, Path(folder))

    def to_dict(self) -> dict:
        """Plain values, floats to four decimals: what the HTTP API and ``--json`` answer."""
        return {
            "model": self.model.name,
            "activation": self.model.activation,
            "image_size": list(self.photo.size),
            "predictions": [
                {"label": p.label, "probability": round(p.probability, 4), "index": p.index}
                for p in self.predictions
            ],
            "blocks": [
                {
                    "name": b.name,
                    "stride": b.stride,
                    "channel": _rounded(b.channel),
                    "spatial": _rounded(b.spatial),
                }
                for b in self.blocks
            ],
        }


def _rounded(gate: np.ndarray) -> list:
    return np.round(gate.astype(np.float64), 4).tolist()
