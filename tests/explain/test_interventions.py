"""Gates set by hand: that they are what is multiplied with, and that nothing of it stays."""

import copy
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch
from helpers import EXAMPLES, as_trained, hooks
from torch import nn

from cbam_viz import Explainer
from cbam_viz.explain.interventions import (
    WORDS,
    gate_effects,
    gate_names,
    what_if,
)
from cbam_viz.explain.view import ModelInput
from cbam_viz.models.checkpoints import Preprocessing
from cbam_viz.models.resnet import ResNetCBAM, resnet18_cbam, resnet50_cbam

COFFEE, BARN = EXAMPLES / "coffee.jpg", EXAMPLES / "barn.jpg"
SMALL = Preprocessing(size=96, crop_resize=110)


def explainer_of(make=resnet18_cbam, **options) -> Explainer:
    torch.manual_seed(1)
    return Explainer(as_trained(make(num_classes=7, **options)), preprocessing=SMALL)


@pytest.fixture(scope="module")
def explainer():
    return explainer_of()


@pytest.fixture(scope="module")
def plain(explainer):
    return explainer.explain(COFFEE, top_k=7)


def gate_of(explanation, name: str) -> np.ndarray:
    block, _, kind = name.rpartition(".")
    return getattr(explanation.block(block), kind)


class Constant(nn.Module):
    """A gate of given values, as a network would have it whose module returns nothing else."""

    def __init__(self, values: torch.Tensor):
        super().__init__()
        self.values = values

    def forward(self, x):
        return self.values


@pytest.mark.parametrize("name", ["layer1.0.channel", "layer2.1.spatial", "layer4.1.spatial"])
@pytest.mark.parametrize(
    "setting, expected",
    [
        ("open", lambda g: np.ones_like(g)),
        ("shut", lambda g: np.zeros_like(g)),
        ("half", lambda g: np.full_like(g, 0.5)),
        ("mean", lambda g: np.full_like(g, g.mean())),
        ("inverted", lambda g: 1 - g),
        (0.25, lambda g: g / 4),
        (3, lambda g: np.minimum(3 * g, 1)),
    ],
    ids=str,
)
def test_a_gate_is_what_it_is_set_to_and_the_network_uses_it(
    explainer, plain, name, setting, expected
):
    """The same network with another module in the gate's place says the same."""
    found = explainer.explain(COFFEE, top_k=7, gates={name: setting})
    wanted = expected(gate_of(plain, name))
    assert np.allclose(gate_of(found, name), wanted, atol=1e-6)
    model = copy.deepcopy(explainer.model)
    block, _, kind = name.rpartition(".")
    values = torch.from_numpy(wanted.copy())
    values = values[None, :, None, None] if kind == "channel" else values[None, None]
    setattr(model.blocks()[block], f"{kind}_attention", Constant(values))
    with torch.inference_mode():
        logits = model(ModelInput.of(COFFEE, SMALL).tensor)[0].numpy()
    assert np.allclose(found.logits, logits, atol=1e-4, rtol=1e-4)
    assert not np.allclose(found.logits, plain.logits, atol=1e-6)
    # What lies before it is as it was.
    names = gate_names(explainer.model)
    for earlier in names[: names.index(name)]:
        assert np.array_equal(gate_of(found, earlier), gate_of(plain, earlier))


def test_shuffled_values_are_the_same_ones_elsewhere(explainer, plain):
    found = explainer.explain(COFFEE, gates={"layer1.1.spatial": "shuffled"})
    before, after = (gate_of(e, "layer1.1.spatial") for e in (plain, found))
    assert not np.array_equal(before, after)
    assert np.array_equal(np.sort(before, axis=None), np.sort(after, axis=None))
    again = explainer.explain(COFFEE, gates={"layer1.1.spatial": "shuffled"})
    assert np.array_equal(gate_of(again, "layer1.1.spatial"), after)


def test_arrays_are_taken_as_they_are(explainer, plain):
    draw = np.random.default_rng(0)
    vector = draw.uniform(size=512)
    cells = draw.uniform(size=gate_of(plain, "layer2.0.spatial").shape)
    gates = {"layer4.0.channel": vector.tolist(), "layer2.0.spatial": torch.from_numpy(cells)}
    found = explainer.explain(COFFEE, gates=gates)
    assert np.allclose(gate_of(found, "layer4.0.channel"), vector)
    assert np.allclose(gate_of(found, "layer2.0.spatial"), cells)


def test_what_is_painted_on_the_photo_lies_where_it_was_painted(explainer):
    """Painted white where a cell is drawn, it is that cell's gate and no other's."""
    view = explainer.explain(COFFEE).view
    cells = np.zeros(view.cells(16), np.float32)
    cells[2, 5] = cells[0, 0] = cells[-1, -1] = 1
    painted = view.on_photo(cells, 16, smooth=False)
    found = explainer.explain(COFFEE, gates={"layer3.0.spatial": painted})
    # A px on the edge of two cells belongs to both.
    assert np.abs(gate_of(found, "layer3.0.spatial") - cells).max() < 0.1
    half = explainer.explain(COFFEE, gates={"layer3.0.spatial": np.full((400, 600), 0.5)})
    assert np.allclose(gate_of(half, "layer3.0.spatial"), 0.5)


def test_another_photos_gate(explainer):
    other = explainer.explain(BARN)
    assert other.view.size != explainer.explain(COFFEE).view.size
    names = "layer3.1.spatial", "layer3.1.channel"
    found = explainer.explain(COFFEE, gates=dict.fromkeys(names, other))
    assert np.array_equal(gate_of(found, names[1]), gate_of(other, names[1]))
    mine, theirs = gate_of(found, names[0]), gate_of(other, names[0])
    assert mine.shape != theirs.shape
    corners = np.ix_((0, -1), (0, -1))
    assert np.allclose(mine[corners], theirs[corners], atol=1e-6)
    same = explainer.explain(BARN, gates=dict.fromkeys(names, other))
    assert np.array_equal(same.logits, other.logits)


@pytest.mark.parametrize(
    "gates, words",
    [
        ({"layer9.0.spatial": "open"}, "no gate 'layer9.0.spatial'; this model has: layer1.0.ch"),
        ({"layer1.0": "open"}, "no gate 'layer1.0'"),
        ({7: "open"}, "no gate 7"),
        (["layer1.0.spatial"], "must map gates' names"),
        ({"layer1.0.spatial": "ajar"}, "'ajar'; the words are: open, shut"),
        ({"layer1.0.spatial": -0.5}, "0 or more, not by -0.5"),
        ({"layer1.0.spatial": float("nan")}, "not by nan"),
        ({"layer1.0.spatial": float("inf")}, "not by inf"),
        ({"layer1.0.spatial": True}, "cannot be set to True"),
        ({"layer1.0.spatial": None}, "cannot be set to None; expected is a word"),
        ({"layer1.0.spatial": [[1, 2], [3]]}, "cannot be set to"),
        ({"layer1.0.spatial": {"a": 1}}, "cannot be set to"),
        ({"layer4.0.channel": np.full(512, np.nan)}, "512 of the 512 given do not: nan"),
        ({"layer4.0.channel": np.full(512, 1.5)}, "lie in 0..1"),
        ({"layer4.0.channel": np.ones(64)}, r"got values \[64\]; expected are \[512\]"),
        ({"layer4.0.channel": np.ones((2, 512))}, r"got values \[2, 512\]"),
        ({"layer4.0.channel": []}, r"got values \[0\]"),
        ({"layer4.0.spatial": np.ones((5, 5))}, r"are \[3, 5\].* or \[400, 600\], one for each px"),
        # Painted on a photo that lay the other way.
        ({"layer4.0.spatial": np.ones((600, 400))}, r"got values \[600, 400\]"),
    ],
)
def test_what_a_gate_cannot_be_set_to(explainer, gates, words):
    with pytest.raises(ValueError, match=words):
        explainer.explain(COFFEE, gates=gates)
    assert hooks(explainer.serving) == 0


def test_an_explanation_of_a_network_without_that_block(explainer):
    other = explainer_of(resnet50_cbam).explain(COFFEE)
    with pytest.raises(ValueError, match=r"got values \[2048\]; expected are \[512\]"):
        explainer.explain(COFFEE, gates={"layer4.1.channel": other})


def test_nothing_stays(explainer, plain):
    explainer.explain(COFFEE, gates=dict.fromkeys(gate_names(explainer.model), "shut"))
    assert hooks(explainer.serving) == 0
    again = explainer.explain(COFFEE, top_k=7)
    assert again.predictions == plain.predictions
    assert explainer.explain(COFFEE, top_k=7, gates={}).predictions == plain.predictions


def test_forty_visitors_at_once_get_each_their_own(explainer):
    names = gate_names(explainer.model)
    words = list(WORDS)
    asked = [{names[i % 16]: words[i % 6], names[(5 * i) % 16]: 0.5} for i in range(38)]
    asked += [None, None]

    def look(gates):
        return explainer.explain(COFFEE, gates=gates)

    expected = [look(gates) for gates in asked]
    with ThreadPoolExecutor(40) as pool:
        for _ in range(3):
            for got, want in zip(pool.map(look, asked), expected, strict=True):
                assert np.allclose(got.logits, want.logits, atol=1e-5)
                for a, b in zip(got.blocks, want.blocks, strict=True):
                    assert np.allclose(a.spatial, b.spatial, atol=1e-6)
                    assert np.allclose(a.channel, b.channel, atol=1e-6)
    assert hooks(explainer.serving) == 0


def test_before_and_after(explainer, plain):
    found = what_if(explainer, plain, {"layer2.0.spatial": "shut"}, top_k=7)
    assert found.before is plain
    assert [c.index for c in found.classes] == [p.index for p in plain.predictions]
    for c in found.classes:
        assert c.logit_before == plain.logits[c.index]
        assert c.logit_after == found.after.logits[c.index]
        after = next(p.probability for p in found.after.predictions if p.index == c.index)
        assert c.probability_after == pytest.approx(after, abs=1e-6)
    changed = {b.name: b for b in found.blocks}
    assert changed["layer1.1"].spatial == 0
    assert changed["layer1.1"].spatial_correlation == pytest.approx(1)
    assert changed["layer2.0"].spatial == pytest.approx(plain.block("layer2.0").spatial.mean())
    assert changed["layer2.0"].spatial_correlation is None  # one of them is 0 throughout
    assert changed["layer2.1"].spatial > 0
    assert changed["layer2.1"].spatial_correlation < 1
    fresh = what_if(explainer, COFFEE, {"layer2.0.spatial": "shut"}, top_k=7)
    assert fresh.to_dict() == found.to_dict()


def test_an_explanation_of_another_model_is_refused(explainer):
    other = Explainer.from_pretrained().explain(COFFEE)
    with pytest.raises(ValueError, match="is of the model 'resnet18-cbam-everyday117', not of"):
        what_if(explainer, other, {})
    with pytest.raises(ValueError, match="is of the model"):
        gate_effects(explainer, other)


@pytest.mark.parametrize("make", [resnet18_cbam, resnet50_cbam])
def test_which_gate_matters_is_what_full_passes_say(make):
    explainer = explainer_of(make)
    before = explainer.explain(COFFEE)
    index = before.predictions[0].index
    found = list(gate_effects(explainer, COFFEE))
    assert [e.name for e in found] == gate_names(explainer.model)
    for effect in found:
        after = explainer.explain(COFFEE, gates={effect.name: "mean"})
        expected = after.logits[index] - before.logits[index]
        assert effect.change == pytest.approx(expected, abs=1e-4)
        assert effect.mean == pytest.approx(gate_of(before, effect.name).mean(), abs=1e-5)
    assert max(abs(e.change) for e in found) > 1e-3


def test_which_gate_matters_for_another_class(explainer, plain):
    effect = next(gate_effects(explainer, plain, index=plain.predictions[3].index))
    after = explainer.explain(COFFEE, gates={"layer1.0.channel": "mean"})
    i = plain.predictions[3].index
    assert effect.change == pytest.approx(after.logits[i] - plain.logits[i], abs=1e-4)
    for index in (-1, 7):
        with pytest.raises(ValueError, match=f"no class {index}; this model has 0 to 6"):
            gate_effects(explainer, plain, index=index)


@pytest.mark.parametrize("make", [resnet18_cbam, resnet50_cbam])
def test_which_gate_matters_takes_about_half_of_full_passes(make):
    """Counted in multiplications of the convolutions, which no other load on a machine changes."""
    explainer = explainer_of(make)
    work = 0

    def count(module: nn.Conv2d, args, output: torch.Tensor) -> None:
        nonlocal work
        work += output.numel() * module.weight[0].numel()

    counting = copy.deepcopy(explainer)
    counting.serving = counting.model  # whose convolutions are all torch's own
    for module in counting.serving.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    before = counting.explain(COFFEE)
    full, work = work, 0
    gates = len(list(gate_effects(counting, before)))
    assert work < 0.65 * gates * full


def test_forty_at_once_get_their_own_answers(explainer, plain):
    """Each other gates, some none at all, one photo: as if each were alone."""
    names, words = gate_names(explainer.model), [*WORDS, 0.3]
    asked: list[dict] = [{names[(5 * i) % 16]: words[i % 7]} for i in range(34)] + [{}] * 6
    assert len({str(gates) for gates in asked}) > 30

    def answer(gates):
        return explainer.explain(COFFEE, gates=gates).logits

    alone = [answer(gates) for gates in asked]
    begin = Barrier(40)

    def together(gates):
        begin.wait()
        return answer(gates)

    with ThreadPoolExecutor(40) as pool:
        found = list(pool.map(together, asked))
    for expected, logits in zip(alone, found, strict=True):
        assert logits == pytest.approx(expected, abs=1e-5)
    assert alone[-1] == pytest.approx(plain.logits, abs=1e-5)
    assert hooks(explainer.serving) == 0


def test_who_stops_asking_leaves_nothing(explainer, plain):
    effects = gate_effects(explainer, plain)
    with ThreadPoolExecutor(1) as pool:  # as a server asks: each time another thread may
        first = next(effects)
        second = pool.submit(next, effects).result()
        assert hooks(explainer.serving) == 0
        assert not torch.is_inference_mode_enabled()
    effects.close()
    assert [first.name, second.name] == gate_names(explainer.model)[:2]
    assert hooks(explainer.serving) == 0


def test_one_block_with_gates_and_one_class():
    torch.manual_seed(0)
    model = as_trained(ResNetCBAM("basic", num_classes=1, gated=["layer3.0"]))
    explainer = Explainer(model, preprocessing=SMALL)
    found = what_if(explainer, COFFEE, {"layer3.0.spatial": "open"})
    (only,) = found.classes
    assert only.probability_after == pytest.approx(1 / (1 + np.exp(-only.logit_after)))
    assert [e.name for e in gate_effects(explainer, COFFEE)] == gate_names(model)
    with pytest.raises(ValueError, match="this model has: layer3.0.channel, layer3.0.spatial"):
        what_if(explainer, COFFEE, {"layer3.1.spatial": "open"})
