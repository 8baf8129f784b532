"""From a photo to an explanation: what the network says, and how it paid attention."""

import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..models.checkpoints import ACTIVATIONS, Checkpoint, load_checkpoint
from ..models.preprocessing import Preprocessing
from ..models.resnet import ResNetCBAM
from ..models.serving import for_serving
from ..models.untrained import why_untrained
from .batches import by_shape
from .explanation import BlockAttention, Explanation, ModelFacts, Prediction
from .interventions import Hook, Setting, gate_hooks
from .photo import Photo
from .photo_errors import PhotoSource
from .recorder import Gates, hooked, recorded
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
            checkpoint.unsure_below,
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
            classes: a file of class names (`class_names.read_classes`), if the weights bring none.
            planes, activation: as for `load_checkpoint`, where nothing beside the weights tells.

        Raises:
            WeightsError: says what was found, what was expected and what to do.
            ValueError: there is no such order of the planes, or no such activation.
        """
        return cls.from_checkpoint(load_checkpoint(source, classes, planes, activation))

    def explain(
        self,
        photo: PhotoSource | Photo,
        top_k: int = 5,
        view: str = "whole",
        gates: Mapping[str, Setting] | None = None,
    ) -> Explanation:
        """Look at one photo. The model runs once.

        Args:
            photo: path, bytes, file object, PIL image or uint8 array [H, W, 3].
            top_k: number of predictions, at least 1; at most there are as many as classes.
            view: "whole" (nothing is cut off) or "crop" (the evaluation crop).
            gates: those to set by hand, as ``{"layer3.1.spatial": "open"}``; see
                `interventions.gate_hooks` for what each can be set to. The gates of the
                explanation are then those that were used.

        Raises:
            PhotoError: not a photo that can be read.
            ValueError: top_k is below 1, there is no such view, or as from `gate_hooks`.
        """
        if not gates:
            return self.explain_batch([photo], top_k, view)[0]
        began = time.perf_counter()
        given = ModelInput.of(photo, self.preprocessing, view)
        hooks = gate_hooks(self.serving, gates, given.view)
        explanation = self.look(given, top_k, hooks)
        return replace(explanation, seconds=time.perf_counter() - began)

    def look(self, given: ModelInput, top_k: int = 5, hooks: Sequence[Hook] = ()) -> Explanation:
        """Look at a photo whose input is made already. The model runs once.

        Args:
            given: the input.
            top_k: as for `explain`.
            hooks: as for `recorder.hooked`; they hang during this pass, and what they make of the
                gates is what is explained.

        Raises:
            ValueError: top_k is below 1.
        """
        _check_top_k(top_k)
        began = time.perf_counter()
        with hooked(*hooks):  # before those that record: these hear what came of it
            (found,) = self._explained(given.tensor, top_k)
        return self._explanation(given, found, time.perf_counter() - began)

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
        _check_top_k(top_k)
        began = time.perf_counter()
        inputs = [ModelInput.of(photo, self.preprocessing, view) for photo in photos]
        share = (time.perf_counter() - began) / max(1, len(inputs))
        results: dict[int, Explanation] = {}
        for chunk in by_shape(range(len(inputs)), lambda i: inputs[i].tensor.shape, batch_size):
            began = time.perf_counter()
            batch = torch.cat([inputs[i].tensor for i in chunk])
            found = self._explained(batch, top_k)
            seconds = share + (time.perf_counter() - began) / len(chunk)
            for i, parts in zip(chunk, found, strict=True):
                results[i] = self._explanation(inputs[i], parts, seconds)
        return [results[i] for i in range(len(inputs))]

    def input(self, photo: PhotoSource | Photo | Explanation, view: str = "whole") -> ModelInput:
        """A photo as this model is shown it; nothing runs.

        Args:
            photo: as for `explain`; or an explanation of this explainer's, whose photo and view
                are then used.
            view: "whole" or "crop"; of no effect for an explanation.

        Raises:
            PhotoError: not a photo that can be read.
            ValueError: there is no such view, or the explanation is of another model.
        """
        if not isinstance(photo, Explanation):
            return ModelInput.of(photo, self.preprocessing, view)
        if photo.model != self.facts:
            raise ValueError(
                f"the explanation is of the model {photo.model.name!r}, not of "
                f"{self.facts.name!r}; give the explainer that made it"
            )
        return ModelInput.of(photo.photo, self.preprocessing, photo.view)

    def _explanation(self, given: ModelInput, found: dict, seconds: float) -> Explanation:
        return Explanation(
            photo=given.photo, view=given.view, model=self.facts, seconds=seconds, **found
        )

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, dict[str, Gates]]:
        """One pass, and what it leaves: for many photos, where no `Explanation` is wanted.

        Args:
            batch: float32 [N, 3, height, width], tensors of `ModelInput`.

        Returns:
            float32 [N, classes], the logits; the probabilities, likewise; and both gates of every
            block, by its name, from input to output.
        """
        with torch.inference_mode(), recorded(self.serving) as gates:
            logits = self.serving(batch)
            sigmoid = self.facts.activation == "sigmoid"
            return logits, logits.sigmoid() if sigmoid else logits.softmax(1), gates

    def _explained(self, batch: torch.Tensor, top_k: int) -> list[dict]:
        """Predictions, logits and gates for each photo of a batch, by their names."""
        logits, probabilities, gates = self.forward(batch)
        likely = probabilities.topk(min(top_k, len(self.classes)))
        ranked = zip(likely.values.tolist(), likely.indices.tolist(), strict=True)
        arrays = {
            name: (g.channel.flatten(1).numpy(), g.spatial[:, 0].numpy())
            for name, g in gates.items()
        }
        return [
            {
                "predictions": tuple(
                    self._prediction(p, i) for p, i in zip(ps, indices, strict=True)
                ),
                "logits": _own(logits[n].numpy()),
                "blocks": tuple(
                    BlockAttention(name, self._strides[name], _own(channel[n]), _own(spatial[n]))
                    for name, (channel, spatial) in arrays.items()
                ),
            }
            for n, (ps, indices) in enumerate(ranked)
        ]

    def _prediction(self, probability: float, index: int) -> Prediction:
        zh = self.classes_zh[index] if self.classes_zh else None
        return Prediction(self.classes[index], probability, index, zh)


def _check_top_k(top_k: int) -> None:
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")


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
