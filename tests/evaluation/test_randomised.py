"""Weights drawn anew: what changes when, and that the model is left as it was."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import hooks, lively, make_photo

from cbam_viz.evaluation.randomised import STAGES, _cascade, randomise
from cbam_viz.explain.class_maps import class_map
from cbam_viz.explain.explainer import Explainer
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import ResNetCBAM, resnet18_cbam

PHOTO = make_photo(120, 90)


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    torch.manual_seed(1)
    model = lively(ResNetCBAM("basic", [1, 1, 1, 2], num_classes=5))
    return Explainer(model, preprocessing=Preprocessing(size=96, crop_resize=110))


def test_each_stage_is_drawn_as_the_constructor_draws_it(explainer):
    """From the top, one more at a time; norms as they begin, weights of the same spread."""
    torch.manual_seed(2)
    fresh = ResNetCBAM("basic", [1, 1, 1, 2], num_classes=5).state_dict()
    loaded = explainer.model.state_dict()
    models = _cascade(explainer.model, torch.Generator().manual_seed(0))
    assert next(models) is explainer.model
    for k, model in enumerate(models):
        done, left = STAGES[: k + 1], STAGES[k + 1 :]
        for name, tensor in model.state_dict().items():
            part = name.partition(".")[0]
            stage = "stem" if part in ("conv1", "bn1") else part
            assert (stage in done) != (stage in left)
            same = torch.equal(tensor, loaded[name])
            if stage in left:
                assert same, name
            elif "bn" in name or "norm" in name or "downsample.1" in name:
                assert torch.equal(tensor, fresh[name]), name
            else:
                assert not same, name
                if tensor.numel() > 500:
                    assert tensor.std().item() == pytest.approx(
                        fresh[name].std().item(), rel=0.1
                    ), name
                    assert tensor.abs().max() < 2 * fresh[name].abs().max(), name
    assert done == STAGES


def test_a_gate_knows_nothing_of_the_stages_behind_it(explainer):
    found = randomise(explainer, PHOTO)
    explanation = explainer.explain(PHOTO)
    for block in explanation.blocks:
        maps = found.gates[block.name]
        assert maps.shape == (7, *block.spatial.shape)
        assert np.allclose(maps[0], block.spatial, atol=1e-4)
        own = 1 + STAGES.index(f"layer{block.stage}")
        assert all(np.array_equal(maps[0], maps[k]) for k in range(own))
        assert not any(np.allclose(maps[0], maps[k], atol=1e-3) for k in range(own, 7))
        correlations = found.correlations(block.name)
        assert correlations[: own - 1] == pytest.approx([1] * (own - 1))
        assert all(c < 0.999 for c in correlations[own - 1 :])


def test_grad_cam_is_of_one_class_all_the_way(explainer):
    found = randomise(explainer, PHOTO, "class 3")
    assert found.index == 3
    expected = class_map(explainer, PHOTO, 3, block="layer4.0").values
    assert np.allclose(found.grad_cams["layer4.0"][0], expected, rtol=1e-4)
    # Another classifier is enough to change it.
    assert not np.allclose(*found.grad_cams["layer4.0"][:2], rtol=1e-2)
    assert randomise(explainer, PHOTO).index == explainer.explain(PHOTO).predictions[0].index


def test_the_draw_is_the_seeds_alone_and_the_model_is_left_as_it_was(explainer):
    before = {k: v.clone() for k, v in explainer.model.state_dict().items()}
    state = torch.random.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: randomise(explainer, PHOTO, seed=seed), [0, 1, 0, 1]))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in explainer.model.state_dict().items())
    assert hooks(explainer.model) == 0
    first, second, *again = [f.gates["layer4.1"] for f in found]
    assert np.array_equal(first, again[0]) and np.array_equal(second, again[1])
    assert not np.allclose(first[-1], second[-1], atol=1e-3)


def test_a_map_of_one_value_has_no_order():
    """An untrained spatial gate of zeros is one half everywhere, whatever is drawn elsewhere."""
    model = resnet18_cbam(num_classes=2)
    model.neutralise_gates()
    found = randomise(Explainer(model, preprocessing=Preprocessing(size=64)), PHOTO)
    assert found.correlations("layer4.1") == [None] * 6


def test_what_there_is_not(explainer):
    found = randomise(explainer, PHOTO)
    with pytest.raises(ValueError, match="layer4.1"):
        found.correlations("layer4.7")
    with pytest.raises(ValueError, match="grad_cams"):
        found.correlations("layer4.1", "cams")
    with pytest.raises(ValueError, match="0 to 4"):
        randomise(explainer, PHOTO, 5)
