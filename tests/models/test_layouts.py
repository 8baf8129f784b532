"""Other people's networks, converted here, must be the same function, gate by gate.

pytorchcv and timm are the packages themselves. The authors', luuuyi's and the article's networks
are not packaged: `Reference` is written from the facts about them, with a forward of its own.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import pytest
import pytorchcv.model_provider
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from cbam_viz.models.layouts import (
    FAMILIES,
    Network,
    WeightsError,
    recognise,
    why_untrained,
)
from cbam_viz.models.resnet import CONSTRUCTORS, ResNetCBAM

# The issue asks for 1e-5. In double precision nothing but rounding is left, and a closer look
# leaves no room for a wrong plane or bias that happens to be weak.
TOLERANCE = 1e-9

SHORT = (1, 1, 1, 1)


# --- the networks of others ----------------------------------------------------------------------


class Layout(NamedTuple):
    """A layout without a package: the names of a block's gates, and how they work."""

    fc1: str
    fc2: str
    conv: str
    norm: str | None = None
    linear: bool = False
    mean_first: bool = False


AUTHORS = Layout(
    "cbam.ChannelGate.mlp.1",
    "cbam.ChannelGate.mlp.3",
    "cbam.SpatialGate.spatial.conv",
    "cbam.SpatialGate.spatial.bn",
    linear=True,
)
LUUUYI = Layout("ca.fc.0", "ca.fc.2", "sa.conv1", mean_first=True)
LUUUYI_EARLY = Layout("ca.fc1", "ca.fc2", "sa.conv1", mean_first=True)
ARTICLE = Layout("channel_atten.fc.0", "channel_atten.fc.2", "spatial_atten.conv1")


def put(root: nn.Module, path: str, module: nn.Module) -> nn.Module:
    """Hang a module in under a dotted path, so that the state dict calls it so."""
    *parents, name = path.split(".")
    for parent in parents:
        if parent not in root._modules:
            root.add_module(parent, nn.Module())
        root = root._modules[parent]
    root.add_module(name, module)
    return module


class ReferenceBlock(nn.Module):
    """A residual block as the facts describe it. Keeps the gates of its last forward."""

    def __init__(self, inputs, planes, stride, layout, bottleneck, groups, base_width):
        super().__init__()
        self.layout = layout
        outputs = planes * 4 if bottleneck else planes
        width = planes * base_width // 64 * groups
        shapes = (
            [(inputs, width, 1, 1, 1), (width, width, 3, stride, groups), (width, outputs, 1, 1, 1)]
            if bottleneck
            else [(inputs, planes, 3, stride, 1), (planes, planes, 3, 1, 1)]
        )
        self.steps = len(shapes)
        for k, (a, b, size, step, split) in enumerate(shapes, 1):
            conv = nn.Conv2d(a, b, size, step, size // 2, groups=split, bias=False)
            self.add_module(f"conv{k}", conv)
            self.add_module(f"bn{k}", nn.BatchNorm2d(b))
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        hidden = outputs // 16
        for path, a, b in ((layout.fc1, outputs, hidden), (layout.fc2, hidden, outputs)):
            put(self, path, nn.Linear(a, b) if layout.linear else nn.Conv2d(a, b, 1, bias=False))
        put(self, layout.conv, nn.Conv2d(2, 1, 7, padding=3, bias=False))
        if layout.norm:
            put(self, layout.norm, nn.BatchNorm2d(1))

    def channel_gate(self, x: Tensor) -> Tensor:
        fc1, fc2 = self.get_submodule(self.layout.fc1), self.get_submodule(self.layout.fc2)
        logits = 0
        for pool in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d):
            pooled = pool(x, 1)
            if self.layout.linear:
                logits += fc2(F.relu(fc1(pooled.flatten(1))))[:, :, None, None]
            else:
                logits += fc2(F.relu(fc1(pooled)))
        return torch.sigmoid(logits)

    def spatial_gate(self, x: Tensor) -> Tensor:
        maximum, mean = torch.max(x, 1, keepdim=True)[0], torch.mean(x, 1, keepdim=True)
        planes = (mean, maximum) if self.layout.mean_first else (maximum, mean)
        logits = self.get_submodule(self.layout.conv)(torch.cat(planes, 1))
        if self.layout.norm:
            logits = self.get_submodule(self.layout.norm)(logits)
        return torch.sigmoid(logits)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for k in range(1, self.steps + 1):
            out = self.get_submodule(f"bn{k}")(self.get_submodule(f"conv{k}")(out))
            if k < self.steps:
                out = F.relu(out)
        channel = self.channel_gate(out)
        out = channel * out
        spatial = self.spatial_gate(out)
        out = spatial * out
        self.gates = channel, spatial
        return F.relu(out + (self.downsample(x) if hasattr(self, "downsample") else x))


class Reference(nn.Module):
    """A ResNet-CBAM in a layout that has no package."""

    def __init__(
        self,
        layout: Layout,
        layers: Sequence[int] = SHORT,
        bottleneck: bool = False,
        classes: int = 10,
        groups: int = 1,
        base_width: int = 64,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for stage, count in enumerate(layers, 1):
            planes, blocks = 32 * 2**stage, []
            for i in range(count):
                stride = 2 if i == 0 and stage > 1 else 1
                options = layout, bottleneck, groups, base_width
                blocks.append(ReferenceBlock(inputs, planes, stride, *options))
                inputs = planes * 4 if bottleneck else planes
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.fc(x.mean((2, 3)))

    def gates(self) -> Iterable[tuple[Tensor, Tensor]]:
        return (block.gates for block in self.modules() if isinstance(block, ReferenceBlock))


def of_pytorchcv(depth: int) -> nn.Module:
    return pytorchcv.model_provider.get_model(f"cbam_resnet{depth}", num_classes=12)


def of_timm(depth: int) -> nn.Module:
    return timm.create_model(f"resnet{depth}", block_args={"attn_layer": "cbam"}, num_classes=12)


PACKAGES: dict[str, tuple[Callable[[int], nn.Module], int, str, str]] = {
    # How to build it; the photo's size (pytorchcv's last pool has a fixed one); and their own
    # sigmoids: what comes out of them is the gate.
    "pytorchcv": (of_pytorchcv, 224, "cbam.ch_gate.sigmoid", "cbam.sp_gate.sigmoid"),
    "timm": (of_timm, 160, "se.channel.gate", "se.spatial.gate"),
}
UNPACKAGED = {
    "authors": AUTHORS,
    "luuuyi": LUUUYI,
    "luuuyi, early spelling": LUUUYI_EARLY,
    "article": ARTICLE,
}


@torch.no_grad()
def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and statistics that no initialisation would give; the gates really vary."""
    chance = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            # timm gives some of them a weight of 0, and the network would be its shortcuts.
            module.weight.uniform_(0.5, 1.5, generator=chance)
            module.bias.normal_(0, 0.2, generator=chance)
            module.running_mean.normal_(0, 0.2, generator=chance)
            module.running_var.uniform_(0.5, 1.5, generator=chance)
            module.num_batches_tracked.fill_(7)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            fan_in = module.weight[0].numel()
            module.weight.normal_(0, fan_in**-0.5, generator=chance)
            if module.bias is not None:
                module.bias.normal_(0, 0.5, generator=chance)
    return model


def as_saved(weights: object, folder) -> object:
    """What a reader gets of weights that were saved as everybody saves them."""
    torch.save(weights, folder / "model.pth")
    return torch.load(folder / "model.pth", map_location="cpu", weights_only=True)


def unfilled(create: Callable[..., nn.Module], *args, **options) -> nn.Module:
    """A network whose initial values, that nobody will see, are not drawn: it takes long."""
    with torch.device("meta"):
        model = create(*args, **options)
    return model.to_empty(device="cpu")


def build(network: Network) -> ResNetCBAM:
    model = unfilled(ResNetCBAM, **network.config)
    model.load_state_dict(network.state_dict, strict=True)
    return model.eval()


def record(modules: Iterable[nn.Module]) -> list[Tensor]:
    """The outputs of modules, in the order they run."""
    seen: list[Tensor] = []
    for module in modules:
        module.register_forward_hook(lambda _module, _args, output: seen.append(output))
    return seen


def ends_with(model: nn.Module, path: str) -> list[nn.Module]:
    return [module for name, module in model.named_modules() if name.endswith(path)]


@torch.inference_mode()
def differences(theirs: nn.Module, ours: ResNetCBAM, x: Tensor, gates: Callable) -> tuple:
    """Relative difference of the logits, largest difference of any gate; in double precision.

    ``gates`` gives, after their forward, their channel and spatial gates of every block.
    """
    blocks = ours.blocks().values()
    channel = record(block.channel_attention for block in blocks)
    spatial = record(block.spatial_attention for block in blocks)
    expected, logits = theirs.eval().double()(x.double()), ours.double()(x.double())
    assert len(channel) == len(spatial) == len(blocks)

    worst = 0.0
    for pairs, mine in zip(zip(*gates(), strict=True), (channel, spatial), strict=True):
        for gate, own in zip(pairs, mine, strict=True):
            gate = gate.reshape(gate.shape[0], -1)
            assert gate.std() > 0.01, "a gate that does not vary proves nothing"
            worst = max(worst, (gate - own.flatten(1)).abs().max().item())
    return ((logits - expected).abs().max() / expected.abs().max()).item(), worst


def photo(size: int) -> Tensor:
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(3))


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


# --- wrappers ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved() -> dict[str, Tensor]:
    return randomise(Reference(LUUUYI)).state_dict()


@pytest.fixture
def short(saved) -> dict[str, Tensor]:
    """The state dict of a small network in luuuyi's layout; the dict is the test's own."""
    return dict(saved)


def prefixed(state: dict, prefix: str) -> dict:
    return {prefix + key: value for key, value in state.items()}


def test_wrappers_and_what_lies_beside_them_are_looked_through(short, tmp_path):
    beside = {
        "epoch": 90,
        "arch": "resnet18",
        "best_prec1": torch.tensor(77.6),
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{}]},
    }
    plain = recognise(short)
    wrapped = [
        {"state_dict": prefixed(short, "module."), **beside},
        {"model": short, **beside},
        {"model_state_dict": short, **beside},
        {"net": prefixed(short, "module."), **beside},
        {"model": {"state_dict": prefixed(short, "_orig_mod.")}},
        {"state_dict": prefixed(short, "model.")},
        prefixed(short, "module._orig_mod."),
        prefixed(short, "_orig_mod.module."),
        prefixed(short, "module.module."),
        {"n_averaged": torch.tensor(5), **prefixed(short, "module.")},
        {"model": None, "ema": short, **beside},
        {"epoch": torch.tensor(3), "lr": 0.1, **short},
    ]
    for weights in wrapped:
        network = recognise(as_saved(weights, tmp_path))
        assert network.config == plain.config
        assert all(torch.equal(a, plain.state_dict[k]) for k, a in network.state_dict.items())


@pytest.mark.parametrize(
    "path",
    ["timm_model.", "learner.encoder_q.", "module.student.trunk.", "0.", "features_of.resnet18."],
)
def test_the_network_is_found_under_any_path_and_the_rest_is_listed(path, short, tmp_path):
    plain = recognise(short)
    beside = {"projector.weight": torch.ones(8, 512), "margin": torch.ones(3)}
    weights = {"run": {"weights_of_epoch_3": prefixed(short, path) | beside}, "epoch": 3}
    network = recognise(as_saved(weights, tmp_path))
    assert all(torch.equal(a, plain.state_dict[k]) for k, a in network.state_dict.items())
    assert network.beside == ("projector.weight", "margin")
    assert "projector.weight, margin" in " ".join(network.notes)
    assert not plain.notes


def test_what_training_leaves_beside_a_bare_network_is_listed(short):
    left = {"criterion.weight": torch.ones(10), "train_acc.total": torch.ones(1),
            "loss_fn.pos_weight": torch.ones(10)}  # fmt: skip
    assert recognise(short | left).beside == tuple(left)


@pytest.mark.parametrize("compiled", ["_orig_mod.", "_fsdp_wrapped_module."])
def test_wrappers_inside_the_network_are_looked_through(compiled, short):
    wrapped = {k.replace("layer2.0.", f"layer2.{compiled}0."): v for k, v in short.items()}
    assert list(recognise(wrapped).state_dict) == list(recognise(short).state_dict)


@pytest.mark.parametrize("names", [("student", "teacher"), ("left", "right"), ("a.net", "b.net")])
def test_two_networks_of_which_none_is_meant_are_refused(names, short):
    both = {k: v for name in names for k, v in prefixed(short, f"{name}.").items()}
    message = refusal(both)
    assert all(f"{name}." in message for name in names)
    assert "nothing tells which one is meant" in message


@pytest.mark.parametrize(
    ("path", "head"),
    [
        ("", "fc.1"),  # a dropout and a linear layer
        ("", "classifier"),
        ("", "head.fc"),
        ("model.", "model.last_linear"),
        ("backbone.", "cls_head.fc"),
        ("encoder.", "logits"),
        ("net.body.", "net.classifier.2"),
    ],
)
def test_a_classifier_is_found_where_it_is(path, head, short, tmp_path):
    trunk = prefixed({k: v for k, v in short.items() if not k.startswith("fc.")}, path)
    theirs = trunk | {f"{head}.weight": short["fc.weight"], f"{head}.bias": short["fc.bias"]}
    network = recognise(as_saved({"state_dict": theirs}, tmp_path))
    assert torch.equal(network.state_dict["fc.weight"], short["fc.weight"])
    assert head.removeprefix(path) in " ".join(network.notes)
    assert network.beside == ()


def test_a_second_layer_on_top_of_the_classifier_is_refused(short):
    on_top = {"classifier.weight": torch.ones(2, 10), "classifier.bias": torch.ones(2)}
    assert "head of several layers" in refusal(prefixed(short, "backbone.") | on_top)


OWN_NAMES = {
    "linear, norm": Layout("att.c.dense1", "att.c.dense2", "att.s.filter", "att.s.bn", linear=True),
    "convolutions": Layout(
        "channel_attention.fc1", "channel_attention.fc2", "spatial_attention.conv", mean_first=True
    ),
    "two known halves": Layout("ca.fc.0", "ca.fc.2", "spatial_atten.conv1", mean_first=True),
    "CamelCase": Layout("CBAM.CA.MLP.0", "CBAM.CA.MLP.2", "CBAM.SA.conv.0", "CBAM.SA.conv.1"),
    "luuuyi's with linear layers": Layout("ca.fc.0", "ca.fc.2", "sa.conv1", linear=True),
}


@pytest.mark.parametrize("name", OWN_NAMES)
def test_gates_of_other_names_are_told_by_shape_and_the_order_is_said_or_chosen(name, tmp_path):
    layout = OWN_NAMES[name]
    theirs = randomise(Reference(layout))
    weights = as_saved(theirs.state_dict(), tmp_path)
    assumed = recognise(weights)
    assert layout.fc1 in assumed.notes[0]
    assert any("--planes mean-max" in note for note in assumed.notes)
    for planes in ("max-mean", "mean-max"):
        network = recognise(weights, planes=planes)
        assert not any("--planes" in note for note in network.notes)
        of_logits, of_gates = differences(
            theirs, build(network), photo(96), lambda: list(theirs.gates())
        )
        same = of_gates < TOLERANCE and of_logits < TOLERANCE
        assert same == (layout.mean_first == (planes == "mean-max"))
    with pytest.raises(ValueError, match="max-mean or mean-max"):
        recognise(weights, planes="avg-max")


def test_a_prefix_that_not_every_key_has_is_no_wrapper(short):
    message = refusal(short | {"module.fc.bias": short["fc.bias"] + 1})
    assert "Keys without a place in it (1): module.fc.bias" in message


@pytest.mark.parametrize("name", ["ema", "model_ema", "state_dict_ema"])
def test_an_averaged_copy_is_preferred(name, short):
    averaged = short | {"fc.bias": short["fc.bias"] + 1}
    for weights in ({"state_dict": short, name: averaged}, {name: averaged, "model": short}):
        assert torch.equal(recognise(weights).state_dict["fc.bias"], averaged["fc.bias"])


def test_an_averaged_copy_without_statistics_is_not_preferred(short):
    parameters = {k: v + 1 for k, v in short.items() if k.endswith(("weight", "bias"))}
    network = recognise({"ema": parameters, "model": short})
    assert torch.equal(network.state_dict["fc.bias"], short["fc.bias"])


def test_files_without_counters_load(short):
    old = {key: value for key, value in short.items() if "num_batches_tracked" not in key}
    assert len(old) < len(short)
    assert build(recognise(old))(photo(32)).shape == (1, 10)


# --- refused, in words ---------------------------------------------------------------------------


def refusal(weights: object) -> str:
    with pytest.raises(WeightsError) as caught:
        recognise(weights)
    message = str(caught.value)
    assert len(message) < 900, "a message for people, not a listing"
    return message


def timm_with(attention: str | None, name: str = "resnet18", **options) -> dict[str, Tensor]:
    if attention:
        options["block_args"] = {"attn_layer": attention}
    return timm.create_model(name, **options).state_dict()


def of_pytorchcv_named(name: str) -> dict[str, Tensor]:
    return pytorchcv.model_provider.get_model(name).state_dict()


def with_bam_of_the_authors() -> dict[str, Tensor]:
    state = torchvision.models.resnet18().state_dict()
    return state | {
        "bam1.channel_att.gate_c.gate_c_fc_0.weight": torch.ones(4, 64),
        "bam1.spatial_att.gate_s.gate_s_conv_final.weight": torch.ones(1, 4, 1, 1),
    }


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: torchvision.models.resnet18().state_dict(), ["no CBAM", "would be noise"]),
        (lambda: of_pytorchcv_named("resnet18"), ["no CBAM", "would be noise"]),
        (lambda: timm_with(None, "resnet26d"), ["no CBAM", "would be noise"]),
        (lambda: timm_with("se"), ["SE, squeeze-and-excitation", "layer1.0.se.fc1.weight"]),
        (lambda: timm_with("ese"), ["SE, squeeze-and-excitation", "layer1.0.se.fc.weight"]),
        (lambda: timm_with(None, "legacy_seresnet18"), ["SE, squeeze-and-excitation"]),
        (lambda: of_pytorchcv_named("seresnet18"), ["SE, squeeze-and-excitation"]),
        (lambda: timm_with("eca"), ["ECA, efficient channel", "layer1.0.se.conv.weight"]),
        (lambda: timm_with("gc"), ["another attention", "global context"]),
        (lambda: timm_with(None, "skresnet18"), ["another attention", "selective kernels"]),
        (lambda: of_pytorchcv_named("bam_resnet18"), ["BAM, the Bottleneck Attention Module"]),
        (with_bam_of_the_authors, ["BAM, the Bottleneck Attention Module", "bam1."]),
        (lambda: timm_with("lcbam"), ["[1, 1, 7, 7] instead of [1, 2, 7, 7]", "light CBAM"]),
        (lambda: timm_with("cbam", "resnet26d"), ["stem of several convolutions", "conv1.0."]),
        (lambda: timm_with("cbam", avg_down=True), ["average pool", "downsample.2."]),
        (lambda: timm_with("cbam", num_classes=0), ["no classifier", "fc.weight is missing"]),
        (lambda: timm_with("cbam", in_chans=1), ["[64, 1, 7, 7]", "three colour planes"]),
        (
            lambda: timm_with("cbam", norm_layer="groupnorm"),
            ["Missing keys (40)", "bn1.run"],
        ),
        (
            lambda: timm.create_model("vit_tiny_patch16_224").state_dict(),
            ["a vision transformer", "cls_token"],
        ),
        (lambda: torchvision.models.swin_t().state_dict(), ["a vision transformer"]),
        (
            lambda: {"vit.encoder.layer.0.attention.output.dense.weight": torch.ones(2, 2)},
            ["a vision transformer"],
        ),
        (lambda: torchvision.models.mobilenet_v2().state_dict(), ["not a ResNet", "features.0.0"]),
    ],
)
def test_other_networks_are_named_for_what_they_are(make, words):
    with torch.device("meta"):  # names and shapes are enough to tell
        weights = make()
    message = refusal(weights)
    assert all(word in message for word in words), message
    assert "Expected is" in message or "instead of" in message


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (nn.Linear(2, 2), ["a whole pickled module", "Linear", "Save model.state_dict()"]),
        ({"model": nn.Linear(2, 2)}, ["a whole pickled module", "under model"]),
        ([torch.ones(2)], ["This is a list", "Save model.state_dict()"]),
        (torch.ones(2), ["This is a Tensor"]),
        (None, ["This is a NoneType"]),
        ("resnet18.pth", ["This is a str"]),
        ({}, ["No weights", "nothing at all"]),
        ({"epoch": 3, "optimizer": {"state": {}}}, ["No weights", "epoch, optimizer"]),
        ({"state_dict": {}, "model": {"model": {}}}, ["No weights", "state_dict, model"]),
        ({0: torch.ones(2), 1: torch.ones(2)}, ["No weights", "0, 1"]),
    ],
)
def test_what_is_no_state_dict_is_refused(weights, words):
    message = refusal(weights)
    assert all(word in message for word in words), message


def test_endless_wrapping_is_refused():
    weights: dict = {}
    weights["model"] = weights
    assert "No weights" in refusal(weights)


def test_gates_of_two_families_are_refused_with_a_key_of_each(short):
    other = Reference(AUTHORS).state_dict()
    gate = "layer2.0.cbam.ChannelGate.mlp.1.weight"
    message = refusal(short | {gate: other[gate]})
    for word in ("Two families", "luuuyi", "layer1.0.ca.fc.0.weight", "the authors", gate):
        assert word in message


def test_the_trunk_of_another_family_is_refused(short):
    message = refusal(short | {"features.stage1.unit1.body.conv1.conv.weight": torch.ones(1)})
    for word in ("Two families", "luuuyi", "pytorchcv", "features.stage1.unit1.body.conv1"):
        assert word in message


def test_one_weight_under_two_keys_is_refused(short):
    message = refusal(short | {"layer1.0.ca.fc1.weight": short["layer1.0.ca.fc.0.weight"]})
    assert "same weight: layer1.0.ca.fc.0.weight and layer1.0.ca.fc1.weight" in message


@pytest.mark.parametrize(("gone", "left"), [(".ca.", "spatial"), (".sa.", "channel")])
def test_half_a_cbam_is_refused(gone, left, short):
    message = refusal({key: value for key, value in short.items() if gone not in key})
    assert f"{left} gates only" in message
    assert "both gates" in message


@pytest.mark.parametrize("plain", [("layer1",), ("layer1", "layer2", "layer3"), ("layer4.1",)])
def test_gates_in_some_blocks_only_are_shown_where_they_are(plain, tmp_path):
    """timm's own network, some of its blocks without the attention layer."""
    theirs = randomise(of_timm(18))
    for name, module in theirs.named_modules():
        if hasattr(module, "se") and name.startswith(plain):
            module.se = None
    network = recognise(as_saved(theirs.state_dict(), tmp_path))
    ours = build(network)
    assert list(ours.blocks()) == network.config["gated"]
    assert not any(name.startswith(plain) for name in ours.blocks())
    assert f"{len(ours.blocks())} of 8 blocks have gates" in " ".join(network.notes)
    channel = record(ends_with(theirs, "se.channel.gate"))
    spatial = record(ends_with(theirs, "se.spatial.gate"))
    of_logits, of_gates = differences(
        theirs, ours, photo(96), lambda: list(zip(channel, spatial, strict=True))
    )
    assert of_logits < TOLERANCE
    assert of_gates < TOLERANCE


def test_one_gate_of_two_in_some_blocks_is_refused(short):
    lost = ("layer2.0.sa.", "layer3.0.ca.")
    message = refusal({k: v for k, v in short.items() if not k.startswith(lost)})
    assert "2 of 4 blocks lack a gate: layer2.0, layer3.0." in message


def test_a_missing_stage_or_block_is_refused(short):
    message = refusal({k: v for k, v in short.items() if not k.startswith("layer2.")})
    assert "layer2.0 is missing, and all of its stage" in message
    moved = {k.replace("layer4.0.", "layer4.1."): v for k, v in short.items()}
    assert "layer4.0 is missing." in refusal(moved)
    theirs = of_pytorchcv(18).state_dict()
    message = refusal({k: v for k, v in theirs.items() if "stage3.unit1." not in k})
    assert "features.stage3.unit1 is missing." in message, "in the names of the file"


def test_a_missing_or_another_head_is_refused(short):
    without = {k: v for k, v in short.items() if not k.startswith("fc.")}
    assert "no classifier" in refusal(without)
    several = {"fc.0.weight": torch.ones(8, 512), "fc.0.bias": torch.ones(8)}
    several |= {"fc.3.weight": torch.ones(4, 8), "fc.3.bias": torch.ones(4)}
    assert "head of several layers" in refusal(without | several)
    message = refusal(without | {"head.weight": short["fc.weight"]})
    assert "no classifier" in message
    assert "head.weight" in message
    assert "fc.bias" in refusal({k: v for k, v in short.items() if k != "fc.bias"})


def test_keys_missing_or_left_over_are_named_a_few_and_a_count(short):
    message = refusal({k: v for k, v in short.items() if ".bn1.running" not in k})
    assert "Missing keys (8): layer1.0.bn1.running_mean" in message
    assert "and 4 more" in message
    extra = {f"layer1.0.dropped.{i}": torch.ones(1) for i in range(9)}
    message = refusal(short | extra)
    assert "Keys without a place in it (9): layer1.0.dropped.0" in message
    assert "and 5 more" in message
    message = refusal(short | {"layer5.0.conv1.weight": torch.ones(1)})
    assert "layer5.0.conv1.weight" in message
    message = refusal(short | {"layer1.0.sa.conv1.bias": torch.ones(1)})
    assert "Keys without a place in it (1): layer1.0.sa.conv1.bias" in message


def test_gates_outside_the_blocks_are_refused(short):
    plain = {k: v for k, v in short.items() if ".ca." not in k and ".sa." not in k}
    outside = {"ca.fc.0.weight": torch.ones(4, 64, 1, 1), "sa1.conv1.weight": torch.ones(1)}
    for state in (plain, short):
        assert "outside the residual blocks" in refusal(state | outside)


def test_gates_of_unknown_names_and_shapes_are_not_called_absent(short):
    renamed = {k.replace(".ca.", ".my_ca.").replace(".sa.", ".my_sa."): v for k, v in short.items()}
    renamed |= {f"layer{stage}.0.my_ca.scale": torch.ones(1) for stage in (1, 2, 3, 4)}
    message = refusal(renamed)
    assert "names are not known: layer1.0.my_ca.fc.0.weight" in message
    assert all(family.title in message for family in FAMILIES.values())


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("conv1.weight", torch.ones(64, 3, 3, 3), ["[64, 3, 3, 3]", "CIFAR"]),
        (
            "layer3.0.conv2.weight",
            torch.ones(8, 8, 3, 3),
            ["layer3.0.conv2.weight", "[8, 8, 3, 3]"],
        ),
        ("layer1.0.sa.conv1.weight", torch.ones(1, 2, 4, 4), ["kernel_size must be odd"]),
        ("layer2.0.sa.conv1.weight", torch.ones(1, 2, 3, 3), ["[1, 2, 3, 3] instead of"]),
        ("layer1.0.sa.conv1.weight", torch.ones(7), ["[7]", "4 dimensions"]),
        ("layer1.0.ca.fc.0.weight", torch.ones(0, 64, 1, 1), ["[0, 64]", "none of them empty"]),
        ("layer1.0.ca.fc.0.weight", torch.ones(8, 64, 1, 1), ["no one reduction", "[8, 64]"]),
        ("fc.weight", torch.ones(512), ["fc.weight", "2 dimensions"]),
        ("fc.weight", torch.ones(10, 512).to(torch.int8), ["torch.int8", "quantised"]),
        ("fc.bias", torch.tensor([torch.nan] * 10), ["fc.bias", "not finite"]),
        ("layer1.0.bn1.bias", torch.tensor([torch.inf, -torch.inf] * 32), ["not finite"]),
    ],
)
def test_values_that_cannot_be_are_refused(key, value, words, short):
    message = refusal(short | {key: value})
    assert all(word in message for word in words), message


@pytest.mark.parametrize("number", ["9999", "99999999999999", "9" * 5000])
def test_a_hostile_block_number_costs_nothing(number, short):
    refusal(short | {f"layer1.{number}.conv1.weight": torch.ones(1)})


def test_a_sum_that_overflows_is_no_damage(short):
    large = {"fc.bias": torch.full((10,), 60000.0, dtype=torch.float16)}
    assert recognise(short | large)


# --- untrained -----------------------------------------------------------------------------------


def of_ours(**options) -> ResNetCBAM:
    return ResNetCBAM("basic", SHORT, num_classes=4, **options)


@pytest.mark.parametrize("spatial_norm", [True, False])
def test_neutral_gates_are_untrained(spatial_norm):
    model = of_ours(spatial_norm=spatial_norm)
    model.neutralise_gates()
    assert "spatial gate is exactly one half" in why_untrained(model)
    gates = record(block.spatial_attention for block in model.eval().blocks().values())
    with torch.inference_mode():
        model(photo(64))
    assert len(gates) == 4
    assert all((gate == 0.5).all() for gate in gates), "what is said of them is true"
    assert not why_untrained(randomise(model))


def test_one_trained_block_is_enough_to_be_trained():
    model = of_ours()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked += 1
    model.neutralise_gates()
    assert why_untrained(model)
    nn.init.ones_(model.layer3[0].spatial_attention.norm.weight)
    assert "channel gate is exactly one half" in why_untrained(model)
    nn.init.ones_(model.layer1[0].channel_attention.fc2.bias)
    assert why_untrained(model) is None


@pytest.mark.parametrize("name", PACKAGES)
def test_a_fresh_network_of_a_peer_is_untrained_and_a_used_one_is_not(name):
    theirs = PACKAGES[name][0](18)
    assert "never seen a photo" in why_untrained(recognise(theirs.state_dict()).state_dict)
    with torch.no_grad():
        theirs.train()(photo(224).expand(2, -1, -1, -1))
    assert not why_untrained(recognise(theirs.state_dict()).state_dict)


def test_a_fresh_network_without_spatial_norms_why_untrained():
    assert "never seen a photo" in why_untrained(of_ours(spatial_norm=False))
    assert "never seen a photo" in why_untrained(
        recognise(Reference(LUUUYI).state_dict()).state_dict
    )


def test_a_trained_trunk_under_fresh_spatial_norms_why_untrained():
    model = randomise(of_ours())
    for block in model.blocks().values():
        block.spatial_attention.norm = nn.BatchNorm2d(1)
    assert "never seen a photo" in why_untrained(model)


def test_norms_that_stand_for_none_and_frozen_ones_are_trained():
    model = randomise(of_ours())
    with torch.no_grad():
        for block in model.blocks().values():
            block.spatial_attention.norm = nn.BatchNorm2d(1)
            block.spatial_attention.norm.weight.fill_((1 + 1e-5) ** 0.5)
    assert not why_untrained(model)


def test_a_state_dict_without_gates_why_untrained():
    assert "no gates" in why_untrained(torchvision.models.resnet18())
