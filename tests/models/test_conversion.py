"""Other people's networks, converted here, must be the same function, gate by gate."""

import pytest
import timm
import torch
from reference_networks import (
    ARTICLE,
    AUTHORS,
    LUUUYI,
    PACKAGES,
    TOLERANCE,
    UNPACKAGED,
    Reference,
    as_saved,
    build,
    differences,
    ends_with,
    photo,
    randomise,
    record,
    unfilled,
)
from torch import nn

from cbam_viz.models.recognition import recognise
from cbam_viz.models.resnet import CONSTRUCTORS, ResNetCBAM
from cbam_viz.models.untrained import why_untrained

# --- the same function ---------------------------------------------------------------------------


def compare_package(name: str, depth: int, folder) -> None:
    create, size, channel_path, spatial_path = PACKAGES[name]
    theirs = randomise(create(depth), seed=depth)
    network = recognise(as_saved(theirs.state_dict(), folder))
    ours = build(network)
    assert network.family == name
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    channel = record(ends_with(theirs, channel_path))
    spatial = record(ends_with(theirs, spatial_path))
    of_logits, of_gates = differences(
        theirs, ours, photo(size), lambda: list(zip(channel, spatial, strict=True))
    )
    print(f"\n{name} {depth}: logits {of_logits:.1e}, gates {of_gates:.1e}")
    assert of_logits < TOLERANCE
    assert of_gates < TOLERANCE


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("name", PACKAGES)
def test_packages_give_the_same_logits_and_gates(name, depth, tmp_path):
    compare_package(name, depth, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [34, 101])
@pytest.mark.parametrize("name", PACKAGES)
def test_packages_of_other_depths_give_the_same_logits_and_gates(name, depth, tmp_path):
    compare_package(name, depth, tmp_path)


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        *((name, depth) for name in ("authors", "luuuyi", "article") for depth in (18, 50)),
        ("luuuyi, early spelling", 18),
    ],
)
def test_unpackaged_layouts_give_the_same_logits_and_gates(name, depth, tmp_path):
    layers = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]
    theirs = unfilled(Reference, UNPACKAGED[name], layers, bottleneck=depth == 50)
    randomise(theirs, seed=depth)
    network = recognise(as_saved(theirs.state_dict(), tmp_path))
    assert network.family == name.partition(",")[0]
    of_logits, of_gates = differences(
        theirs, build(network), photo(96), lambda: list(theirs.gates())
    )
    print(f"\n{name} {depth}: logits {of_logits:.1e}, gates {of_gates:.1e}")
    assert of_logits < TOLERANCE
    assert of_gates < TOLERANCE


@pytest.mark.parametrize(("groups", "base_width"), [(32, 4), (1, 128)], ids=["ResNeXt", "wide"])
def test_grouped_and_wide_bottlenecks_are_the_same_function(groups, base_width, tmp_path):
    theirs = Reference(ARTICLE, bottleneck=True, groups=groups, base_width=base_width)
    randomise(theirs)
    network = recognise(as_saved(theirs.state_dict(), tmp_path))
    assert (network.config["groups"], network.config["width_per_group"]) == (groups, base_width)
    of_logits, of_gates = differences(
        theirs, build(network), photo(64), lambda: list(theirs.gates())
    )
    assert of_logits < TOLERANCE
    assert of_gates < TOLERANCE


@pytest.mark.parametrize("layout", [LUUUYI, ARTICLE, AUTHORS], ids=["luuuyi", "article", "norm"])
def test_a_bias_of_the_spatial_convolution_is_kept(layout, tmp_path):
    theirs = randomise(Reference(layout._replace(conv_bias=True)), seed=5)
    network = recognise(as_saved(theirs.state_dict(), tmp_path))
    assert any("bias" in note for note in network.notes)
    assert network.config["spatial_norm"]
    ours = build(network)
    assert why_untrained(ours) is None
    of_logits, of_gates = differences(theirs, ours, photo(64), lambda: list(theirs.gates()))
    assert of_logits < 1e-6  # a variance of 1 - epsilon is rounded to float32
    assert of_gates < 1e-6


@pytest.mark.parametrize(
    "hidden",
    [
        lambda channels: max(channels // 16, 8),
        lambda channels: max(channels // 32, 16),
        lambda channels: {64: 16, 128: 8, 256: 64, 512: 3}[channels],
    ],
    ids=["at least 8", "at least 16", "any"],
)
def test_perceptrons_whose_reduction_differs_by_stage_are_read(hidden, tmp_path):
    theirs = randomise(Reference(LUUUYI._replace(hidden=hidden), layers=(2, 1, 2, 1)), seed=6)
    network = recognise(as_saved(theirs.state_dict(), tmp_path))
    widths = zip((64, 128, 256, 512), network.config["reduction"], strict=True)
    assert all(hidden(channels) == channels // reduction for channels, reduction in widths)
    of_logits, of_gates = differences(
        theirs, build(network), photo(64), lambda: list(theirs.gates())
    )
    assert of_logits < TOLERANCE
    assert of_gates < TOLERANCE


@pytest.mark.parametrize("head", ["9", "fc", "classifier"])
def test_numbered_parts_of_a_trunk_are_known(head, tmp_path):
    theirs = randomise(Reference(ARTICLE), seed=7)
    children = nn.Sequential(
        *(theirs.conv1, theirs.bn1, nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        *(theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4, nn.AdaptiveAvgPool2d(1)),
    )
    state = {f"features.{k}": v for k, v in children.state_dict().items()}
    head = "features.9" if head == "9" else head
    state |= {f"{head}.{k}": v for k, v in theirs.fc.state_dict().items()}
    network = recognise(as_saved(state, tmp_path))
    assert any("numbered" in note for note in network.notes)
    of_logits, of_gates = differences(
        theirs, build(network), photo(64), lambda: list(theirs.gates())
    )
    assert of_logits < TOLERANCE
    assert of_gates < TOLERANCE


# --- what is read off the shapes -----------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layers": [1, 2, 1, 3], "num_classes": 2},
        {"num_classes": 1, "reduction": 8, "kernel_size": 3},
        {"reduction": 5, "mlp_bias": False},
        {"spatial_norm": False},
        {"block": "bottleneck", "reduction": 32, "mlp_bias": False, "spatial_norm": False},
        {"block": "bottleneck", "groups": 32, "width_per_group": 4},
        {"block": "bottleneck", "groups": 64, "width_per_group": 4, "kernel_size": 5},
        {"block": "bottleneck", "width_per_group": 128},
    ],
    ids=lambda options: ", ".join(f"{k}={v}" for k, v in options.items()) or "defaults",
)
def test_config_is_read_off_the_shapes(options):
    config = {
        "block": "basic",
        "layers": [1, 1, 1, 1],
        "num_classes": 1000,
        "reduction": 16,
        "kernel_size": 7,
        "mlp_bias": True,
        "spatial_norm": True,
        "groups": 1,
        "width_per_group": 64,
    } | options
    state = ResNetCBAM(**config).state_dict()
    network = recognise(state)
    assert network.family == "cbam-viz"
    assert network.config == config
    assert list(network.state_dict) == list(state)
    assert all(torch.equal(network.state_dict[key], state[key]) for key in state)


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_every_constructor_is_recognised(name):
    with torch.device("meta"):
        model = CONSTRUCTORS[name](num_classes=3)
    like = model.state_dict()
    state = {key: torch.zeros((), dtype=t.dtype).expand(t.shape) for key, t in like.items()}
    config = recognise(state).config
    assert config["layers"] == [len(getattr(model, f"layer{stage}")) for stage in (1, 2, 3, 4)]
    assert (config["groups"], config["width_per_group"]) == (model.groups, model.base_width)


def test_timm_perceptrons_with_bias_are_read():
    def with_bias(channels, **options):
        return timm.layers.cbam.CbamModule(channels, mlp_bias=True, **options)

    theirs = timm.create_model("resnet18", block_args={"attn_layer": with_bias}, num_classes=3)
    network = recognise(theirs.state_dict())
    assert network.family == "timm"
    assert network.config["mlp_bias"]


def test_tensors_are_not_copied_where_nothing_is_converted(short):
    before = {key: value.clone() for key, value in short.items()}
    network = recognise(short)
    for key in ("conv1.weight", "layer1.0.bn1.running_mean", "fc.bias"):
        assert network.state_dict[key].data_ptr() == short[key].data_ptr()
    assert all(torch.equal(short[key], before[key]) for key in before), "the given was changed"


def test_half_precision_weights_load(short):
    network = recognise({k: v.half() if v.is_floating_point() else v for k, v in short.items()})
    assert build(network)(photo(32)).isfinite().all()
