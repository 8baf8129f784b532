"""From a photo to an explanation: what the network says, and how it paid attention."""

import copy
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from ..models.checkpoints import ACTIVATIONS, Checkpoint, Preprocessing, load_checkpoint
from ..models.layouts import why_untrained
from ..models.resnet import ResNetCBAM
from ..models.serving import for_serving
from .explanation import BlockAttention, Explanation, ModelFacts, Prediction
from .photo import Photo, PhotoSource
from .recorder import recorded
from .view import ModelInput


class Explainer:
    """Explains photos with one model. May be called from many threads at once.

    Args:
        model: any `ResNetCBAM`, in any precision and mode and on any device; it is left as it is.
            One in float32 and eval mode on the CPU is used without a copy, and must not be
            changed afterwards.
        classes: a label for each of its outputs; "class 17" where none are given.
        preprocessing: how the model wants its photos; ImageNet's usual way if not given.
        name: what to call the model.
        activation: "softmax" or "sigmoid", what makes probabilities of the outputs; if None, a
            sigmoid of one output, a softmax of several.

    Attributes:
        model: in float32 and eval mode, on the CPU.
        serving: the same with its norms folded, see `for_serving`; what explains.
        classes: a label for each output.
        classes_zh: the same labels in Chinese; None if there are none.
        preprocessing: as given.
        facts: about the model, for the explanations.
        open_at: name of the block to look at first.

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
        self.open_at = list(model.blocks())[-1]
        self.model = _at_rest(model)
        self.preprocessing = preprocessing or Preprocessing()
        self.facts = ModelFacts(name, untrained=why_untrained(self.model), activation=activation)
        self.serving = for_serving(self.model)
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
        began = time.perf_counter()
        inputs = [ModelInput.of(photo, self.preprocessing, view) for photo in photos]
        passes: dict[torch.Size, list[int]] = {}
        for i, one in enumerate(inputs):
            passes.setdefault(one.tensor.shape, []).append(i)
        share = (time.perf_counter() - began) / max(1, len(inputs))
        results: dict[int, Explanation] = {}
        for indices in passes.values():
            for first in range(0, len(indices), batch_size):
                chunk = indices[first : first + batch_size]
                began = time.perf_counter()
                batch = torch.cat([inputs[i].tensor for i in chunk])
                predictions, blocks = self._forward(batch, top_k)
                seconds = share + (time.perf_counter() - began) / len(chunk)
                for n, i in enumerate(chunk):
                    results[i] = Explanation(
                        photo=inputs[i].photo,
                        predictions=predictions[n],
                        blocks=blocks[n],
                        view=inputs[i].view,
                        model=self.facts,
                        seconds=seconds,
                    )
        return [results[i] for i in range(len(inputs))]

    def _forward(self, batch: torch.Tensor, top_k: int):
        """Predictions and gates for each photo of a batch."""
        with torch.inference_mode(), recorded(self.serving) as found:
            logits = self.serving(batch)
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
            for name, g in found.items()
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


def _at_rest(model: ResNetCBAM) -> ResNetCBAM:
    """The model in float32 and eval mode on the CPU: itself if it is so, else a copy."""
    tensors = [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]
    ready = all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)
    if ready and not any(m.training for m in model.modules()):
        return model
    return copy.deepcopy(model).cpu().float().eval()
