"""Class maps, against their equations written out."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import EXAMPLES, hooks, make_photo

from cbam_viz import Explainer
from cbam_viz.explain.class_maps import (
    METHODS,
    class_index,
    class_map,
    class_maps,
    forwards,
    occlusion,
)
from cbam_viz.explain.view import ModelInput
from cbam_viz.models.preprocessing import Preprocessing
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


def written_out(model, inputs: torch.Tensor, block: str, index: int, method: str) -> np.ndarray:
    """A map by its equation: the network cut in two behind the block."""
    x = model.maxpool(model.relu(model.bn1(model.conv1(inputs))))
    features = None
    for name, module in model.blocks().items():
        x = module(x)
        if name == block:
            features = x = x.detach().requires_grad_()
    score = model.fc(x.mean((2, 3)))[:, index].sum()
    score.backward(inputs=[features])
    if method == "eigen-cam":
        found = []
        for one in features.detach().numpy():
            cells = one.reshape(len(one), -1).T  # [cells, channels], the article's A
            first = np.linalg.svd(cells, full_matrices=False)[2][0]
            found.append(np.abs(cells @ first).reshape(one.shape[1:]))
        return np.stack(found)
    gradient = features.grad
    weights = gradient.mean((2, 3), keepdim=True) if method == "grad-cam" else gradient.relu()
    return (weights * features).sum(1).relu().detach().numpy()


def last_map(explainer, photo=COFFEE, block="layer4.1", index=None) -> np.ndarray:
    """Of one photo, on the cells."""
    inputs = ModelInput.of(photo, explainer.preprocessing).tensor
    return class_maps(explainer.model, inputs, [block], None if index is None else [index])[1][
        block
    ][0]


@pytest.mark.parametrize("method", ["grad-cam", "layer-cam", "eigen-cam"])
def test_each_is_what_its_equation_says(explainer, method):
    inputs, names = inputs_of(explainer, 2), list(explainer.model.blocks())
    for index in (0, 5):
        indices, maps = class_maps(explainer.model, inputs, names, [index, index], method)
        assert indices == [index, index]
        assert list(maps) == names
        for name in names:
            expected = written_out(explainer.model, inputs, name, index, method)
            assert np.allclose(maps[name], expected, rtol=1e-3, atol=1e-4 * expected.max()), name
            assert maps[name].min() >= 0
            assert maps[name].dtype == np.float32
    assert hooks(explainer.model) == 0


def test_a_class_counts_for_all_but_eigen_cam(explainer):
    inputs = inputs_of(explainer, 7)
    for method in ("grad-cam", "layer-cam", "eigen-cam"):
        same = inputs[:1].expand_as(inputs)
        _, maps = class_maps(explainer.model, same, ["layer2.0"], range(7), method)
        first, *others = maps["layer2.0"]
        alike = [np.allclose(first, other, rtol=1e-3, atol=1e-4 * first.max()) for other in others]
        assert all(alike) == (method == "eigen-cam")


def test_occlusion_is_the_mean_fall_over_the_patches_that_cover_a_pixel(explainer):
    inputs = inputs_of(explainer, 1)[..., :112]  # the last patch of a row is cut off
    found, passed = occlusion(explainer.serving, inputs, 3)
    falls, covered = np.zeros((96, 112)), np.zeros((96, 112))
    with torch.inference_mode():
        whole = explainer.serving(inputs)[0, 3].item()
        for top in (0, 32):
            for left in (0, 32, 64):
                changed = inputs.clone()
                changed[..., top : top + 64, left : left + 64] = 0
                place = slice(top, top + 64), slice(left, left + 64)
                falls[place] += whole - explainer.serving(changed)[0, 3].item()
                covered[place] += 1
    expected = np.maximum(falls / covered, 0)[::4, ::4]
    assert expected.max() > 0
    assert np.allclose(found, expected, atol=1e-3 * expected.max())
    assert passed == 7


@pytest.mark.parametrize("size", [(96, 96), (150, 96), (96, 300), (90, 500), (400, 96)])
def test_the_cost_is_known_before(explainer, size):
    photo = make_photo(*size)
    seen = explainer.input(photo)
    _, passed = occlusion(explainer.serving, seen.tensor, 0)
    assert forwards("occlusion", seen.view) == passed
    assert {forwards(m, seen.view) for m in METHODS if m != "occlusion"} == {1}


def test_a_map_of_a_photo(explainer):
    """By name or by index, of a photo or of an explanation, on the photo as a gate is."""
    photo = make_photo(150, 100)
    explanation = explainer.explain(photo)
    found = class_map(explainer, photo, "Class 2 ", block="layer3.0")
    seen = explainer.input(photo)
    _, maps = class_maps(explainer.model, seen.tensor, ["layer3.0"], [2])
    assert np.array_equal(found.values, maps["layer3.0"][0])
    assert (found.index, found.label, found.block, found.stride) == (2, "class 2", "layer3.0", 16)
    assert found.logit == pytest.approx(explainer.serving(seen.tensor)[0, 2].item(), abs=1e-5)
    assert np.array_equal(
        found.values, class_map(explainer, explanation, 2, block="layer3.0").values
    )
    on_photo = explanation.view.on_photo(found.values, 16)
    assert np.array_equal(found.on_image(), on_photo)
    assert found.on_image().shape == explanation.spatial_on_image("layer3.0").shape
    assert found.relative.max() == pytest.approx(1)
    assert np.allclose(found.relative * found.values.max(), found.values)
    predicted = class_map(explainer, photo, method="occlusion")
    assert predicted.index == explanation.predictions[0].index
    assert predicted.block is None
    assert predicted.on_image().shape == (100, 150)
    with pytest.raises(ValueError, match="read-only"):
        found.values[0, 0] = 1


def test_an_occlusion_map_lies_where_the_patch_was():
    """A network that only sees the brightness of one place, as an explainer would be used."""
    inputs = torch.ones(1, 3, 224, 320)

    def forward(batch: torch.Tensor) -> torch.Tensor:
        return batch[:, :, 96:128, 192:224].mean((1, 2, 3))[:, None]

    values, _ = occlusion(forward, inputs, 0)
    rows, columns = np.nonzero(values == values.max())
    assert (rows.min() * 4, rows.max() * 4) == (96, 124)
    assert (columns.min() * 4, columns.max() * 4) == (192, 220)


def test_a_map_of_zeros_stays_one():
    explainer = Explainer(resnet18_cbam(num_classes=3), preprocessing=Preprocessing(size=64))
    torch.nn.init.zeros_(explainer.model.fc.weight)
    found = class_map(explainer, make_photo(64, 64), 1)
    assert not found.values.any() and not found.relative.any()


def test_a_model_of_one_class():
    explainer = Explainer(resnet18_cbam(num_classes=1), preprocessing=Preprocessing(size=64))
    for method in METHODS:
        assert class_map(explainer, make_photo(64, 64), method=method).index == 0


def test_classes_are_found_by_name():
    explainer = Explainer(
        resnet18_cbam(num_classes=4),
        ["crane", "tabby cat", "crane", "tiger cat"],
    )
    explainer.classes_zh = ("鹤", "虎斑猫", "起重机", "虎猫")
    assert class_index(explainer, "TABBY cat") == class_index(explainer, 1) == 1
    assert class_index(explainer, "起重机") == 2
    for target, words in [
        ("crane", r"several .*\{0, 2\}"),
        ("cat", "tabby cat, tiger cat"),
        ("taby cat", "tabby cat"),
        ("", "classes"),
        (4, "0 to 3"),
        (-1, "0 to 3"),
    ]:
        with pytest.raises(ValueError, match=words):
            class_index(explainer, target)


def test_each_input_has_its_class(explainer):
    inputs = inputs_of(explainer, 2)
    _, both = class_maps(explainer.model, inputs, ["layer3.1"], [2, 6])
    for i, index in enumerate((2, 6)):
        _, alone = class_maps(explainer.model, inputs[i : i + 1], ["layer3.1"], [index])
        assert np.allclose(both["layer3.1"][i], alone["layer3.1"][0], rtol=1e-3, atol=1e-7)


def test_it_lies_on_the_cells_of_the_gates(explainer):
    explanation = explainer.explain(COFFEE, top_k=7)
    inputs = ModelInput.of(COFFEE, explainer.preprocessing).tensor
    names = [b.name for b in explanation.blocks]
    indices, maps = class_maps(explainer.model, inputs, names)
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
        class_maps(explainer.model, torch.zeros(1, 5, 96, 96), ["layer4.1"])
    assert hooks(explainer.model) == 0


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_switched_off_around_it(explainer, mode):
    expected = last_map(explainer)
    with mode():
        assert np.array_equal(last_map(explainer), expected)
        assert class_maps(explainer.model, inputs_of(explainer, 1), ["layer1.0"])[1][
            "layer1.0"
        ].any()


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
    ("blocks", "indices", "method", "words"),
    [
        (["layer9.0"], None, "grad-cam", "layer4.1"),
        ([], [7], "grad-cam", "0 to 6"),
        ([], [-1], "grad-cam", "0 to 6"),
        (["layer4.1"], None, "occlusion", "grad-cam, layer-cam, eigen-cam"),
    ],
)
def test_what_there_is_not(explainer, blocks, indices, method, words):
    with pytest.raises(ValueError, match=words):
        class_maps(explainer.model, inputs_of(explainer, 1), blocks, indices, method)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": 7}, "0 to 6"),
        ({"method": "cam"}, "occlusion"),
        ({"block": "layer5.0"}, "layer4.1"),
        ({"view": "half"}, "crop"),
    ],
)
def test_what_there_is_not_of_a_photo(explainer, options, words):
    with pytest.raises(ValueError, match=words):
        class_map(explainer, COFFEE, **options)


def test_an_explanation_of_another_model(explainer):
    other = Explainer(resnet18_cbam(num_classes=7), name="other", preprocessing=Preprocessing(96))
    with pytest.raises(ValueError, match="other"):
        class_map(explainer, other.explain(COFFEE))
