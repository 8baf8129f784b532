"""What tests of several rooms need: places, networks that are not still, explanations of known
gates."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch import nn

from cbam_viz.explain.explainer import Explainer
from cbam_viz.explain.explanation import BlockAttention, Explanation, ModelFacts, Prediction
from cbam_viz.explain.photo import Photo
from cbam_viz.explain.view import View
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import ResNetCBAM
from cbam_viz.render.overlay import DEFAULT, Look, overlay, resized

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "assets" / "examples"
#: Photos that are not part of the repository; tests that need them are skipped without.
SHARED = ROOT.parent / "shared" / "data"

#: Blocks in each stage.
LAYERS = {
    8: (2, 2, 2, 2),
    16: (3, 4, 6, 3),
    33: (3, 4, 23, 3),
    50: (3, 8, 36, 3),
}


def at_rest(page, ms: int) -> None:
    """Back when what a page has put off for less time is done, however slow the machine is."""
    page.evaluate("ms => new Promise((done) => setTimeout(done, ms))", ms)


def make_photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise: no two neighbours alike, so that a shift by one px shows."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def make_explanation(
    photo: Image.Image | tuple[int, int] = (320, 240),
    blocks: int = 8,
    spatial: Mapping[str, np.ndarray] | None = None,
    view: str = "whole",
    untrained: str | None = None,
    labels: tuple[str, ...] = ("tabby cat", "sundial"),
    width: int = 64,
    seed: int = 0,
) -> Explanation:
    """An explanation with drawn gates.

    Args:
        photo: an RGB image, or the (width, height) of one to be made up.
        blocks: 8, 16, 33 or 50 of them.
        spatial: maps to use in place of drawn ones, by block name.
        view: "whole" or "crop".
        untrained: as `ModelFacts.untrained`.
        labels: of the predictions.
        width: channels in the first stage; each stage doubles them.
        seed: of the draws.
    """
    if isinstance(photo, tuple):
        photo = make_photo(*photo)
    draw = np.random.default_rng(seed)
    seen = getattr(View, view)(photo.size, Preprocessing())
    attention = []
    for stage, count in enumerate(LAYERS[blocks]):
        stride = 4 << stage
        shape = tuple(-(-side // stride) for side in reversed(seen.size))
        for i in range(count):
            name = f"layer{stage + 1}.{i}"
            channel = draw.uniform(0.01, 0.99, width << stage).astype(np.float32)
            drawn = draw.uniform(0.01, 0.99, shape).astype(np.float32)
            gate = (spatial or {}).get(name, drawn)
            attention.append(BlockAttention(name, stride, channel, gate))
    predictions = tuple(Prediction(label, 0.5 ** (i + 1), 10 * i) for i, label in enumerate(labels))
    return Explanation(
        photo=Photo(photo),
        predictions=predictions,
        logits=np.log([p.probability for p in predictions], dtype=np.float32),
        blocks=tuple(attention),
        view=seen,
        model=ModelFacts("made-up", "0" * 64, untrained),
        seconds=0.25,
    )


def overlay_of(
    explanation: Explanation, name: str, look: Look = DEFAULT, size: tuple[int, int] | None = None
) -> Image.Image:
    """A block's map over the photo, or over the photo in another size."""
    photo, block = explanation.image, explanation.block(name)
    if size:
        photo = resized(photo, size)
    untrained = explanation.model.untrained is not None
    return overlay(photo, block.spatial, block.stride, explanation.view, look, untrained)


def lively(model: ResNetCBAM) -> ResNetCBAM:
    """Random statistics and scales, so that a norm that is left out shows."""
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.2)
            m.running_var.uniform_(0.5, 2)
            m.weight.data.uniform_(0.5, 1.5)
            m.bias.data.normal_(0, 0.2)
    return model.eval()


def hooks(model: nn.Module) -> int:
    """How many hang on a model."""
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
        for m in model.modules()
    )


def pixels(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image).astype(np.int64)


def as_trained(model: nn.Module, seed: int = 0) -> nn.Module:
    """The same for any depth: small scales keep what a deep network computes in range."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.2, 0.6, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.running_mean.normal_(0, 0.3, generator=generator)
    return model.eval()


def folded(plain: nn.Module) -> dict[str, np.ndarray]:
    """A plain ResNet's arrays with each norm folded into the convolution before it."""
    arrays, modules = {}, dict(plain.named_modules())
    for name, conv in modules.items():
        if isinstance(conv, nn.Conv2d):
            if name.endswith("downsample.0"):
                norm = modules[name[:-1] + "1"]
            else:
                norm = modules[name.replace("conv", "bn")]
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            arrays[f"{name}.weight"] = (conv.weight * scale[:, None, None, None]).detach().numpy()
            arrays[f"{name}.bias"] = (norm.bias - norm.running_mean * scale).detach().numpy()
    return arrays | {f"fc.{k}": v.detach().numpy() for k, v in plain.fc.named_parameters()}


def visit_of(explainer: Explainer, explanation: Explanation):
    """A visit to the page whose model is at hand."""
    from cbam_viz.ui.visit import Visit  # with it comes all of Gradio

    return Visit(SimpleNamespace(get=lambda _: explainer), explainer.facts.name, explanation)
