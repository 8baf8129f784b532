"""Inside a block: every part against the plain model, and that nothing is left behind."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import hooks, lively, make_photo

from cbam_viz.explain.anatomy import dissect
from cbam_viz.explain.explainer import Explainer
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import resnet18_cbam, resnet50_cbam

#: A small input: as much arithmetic as the real one, less to wait for.
SMALL = Preprocessing(size=96, crop_resize=110)
PHOTO = make_photo(200, 150)


def explainer_of(make, **options) -> Explainer:
    torch.manual_seed(1)
    return Explainer(lively(make(num_classes=5, **options)), preprocessing=SMALL)


@pytest.fixture(scope="module", params=["authors", "article", "resnet50"])
def explainer(request) -> Explainer:
    """With biases and norm, as the authors have it; with neither; with the other kind of block."""
    if request.param == "resnet50":
        return explainer_of(resnet50_cbam)
    own = request.param == "authors"
    return explainer_of(resnet18_cbam, mlp_bias=own, spatial_norm=own)


@pytest.fixture(scope="module")
def plain() -> Explainer:
    return explainer_of(resnet18_cbam)


def test_every_cell_is_the_sum_of_its_98_products_and_the_norm(explainer):
    explanation = explainer.explain(PHOTO)
    for name in ("layer1.0", "layer2.1", "layer4.1"):
        anatomy = dissect(explainer, explanation, name)
        gate = explanation.block(name).spatial
        assert (anatomy.norm is None) == (name not in _normed(explainer))
        for row, column in np.ndindex(gate.shape):
            cell = anatomy.cell(row, column)
            assert cell.products.shape == (2, 7, 7)
            scale, shift = anatomy.norm or (1, 0)
            logit = sum(cell.products.ravel().tolist()) * scale + shift
            assert logit == pytest.approx(cell.logit, abs=1e-9)
            assert cell.gate == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-9)
            assert cell.gate == pytest.approx(gate[row, column], abs=1e-5)


def _normed(explainer: Explainer) -> set[str]:
    blocks = explainer.model.blocks().items()
    return {n for n, b in blocks if isinstance(b.spatial_attention.norm, torch.nn.BatchNorm2d)}


def test_padding_counts_as_zero(plain):
    anatomy = dissect(plain, PHOTO, "layer4.1")
    products = anatomy.cell(0, 0).products
    assert not products[:, :3].any() and not products[:, :, :3].any()
    assert products[0, 3, 3] == anatomy.kernel[0, 3, 3] * anatomy.max_map[0, 0]
    assert products[1, 3, 3] == anatomy.kernel[1, 3, 3] * anatomy.mean_map[0, 0]


def test_a_channels_way_adds_up_to_its_gate(explainer):
    explanation = explainer.explain(PHOTO)
    for name in ("layer1.0", "layer4.1"):
        anatomy = dissect(explainer, explanation, name)
        gate = explanation.block(name).channel
        for index in range(len(gate)):
            way = anatomy.channel(index)
            terms = [*way.from_average.tolist(), *way.from_maximum.tolist(), way.bias, way.bias]
            assert sum(terms) == pytest.approx(way.logit, abs=1e-9)
            assert way.logit == pytest.approx(anatomy.channel_logits[index], abs=1e-4)
            assert way.gate == pytest.approx(gate[index], abs=1e-5)
            assert way.average == anatomy.average[index]
            assert way.maximum == anatomy.maximum[index]


@torch.inference_mode()
def test_all_parts_are_those_of_the_plain_model(explainer):
    """Computed a second time, block by block, from the model's own modules."""
    explanation = explainer.explain(PHOTO)
    model = explainer.model
    x = explanation.view.input_tensor(explanation.image, explainer.preprocessing)
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    for name, block in model.blocks().items():
        shortcut = block.downsample(x) if block.downsample is not None else x
        f = block.relu(block.bn1(block.conv1(x)))
        if hasattr(block, "conv3"):
            f = block.conv3(block.relu(block.bn2(block.conv2(f))))
        else:
            f = block.conv2(f)
        f = block.last_norm(f)
        x = block(x)
        if not name.endswith(".1"):
            continue
        channel, spatial = block.channel_attention, block.spatial_attention
        average = torch.nn.functional.adaptive_avg_pool2d(f, 1).flatten()
        maximum = torch.nn.functional.adaptive_max_pool2d(f, 1).flatten()
        refined = channel(f) * f
        maps = torch.stack([refined[0].max(0).values, refined[0].mean(0)])
        expected = {
            "features": f[0],
            "shortcut": shortcut[0],
            "average": average,
            "maximum": maximum,
            "hidden_average": channel.fc1(average).relu(),
            "hidden_maximum": channel.fc1(maximum).relu(),
            "logits_average": channel.mlp(average),
            "logits_maximum": channel.mlp(maximum),
            "channel_logits": channel.mlp(average) + channel.mlp(maximum),
            "channel_gate": channel(f).flatten(),
            "channel_refined": refined[0],
            "max_map": maps[0],
            "mean_map": maps[1],
            "kernel": spatial.conv.weight[0],
            "convolution": spatial.conv(maps[None])[0, 0],
            "spatial_logits": spatial.norm(spatial.conv(maps[None]))[0, 0],
            "spatial_gate": spatial(refined)[0, 0],
            "refined": block.attend(f)[0],
            "total": block.attend(f)[0] + shortcut[0],
            "output": x[0],
        }
        anatomy = dissect(explainer, explanation, name)
        assert anatomy.stride == explanation.block(name).stride
        for part, want in expected.items():
            got = getattr(anatomy, part)
            assert got.dtype == np.float32, part
            assert np.allclose(got, want.numpy(), rtol=1e-3, atol=1e-4), (name, part)
        for part in ("features", "refined", "shortcut", "output"):
            assert anatomy.sizes[part] == pytest.approx(expected[part].norm().item(), rel=1e-3)
        assert np.abs(anatomy.channel_gate - explanation.block(name).channel).max() < 1e-5
        assert np.abs(anatomy.spatial_gate - explanation.block(name).spatial).max() < 1e-5


def test_reach_is_bounded_by_shut_and_open_gates(plain):
    """Whatever the gates are, the output stays within the part that is said to be reachable."""
    anatomy = dissect(plain, PHOTO, "layer2.0")
    features, shortcut = anatomy.features, anatomy.shortcut
    shut, opened = np.maximum(shortcut, 0), np.maximum(features + shortcut, 0)
    low, high = np.minimum(shut, opened), np.maximum(shut, opened)
    draw = np.random.default_rng(0)
    for _ in range(3):
        gates = draw.uniform(size=(len(features), 1, 1)) * draw.uniform(size=features.shape[1:])
        out = np.maximum(gates * features + shortcut, 0)
        assert (out > low - 1e-5).all() and (out < high + 1e-5).all()
    assert anatomy.reach == pytest.approx(1 - low.sum() / high.sum(), abs=1e-4)
    assert 0 < anatomy.reach < 1


def test_what_is_asked_for_must_exist(plain):
    with pytest.raises(ValueError, match="no block 'layer9.0'; this model has: layer1.0"):
        dissect(plain, PHOTO, "layer9.0")
    with pytest.raises(ValueError, match="no view 'half'"):
        dissect(plain, PHOTO, "layer1.0", view="half")
    anatomy = dissect(plain, PHOTO, "layer4.1")
    with pytest.raises(IndexError, match="3 rows and 4 columns"):
        anatomy.cell(3, 0)
    with pytest.raises(IndexError, match="no channel 512"):
        anatomy.channel(512)
    other = Explainer(plain.model, preprocessing=SMALL, name="other")
    with pytest.raises(ValueError, match="is of the model 'other', not of 'model'"):
        dissect(plain, other.explain(PHOTO), "layer4.1")


def test_a_view_is_kept(plain):
    cropped = plain.explain(PHOTO, view="crop")
    for anatomy in (
        dissect(plain, cropped, "layer4.1"),
        dissect(plain, PHOTO, "layer4.1", view="crop"),
    ):
        assert np.allclose(anatomy.spatial_gate, cropped.block("layer4.1").spatial, atol=1e-5)


def test_nothing_is_left_behind_and_nothing_can_be_changed(plain):
    anatomy = dissect(plain, PHOTO, "layer1.1")
    assert hooks(plain.serving) == hooks(plain.model) == 0
    for part in ("features", "kernel", "out_weight", "spatial_gate"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(anatomy, part)[...] = 0


def test_no_hook_stays_after_an_error(plain, monkeypatch):
    def fail(x):
        raise RuntimeError("on purpose")

    monkeypatch.setattr(plain.serving.layer4[1], "attend", fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        dissect(plain, PHOTO, "layer1.1")
    assert hooks(plain.serving) == 0


def test_a_plain_explanation_records_the_gates_and_nothing_more(plain, monkeypatch):
    seen = []
    forward = type(plain.serving).forward

    def count(model, x):
        seen.append(hooks(model))
        return forward(model, x)

    monkeypatch.setattr(type(plain.serving), "forward", count)
    explanation = plain.explain(PHOTO)
    dissect(plain, explanation, "layer2.0")
    plain.explain(PHOTO)
    # Two gates a block; then a block's input and its features, in one pass; then as before.
    assert seen == [16, 2, 16]


def test_threads_get_each_their_own(plain):
    photos = [make_photo(96 + 32 * (i % 4), 96, seed=i) for i in range(12)]
    names = list(plain.model.blocks())
    jobs = [(photo, names[i % len(names)]) for i, photo in enumerate(photos)]

    def work(job):
        photo, name = job
        return dissect(plain, photo, name), plain.explain(photo).block(name)

    expected = [work(job) for job in jobs]
    with ThreadPoolExecutor(12) as pool:
        for (anatomy, block), (want, gates) in zip(pool.map(work, jobs), expected, strict=True):
            assert anatomy.name == want.name
            assert np.allclose(anatomy.features, want.features, atol=1e-4)
            assert np.allclose(anatomy.shortcut, want.shortcut, atol=1e-4)
            assert np.allclose(block.spatial, gates.spatial, atol=1e-5)
            assert np.allclose(anatomy.spatial_gate, gates.spatial, atol=1e-5)
    assert hooks(plain.serving) == 0
