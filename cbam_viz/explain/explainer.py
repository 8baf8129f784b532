"""From a photo to an explanation: what the network says, and how it paid attention."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..models.checkpoints import ACTIVATIONS, Checkpoint, Preprocessing, load_checkpoint
from ..models.layouts import why_untrained
from ..models.resnet import ResNetCBAM
from ..models.serving import for_serving
from .photo import Photo, PhotoSource
from .recorder import Recorder
from .view import View

VIEWS = {"whole": View.whole, "crop": View.crop}

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


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True)
class ModelFacts:
    """Which network an explanation is of.

    Attributes:
        name: as in the catalogue, or the file's.
        sha256: of its weights file; None for a model that came from no file.
        untrained: why what the gates show means nothing; None for trained gates.
        activation: "softmax" or "sigmoid", what the probabilities are of.
        notes: what was assumed of its weights, and what was not understood; a sentence each.
    """

    name: str
    sha256: str | None = None
    untrained: str | None = None
    activation: str = "softmax"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Explanation:
    """What one forward pass over one photo gave.

    Attributes:
        photo: the photo.
        predictions: most likely first.
        blocks: from input to output.
        view: the geometry between photo and model input.
        model: which network.
        seconds: how long decoding, forward pass and reading the gates took.
    """

    photo: Photo = field(repr=False)
    predictions: tuple[Prediction, ...]
    blocks: tuple[BlockAttention, ...] = field(repr=False)
    view: View
    model: ModelFacts
    seconds: float

    @property
    def image(self) -> Image.Image:
        """The upright RGB photo."""
        return self.photo.image

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
            look: fields of `cbam_viz.render.Look`: mode, colours, opacity, scale, keep.

        Raises:
            ValueError: an unknown block, mode, colour table or scale; lists what there is.
        """
        from ..render.overlay import Look, overlay  # drawing is built on explaining

        return overlay(self, name, Look(**look))

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


class Explainer:
    """Explains photos with one model. May be called from many threads at once.

    Args:
        model: any `ResNetCBAM`. It is put in eval mode and must not be changed afterwards.
        classes: a label for each of its outputs; "class 17" where none are given.
        preprocessing: how the model wants its photos; ImageNet's usual way if not given.
        name: what to call the model.
        activation: "softmax" or "sigmoid", what makes probabilities of the outputs; if None, a
            sigmoid of one output, a softmax of several.

    Raises:
        ValueError: the number of classes is not the number of the model's outputs, or there is no
            such activation.
    """

    def __init__(
        self,
        model: ResNetCBAM,
        classes: Iterable[str] | None = None,
        preprocessing: Preprocessing | None = None,
        name: str = "model",
        activation: str | None = None,
    ):
        outputs = model.fc.out_features
        activation = activation or ("sigmoid" if outputs == 1 else "softmax")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be {' or '.join(ACTIVATIONS)}, not {activation!r}")
        self.classes = tuple(classes or (f"class {i}" for i in range(outputs)))
        if len(self.classes) != outputs:
            raise ValueError(
                f"{len(self.classes)} class names for a model with {outputs} outputs; "
                "give exactly one name for each output"
            )
        self.classes_zh: tuple[str, ...] | None = None
        #: Name of the block to look at first.
        self.open_at = list(model.blocks())[-1]
        self.model = model.eval()
        self.preprocessing = preprocessing or Preprocessing()
        self.facts = ModelFacts(name, untrained=why_untrained(model), activation=activation)
        self._serving = for_serving(model)
        self._strides = self.model.strides()

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> "Explainer":
        explainer = cls(checkpoint.model, checkpoint.classes, checkpoint.preprocessing)
        explainer.classes_zh = checkpoint.classes_zh
        explainer.open_at = checkpoint.open_at or explainer.open_at
        explainer.facts = ModelFacts(
            checkpoint.name,
            checkpoint.sha256,
            checkpoint.untrained,
            checkpoint.activation,
            checkpoint.notes,
        )
        return explainer

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | None = None,
        classes: str | Path | None = None,
        planes: str | None = None,
        activation: str | None = None,
    ) -> "Explainer":
        """An explainer of trained weights.

        Args:
            source: a catalogue name, a folder, a weights file, a Hub id ``user/repo[@revision]``;
                the bundled default if None.
            classes: a text file with one class name a line, where the weights bring none.
            planes, activation: as for `load_checkpoint`, where nothing beside the weights tells.

        Raises:
            WeightsError: says what was found, what was expected and what to do.
            ValueError: there is no such order of the planes, or no such activation.
        """
        return cls.from_checkpoint(load_checkpoint(source, classes, planes, activation))

    def explain(
        self, photo: PhotoSource | Photo, top_k: int = 5, view: str = "whole"
    ) -> Explanation:
        """Look at one photo. The model runs once.

        Args:
            photo: path, bytes, file object, PIL image or uint8 array [H, W, 3].
            top_k: number of predictions, at least 1; at most there are as many as classes.
            view: "whole" (nothing is cut off) or "crop" (the evaluation crop).

        Raises:
            PhotoError: not a photo that can be read.
            ValueError: top_k is below 1, or there is no such view.
        """
        return self.explain_batch([photo], top_k, view)[0]

    def explain_batch(
        self,
        photos: Iterable[PhotoSource | Photo],
        top_k: int = 5,
        view: str = "whole",
        batch_size: int = 16,
    ) -> list[Explanation]:
        """Look at many photos; those that make inputs of one size share a forward pass.

        Args:
            photos: as for `explain`.
            top_k, view: as for `explain`.
            batch_size: most photos in a pass. Affects speed and memory only.

        Returns:
            An explanation for each photo, in their order. ``seconds`` is a photo's share of its
            pass.

        Raises:
            PhotoError: on the first photo that cannot be read; nothing is explained then.
            ValueError: top_k is below 1, or there is no such view.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        if view not in VIEWS:
            raise ValueError(f"no view {view!r}; there are: {', '.join(VIEWS)}")
        began = time.perf_counter()
        inputs, passes = [], {}
        for i, source in enumerate(photos):
            photo = Photo.of(source)
            seen = VIEWS[view](photo.size, self.preprocessing)
            tensor = seen.input_tensor(photo.at_least(*seen.resized), self.preprocessing)
            inputs.append((photo, seen, tensor))
            passes.setdefault(tensor.shape, []).append(i)
        share = (time.perf_counter() - began) / max(1, len(inputs))
        results: list[Explanation | None] = [None] * len(inputs)
        for indices in passes.values():
            for first in range(0, len(indices), batch_size):
                chunk = indices[first : first + batch_size]
                began = time.perf_counter()
                batch = torch.cat([inputs[i][2] for i in chunk])
                predictions, blocks = self._forward(batch, top_k)
                seconds = share + (time.perf_counter() - began) / len(chunk)
                for n, i in enumerate(chunk):
                    photo, seen, _ = inputs[i]
                    results[i] = Explanation(
                        photo, predictions[n], blocks[n], seen, self.facts, seconds
                    )
        return results

    def _forward(self, batch: torch.Tensor, top_k: int):
        """Predictions and gates for each photo of a batch."""
        with torch.inference_mode(), Recorder(self._serving) as recorder:
            logits = self._serving(batch)
            if self.facts.activation == "sigmoid":
                probabilities = logits.sigmoid()
            else:
                probabilities = logits.softmax(1)
            likely = probabilities.topk(min(top_k, len(self.classes)))
        predictions = [
            tuple(self._prediction(p, i) for p, i in zip(ps, indices, strict=True))
            for ps, indices in zip(likely.values.tolist(), likely.indices.tolist(), strict=True)
        ]
        gates = {
            name: (g.channel.flatten(1).numpy(), g.spatial[:, 0].numpy())
            for name, g in recorder.gates.items()
        }
        blocks = [
            tuple(
                BlockAttention(name, self._strides[name], _own(channel[n]), _own(spatial[n]))
                for name, (channel, spatial) in gates.items()
            )
            for n in range(len(batch))
        ]
        return predictions, blocks

    def _prediction(self, probability: float, index: int) -> Prediction:
        zh = self.classes_zh[index] if self.classes_zh else None
        return Prediction(self.classes[index], probability, index, zh)


def _own(gate: np.ndarray) -> np.ndarray:
    """A read-only copy: results are frozen, and no view may keep a whole batch alive."""
    gate = gate.copy()
    gate.flags.writeable = False
    return gate
