import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torchvision.models import resnet18

from cbam_viz.models.resnet import ResNetCBAM
from cbam_viz.training.recipe import Phase, Recipe
from cbam_viz.training.schedule import (
    batch_shape,
    begin_phase,
    check_phases,
    learning_rate_scale,
    make_optimizer,
    parameter_groups,
    phase_rate,
)


@pytest.fixture(scope="module")
def model():
    with torch.device("meta"):
        return ResNetCBAM("basic", [1, 1, 1, 1], num_classes=3)


def test_warm_up_is_a_line_and_then_comes_half_a_cosine():
    steps, warmup = 100, 10
    scale = [learning_rate_scale(step, steps, warmup) for step in range(steps)]
    assert scale[:10] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert scale[10] == 1
    assert scale[55] == pytest.approx(0.5)
    assert scale[99] == pytest.approx((1 + math.cos(math.pi * 89 / 90)) / 2)
    assert scale[10:] == sorted(scale[10:], reverse=True)


def test_without_warm_up_it_starts_at_the_peak():
    assert learning_rate_scale(0, 8, 0) == 1
    assert learning_rate_scale(4, 8, 0) == pytest.approx(0.5)


def test_height_and_width_of_a_batch_are_drawn_step_by_step():
    recipe = Recipe(phases=[Phase(2, sides=(112, 112)), Phase(4, sides=(96, 160))])
    shapes = [batch_shape(recipe, step, 100) for step in range(600)]
    assert set(shapes[:200]) == {(112, 112)}
    drawn = Counter(shapes[200:])
    sides = range(96, 161, 16)
    assert set(drawn) == {(height, width) for height in sides for width in sides}
    assert max(drawn.values()) < 4 * 400 / 25
    assert shapes[450] == batch_shape(recipe, 450, 100)
    assert shapes[200:] != [batch_shape(replace(recipe, seed=1), s, 100) for s in range(200, 600)]


def test_every_parameter_learns_once_at_the_rate_of_its_kind(model):
    recipe = Recipe(lr=1, pretrained_lr=2, channel_gate_lr=3, spatial_gate_lr=4, weight_decay=0.5)
    groups = parameter_groups(model, recipe, {"conv1", "bn1", "layer1"})
    found = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert sum(len(g["params"]) for g in groups) == len(found) == len(list(model.parameters()))
    assert all(g["initial_lr"] == g["lr"] for g in groups)
    expected = {
        "conv1.weight": (2, 0.5),
        "bn1.weight": (2, 0),
        "bn1.bias": (2, 0),
        "layer1.0.conv1.weight": (2, 0.5),
        "layer1.0.bn2.bias": (2, 0),
        "layer1.0.channel_attention.fc1.weight": (3, 0.5),
        "layer1.0.channel_attention.fc2.bias": (3, 0),
        "layer1.0.spatial_attention.conv.weight": (4, 0.5),
        "layer1.0.spatial_attention.norm.weight": (4, 0),
        "layer4.0.conv2.weight": (1, 0.5),
        "layer4.0.downsample.0.weight": (1, 0.5),
        "layer4.0.downsample.1.weight": (1, 0),
        "layer4.0.channel_attention.fc1.bias": (3, 0),
        "fc.weight": (1, 0.5),
        "fc.bias": (1, 0),
    }
    parameters = dict(model.named_parameters())
    assert {name: found[id(parameters[name])] for name in expected} == expected


def test_norms_and_biases_are_spared_in_every_module(model):
    groups = parameter_groups(model, Recipe(), set())
    spared = {id(p) for g in groups if not g["weight_decay"] for p in g["params"]}
    kinds = (torch.nn.BatchNorm2d,)
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            assert (id(p) in spared) == (isinstance(module, kinds) or name == "bias")


def test_the_recipe_names_the_optimizer():
    model = resnet18(num_classes=2)
    assert type(make_optimizer(model, Recipe(), set())) is torch.optim.AdamW
    sgd = make_optimizer(model, Recipe(optimizer="sgd"), set())
    assert type(sgd) is torch.optim.SGD
    assert {(g["momentum"], g["nesterov"]) for g in sgd.param_groups} == {(0.9, True)}


def learning(model, *words, pretrained=(), still=False):
    """Which parameters learn in a phase, and which batch norms measure."""
    begin_phase(model, Phase(learns=words), set(pretrained), still)
    learns = {n for n, p in model.named_parameters() if p.requires_grad}
    return learns, {n for n, m in model.named_modules() if is_norm(m) and m.training}


def is_norm(module):
    return isinstance(module, torch.nn.BatchNorm2d)


def test_what_stands_still_neither_learns_nor_measures(model):
    trunk = ("conv1", "bn1", "layer1")
    learns, measures = learning(model, "fresh", pretrained=trunk)
    assert {n.split(".")[0] for n in learns} == {"layer2", "layer3", "layer4", "fc"}
    assert {n.split(".")[0] for n in measures} == {"layer2", "layer3", "layer4"}
    learns, measures = learning(model, "all", pretrained=trunk)
    assert learns == {n for n, _ in model.named_parameters()}
    assert measures == {n for n, m in model.named_modules() if is_norm(m)}
    assert all(m.training for m in model.modules())


def test_gates_and_norms_learn_wherever_they_are(model):
    gates, measures = learning(model, "gates", pretrained=("layer1",))
    blocks = model.blocks().items()
    assert gates == {
        f"{name}.{kind}.{n}"
        for name, block in blocks
        for kind in ("channel_attention", "spatial_attention")
        for n, _ in getattr(block, kind).named_parameters()
    }
    assert measures == {f"{name}.spatial_attention.norm" for name, _ in blocks}
    norms, measures = learning(model, "norms", pretrained=("layer1",))
    trunks = {n for n, m in model.named_modules() if is_norm(m) and "attention" not in n}
    assert norms == {f"{n}.{kind}" for n in trunks for kind in ("weight", "bias")}
    assert measures == trunks
    both, _ = learning(model, "norms", "gates", pretrained=("layer1",))
    assert both == norms | gates


def test_modules_learn_by_their_names(model):
    learns, measures = learning(model, "layer4", "fc")
    assert {n.split(".")[0] for n in learns} == {"layer4", "fc"}
    assert "layer4.0.spatial_attention.conv.weight" in learns
    assert {n.split(".")[0] for n in measures} == {"layer4"}
    learns, _ = learning(model, "fresh", "bn1", pretrained=("fc", "layer1"))
    assert not any(n.startswith(("fc", "layer1")) for n in learns)
    assert learning(model, "bn1", pretrained=("bn1",))[0] == {"bn1.weight", "bn1.bias"}


def test_statistics_can_stay_while_all_learns(model):
    learns, measures = learning(model, "all", still=True)
    assert learns == {n for n, _ in model.named_parameters()} and not measures
    assert model.training and model.layer1.training


def test_a_phase_in_which_nothing_would_learn_is_told_before(model):
    everything = {n for n, _ in model.named_children()}
    with pytest.raises(ValueError, match=r"phase 2 .*learns is fresh: .* bn1, conv1, fc,.* Leave"):
        check_phases(model, [Phase(), Phase(learns=("fresh",))], everything)
    check_phases(model, [Phase(), Phase(learns=("fresh",))], everything - {"fc"})
    check_phases(model, [Phase(learns=("fresh", "gates"))], everything)
    with torch.device("meta"):
        plain = resnet18()
    check_phases(plain, [Phase(learns=("norms",))], everything)
    with pytest.raises(ValueError, match="phase 1 .*learns is gates: .* no parts"):
        check_phases(plain, [Phase(learns=("gates",))], set())


def test_each_phase_warms_up_to_its_own_rate():
    phase = Phase(epochs=2, rate=0.5, warmup_epochs=0.4)
    recipe = Recipe(phases=(Phase(), phase, phase))
    rates = [phase_rate(recipe, step, per_epoch=10) for step in range(50)]
    warming = [0.125, 0.25, 0.375] + [0.5] * 17
    assert rates == pytest.approx([1.0] * 10 + warming + warming)
