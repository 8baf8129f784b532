"""Grad-CAM, against its equations written out."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import EXAMPLES, hooks, make_photo

from cbam_viz import Explainer
from cbam_viz.explain.grad_cam import grad_cam
from cbam_viz.explain.view import ModelInput
from cbam_viz.models.checkpoints import Preprocessing
from cbam_viz.models.resnet import ResNetCBAM, resnet18_cbam

COFFEE = EXAMPLES / "coffee.jpg"


@pytest.fixture(scope="module", params=["basic", "bottleneck"])
def explainer(request):
    torch.manual_seed(0)
    model = ResNetCBAM(request.param, [2, 1, 2, 2], num_classes=7)
    for block in model.blocks().values():  # gates that are not constant
        torch.nn.init.ones_(block.spatial_attention.norm.weight)
    return Explainer(model, preprocessing=Preprocessing(size=96, crop_resize=110))


def inputs_of(explainer, count: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, 96, 128, generator=draw)


def by_autograd(model, inputs: torch.Tensor, block: str, index: int) -> np.ndarray:
    """Grad-CAM written out: the network cut in two behind the block."""
    x = model.maxpool(model.relu(model.bn1(model.conv1(inputs))))
    features = None
    for name, module in model.blocks().items():
        x = module(x)
        if name == block:
            features = x = x.detach().requires_grad_()
    score = model.fc(x.mean((2, 3)))[:, index].sum()
    score.backward(inputs=[features])
    weights = features.grad.mean((2, 3), keepdim=True)
    return (weights * features).sum(1).relu().detach().numpy()


def last_map(explainer, photo=COFFEE, block="layer4.1", index=None) -> np.ndarray:
    """Of one photo, on the cells."""
    inputs = ModelInput.of(photo, explainer.preprocessing).tensor
    return grad_cam(explainer.model, inputs, [block], None if index is None else [index])[1][block][
        0
    ]


def test_it_is_grad_cam(explainer):
    inputs, names = inputs_of(explainer, 2), list(explainer.model.blocks())
    for index in (0, 5):
        indices, maps = grad_cam(explainer.model, inputs, names, [index, index])
        assert indices == [index, index]
        assert list(maps) == names
        for name in names:
            expected = by_autograd(explainer.model, inputs, name, index)
            assert np.allclose(maps[name], expected, rtol=1e-3, atol=1e-5 * expected.max()), name
            assert maps[name].min() >= 0


def test_each_input_has_its_class(explainer):
    inputs = inputs_of(explainer, 2)
    _, both = grad_cam(explainer.model, inputs, ["layer3.1"], [2, 6])
    for i, index in enumerate((2, 6)):
        _, alone = grad_cam(explainer.model, inputs[i : i + 1], ["layer3.1"], [index])
        assert np.allclose(both["layer3.1"][i], alone["layer3.1"][0], rtol=1e-3, atol=1e-7)


def test_it_lies_on_the_cells_of_the_gates(explainer):
    explanation = explainer.explain(COFFEE, top_k=7)
    inputs = ModelInput.of(COFFEE, explainer.preprocessing).tensor
    names = [b.name for b in explanation.blocks]
    indices, maps = grad_cam(explainer.model, inputs, names)
    assert indices == [explanation.predictions[0].index]
    for block in explanation.blocks:
        assert maps[block.name].shape == (1, *block.spatial.shape)
        assert maps[block.name].dtype == np.float32


def test_the_model_is_left_as_it_was(explainer):
    before = {k: v.clone() for k, v in explainer.model.state_dict().items()}
    last_map(explainer)
    assert hooks(explainer.model) == hooks(explainer.serving) == 0
    assert not explainer.model.training
    assert all(p.grad is None for p in explainer.model.parameters())
    assert all(torch.equal(v, before[k]) for k, v in explainer.model.state_dict().items())


def test_no_hook_stays_after_an_error(explainer):
    with pytest.raises(RuntimeError):
        grad_cam(explainer.model, torch.zeros(1, 5, 96, 96), ["layer4.1"])
    assert hooks(explainer.model) == 0


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_switched_off_around_it(explainer, mode):
    expected = last_map(explainer)
    with mode():
        assert np.array_equal(last_map(explainer), expected)
        assert grad_cam(explainer.model, inputs_of(explainer, 1), ["layer1.0"])[1]["layer1.0"].any()


def test_weights_without_gradients_will_do(explainer):
    expected = last_map(explainer)
    explainer.model.requires_grad_(False)
    try:
        assert np.allclose(last_map(explainer), expected, atol=1e-6)
    finally:
        explainer.model.requires_grad_(True)


def test_many_threads_get_each_their_own():
    explainer = Explainer(resnet18_cbam(num_classes=7), preprocessing=Preprocessing(size=64))
    photos = [make_photo(64 + 8 * (i % 3), 64, seed=i) for i in range(24)]
    blocks = [f"layer{1 + i % 4}.{i % 2}" for i in range(24)]

    def work(i: int) -> np.ndarray:
        explainer.explain(photos[-i])
        return last_map(explainer, photos[i], blocks[i], i % 7)

    expected = [work(i) for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        for found, want in zip(pool.map(work, range(24)), expected, strict=True):
            assert np.allclose(found, want, rtol=1e-3, atol=1e-6)
    assert hooks(explainer.model) == hooks(explainer.serving) == 0


@pytest.mark.parametrize(
    ("blocks", "indices", "words"),
    [(["layer9.0"], None, "layer4.1"), ([], [7], "0 to 6"), ([], [-1], "0 to 6")],
)
def test_what_there_is_not(explainer, blocks, indices, words):
    with pytest.raises(ValueError, match=words):
        grad_cam(explainer.model, inputs_of(explainer, 1), blocks, indices)
