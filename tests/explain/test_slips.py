"""Six slips of re-implementations: each runs, differs from the right module as it is said to, and
is right again once its lines are mended."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import EXAMPLES, hooks
from torch.nn import functional

from cbam_viz import Explainer
from cbam_viz.explain.anatomy import dissect
from cbam_viz.explain.slips import SLIPS, slip_up, with_slip

BLOCK = "layer3.1"


@pytest.fixture(scope="module")
def explainer():
    return Explainer.from_pretrained()


@pytest.fixture(scope="module")
def explanation(explainer):
    return explainer.explain(EXAMPLES / "table.jpg")


@pytest.fixture(scope="module")
def anatomy(explainer, explanation):
    return dissect(explainer, explanation, BLOCK)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def mended(name: str):
    """The function that the code shown to readers is, with the lines that mend it."""
    slip = SLIPS[name]
    head, *body = slip.code
    right = [line for i, line in enumerate(body) if i not in slip.lines]
    right[slip.lines[0] : slip.lines[0]] = slip.mended
    made = {"torch": torch, "F": functional}
    exec("\n".join([head, *right]), made)
    return made["load" if name == "random-gates" else "forward"]


@pytest.mark.parametrize("name", [name for name in SLIPS if name != "random-gates"])
def test_mended_it_is_the_networks_own_gate(explainer, anatomy, name):
    slip = SLIPS[name]
    module = getattr(explainer.model.blocks()[BLOCK], f"{slip.kind}_attention")
    seen = anatomy.features if slip.kind == "channel" else anatomy.channel_refined
    x = torch.from_numpy(np.array(seen))[None]
    with torch.inference_mode():
        assert torch.allclose(mended(name)(module, x), module(x), atol=1e-6)


def test_loading_strictly_tells_that_weights_are_missing(explainer):
    module = explainer.model.blocks()[BLOCK].spatial_attention
    with pytest.raises(RuntimeError, match=r"Missing key.*conv\.weight"):
        mended("random-gates")(module, {})


@pytest.mark.parametrize("name", SLIPS)
def test_the_right_gate_is_the_networks(explainer, anatomy, name):
    slipped = slip_up(explainer, anatomy, name)
    own = getattr(anatomy, f"{slipped.slip.kind}_gate")
    np.testing.assert_allclose(slipped.right, own, atol=1e-6)
    if slipped.wrong.ndim == 3:
        own = own[:, None, None]
    assert np.abs(slipped.wrong - own).max() > 0.01
    assert slipped.right_measure != slipped.wrong_measure


def test_without_sigmoid_the_logits_come_out(explainer, anatomy):
    wrong = slip_up(explainer, anatomy, "no-sigmoid").wrong
    np.testing.assert_allclose(sigmoid(wrong), anatomy.spatial_gate, atol=1e-6)
    assert wrong.min() < 0


def test_sigmoid_twice_leaves_little_of_the_range(explainer, anatomy):
    slipped = slip_up(explainer, anatomy, "sigmoid-twice")
    np.testing.assert_allclose(slipped.wrong, sigmoid(anatomy.spatial_gate), atol=1e-6)
    assert 0.5 < slipped.wrong_measure[0] < slipped.wrong_measure[1] < 0.7311


def test_the_average_twice_is_twice_its_logits(explainer, anatomy):
    wrong = slip_up(explainer, anatomy, "average-twice").wrong
    np.testing.assert_allclose(wrong, sigmoid(2 * anatomy.logits_average), atol=1e-6)


def test_two_perceptrons_have_twice_the_weights_and_the_second_is_untrained(explainer, anatomy):
    slipped = slip_up(explainer, anatomy, "two-perceptrons")
    assert slipped.wrong_measure[0] == 2 * slipped.right_measure[0]
    own = sum(p.numel() for p in explainer.model.blocks()[BLOCK].channel_attention.parameters())
    assert slipped.right_measure == (own,)


def test_a_window_of_one_makes_a_map_of_each_channels_value(explainer, anatomy):
    slipped = slip_up(explainer, anatomy, "window-of-one")
    channels, rows, columns = anatomy.features.shape
    assert slipped.wrong.shape == (channels, rows, columns)
    assert slipped.wrong_measure == (1, channels, rows, columns)
    assert slipped.right_measure == (1, channels, 1, 1)
    module = explainer.model.blocks()[BLOCK].channel_attention
    cell = torch.from_numpy(anatomy.features[:, 2, 3].copy())[None]
    with torch.inference_mode():  # average and maximum of one value are that value
        expected = (2 * module.mlp(cell)).sigmoid()[0].numpy()
    np.testing.assert_allclose(slipped.wrong[:, 2, 3], expected, atol=1e-5)


def test_random_gates_are_the_same_each_time_and_leave_chance_alone(explainer, anatomy):
    state = torch.get_rng_state()
    first, again = (slip_up(explainer, anatomy, "random-gates").wrong for _ in range(2))
    assert (first == again).all()
    assert (torch.get_rng_state() == state).all()


def test_random_gates_are_the_same_beside_others_that_draw(explainer, anatomy):
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(lambda _: slip_up(explainer, anatomy, "random-gates").wrong, range(64))
        first, *others = made
    assert all((first == other).all() for other in others)


@pytest.mark.parametrize("name", SLIPS)
def test_with_a_slip_in_every_block_and_without_again(explainer, explanation, name):
    kind = SLIPS[name].kind
    with_it = with_slip(explainer, explanation, name)
    assert (with_it.logits != explanation.logits).any()
    first = explanation.blocks[0].name
    slipped = slip_up(explainer, dissect(explainer, explanation, first), name)
    if slipped.wrong.ndim < 3:  # the first block sees what it saw before
        np.testing.assert_allclose(getattr(with_it.blocks[0], kind), slipped.wrong, atol=1e-4)
    assert hooks(explainer.serving) == hooks(explainer.model) == 0
    assert (explainer.explain(explanation.photo).logits == explanation.logits).all()


def test_no_such_slip(explainer, explanation, anatomy):
    with pytest.raises(ValueError, match="no slip 'typo'; there are: no-sigmoid, two-"):
        slip_up(explainer, anatomy, "typo")
    with pytest.raises(ValueError, match="no slip 'typo'"):
        with_slip(explainer, explanation, "typo")


def test_the_code_is_what_runs():
    for name, slip in SLIPS.items():
        assert "functional" not in "".join(slip.code) and ":" not in slip.code[0][:-1], name
        assert len(slip.lines) == len(slip.mended)
        compile("\n".join(slip.code), name, "exec")
