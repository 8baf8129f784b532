import json

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.models import get_model, resnet
from torchvision.models.resnet import BasicBlock, Bottleneck

from cbam_viz.models import resnet as ours
from cbam_viz.models.checkpoints import load_checkpoint
from cbam_viz.models.resnet import (
    CONSTRUCTORS,
    ResNetCBAM,
    resnet18_cbam,
    resnet50_cbam,
    skeleton,
)
from cbam_viz.models.untrained import why_untrained

AUTHORS = {
    "resnet18_cbam": 11_779_392,
    "resnet34_cbam": 21_960_468,
    "resnet50_cbam": 28_089_624,
    "resnet101_cbam": 49_330_172,
    "resnet152_cbam": 66_826_848,
}
ARTICLE = {
    "resnet18_cbam": 11_777_336,
    "resnet34_cbam": 21_956_424,
    "resnet50_cbam": 28_073_544,
    "resnet101_cbam": 49_295_562,
}
#: The gates of ResNet-50 alone: the authors' count less torchvision's of the plain network.
GATES_OF_50 = 28_089_624 - 25_557_032
#: The same gates on the plain networks' published counts.
OTHERS = {
    "resnext50_32x4d_cbam": 25_028_904 + GATES_OF_50,
    "wide_resnet50_2_cbam": 68_883_240 + GATES_OF_50,
}
BLOCKS = {
    "resnet18_cbam": [2, 2, 2, 2],
    "resnet34_cbam": [3, 4, 6, 3],
    "resnet50_cbam": [3, 4, 6, 3],
    "resnet101_cbam": [3, 4, 23, 3],
    "resnet152_cbam": [3, 8, 36, 3],
    "resnext50_32x4d_cbam": [3, 4, 6, 3],
    "wide_resnet50_2_cbam": [3, 4, 6, 3],
}
SMALL = {"block": "bottleneck", "layers": [1, 1, 1, 1], "num_classes": 3}


def on_meta(name, **options):
    """The network without memory for its weights."""
    with torch.device("meta"):
        return CONSTRUCTORS[name](**options).eval()


def count(model):
    return sum(p.numel() for p in model.parameters())


def randomise(model, seed=0):
    """Batch norms as after a training, so that nothing in the network is zero or one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for value in (module.weight, module.running_var):
                    value.uniform_(0.5, 1.5, generator=generator)
                for value in (module.bias, module.running_mean):
                    value.normal_(0, 0.3, generator=generator)
    return model


def gates(model, x):
    """The output of every gate by block and kind, through plain forward hooks; and the logits."""
    seen = {}
    handles = [
        getattr(block, f"{kind}_attention").register_forward_hook(
            lambda _, __, gate, key=(name, kind): seen.update({key: gate})
        )
        for name, block in model.blocks().items()
        for kind in ("channel", "spatial")
    ]
    try:
        logits = model(x)
    finally:
        for handle in handles:
            handle.remove()
    return seen, logits


# ---------------------------------------------------------------- what it is made of


@pytest.mark.parametrize("name, expected", [*AUTHORS.items(), *OTHERS.items()])
def test_parameters_of_the_authors_form(name, expected):
    assert count(on_meta(name)) == expected
    assert f"{expected:,}" in CONSTRUCTORS[name].__doc__ or name in OTHERS


@pytest.mark.parametrize("name, expected", ARTICLE.items())
def test_parameters_of_the_articles_form(name, expected):
    assert count(on_meta(name, mlp_bias=False, spatial_norm=False)) == expected


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_blocks_are_named_and_ordered_as_torchvision_has_them(name):
    model = on_meta(name)
    kinds = (BasicBlock, Bottleneck)
    found = {path: module for path, module in model.named_modules() if isinstance(module, kinds)}
    assert list(model.blocks().items()) == list(found.items())
    assert [path.split(".")[0] for path in found] == [
        f"layer{stage}" for stage, n in enumerate(BLOCKS[name], 1) for _ in range(n)
    ]
    plain = getattr(resnet, name.removesuffix("_cbam"))
    with torch.device("meta"):
        trunk = {key: value.shape for key, value in plain().state_dict().items()}
    ours = {key: value.shape for key, value in model.state_dict().items()}
    assert trunk == {key: shape for key, shape in ours.items() if "_attention." not in key}
    assert all(key.split("_attention.")[0].count(".") == 2 for key in ours.keys() - trunk.keys())


def test_maps_of_resnet50_at_224():
    found, _ = gates(on_meta("resnet50_cbam"), torch.empty(1, 3, 224, 224, device="meta"))
    spatial = [tuple(gate.shape) for (_, kind), gate in found.items() if kind == "spatial"]
    channel = [tuple(gate.shape) for (_, kind), gate in found.items() if kind == "channel"]
    sides = [56] * 3 + [28] * 4 + [14] * 6 + [7] * 3
    widths = [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    assert spatial == [(1, 1, side, side) for side in sides]
    assert channel == [(1, width, 1, 1) for width in widths]


@pytest.mark.parametrize(
    "name, options",
    [
        ("resnet18_cbam", {}),
        ("resnet50_cbam", {}),
        ("resnet50_cbam", {"replace_stride_with_dilation": [False, True, True]}),
        ("resnet50_cbam", {"replace_stride_with_dilation": [False, False, True]}),
    ],
)
def test_strides_are_those_of_the_maps(name, options):
    model = on_meta(name, **options)
    found, _ = gates(model, torch.empty(1, 3, 96, 192, device="meta"))
    strides = model.strides()
    assert list(strides) == list(model.blocks())
    for block, stride in strides.items():
        assert found[block, "spatial"].shape[2:] == (96 / stride, 192 / stride)


# ---------------------------------------------------------------- what it computes


def convolved(x, module):
    """A convolution by explicit sums, numpy [N, C, H, W] to the same."""
    weight = module.weight.detach().numpy()
    (stride, _), (pad, _), size = module.stride, module.padding, weight.shape[-1]
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    height, width = ((side - size) // stride + 1 for side in x.shape[2:])
    out = np.zeros((len(x), len(weight), height, width))
    for i in range(size):
        for j in range(size):
            seen = x[:, :, i : i + stride * height : stride, j : j + stride * width : stride]
            out += np.einsum("oc,nchw->nohw", weight[:, :, i, j], seen)
    return out


def normalised(x, module):
    """A batch norm in eval mode, from its definition."""
    s = {name: value.numpy() for name, value in module.state_dict().items()}
    s = {name: value.reshape(-1, 1, 1) for name, value in s.items() if value.ndim}
    unit = (x - s["running_mean"]) / np.sqrt(s["running_var"] + module.eps)
    return unit * s["weight"] + s["bias"]


def block_by_formula(x, block):
    """Figure 3 of the paper, [N, C, H, W] in numpy: F, then its gates, then the shortcut."""
    f, steps = x, 3 if isinstance(block, Bottleneck) else 2
    for k in range(1, steps + 1):
        f = normalised(convolved(f, getattr(block, f"conv{k}")), getattr(block, f"bn{k}"))
        f = np.maximum(f, 0) if k < steps else f
    fc1, fc2 = block.channel_attention.fc1, block.channel_attention.fc2
    logits = 0
    for pooled in (f.mean((2, 3)), f.max((2, 3))):
        hidden = np.maximum(pooled @ fc1.weight.detach().numpy().T + fc1.bias.detach().numpy(), 0)
        logits = logits + hidden @ fc2.weight.detach().numpy().T + fc2.bias.detach().numpy()
    f = f / (1 + np.exp(-logits))[:, :, None, None]
    summary = np.stack([f.max(1), f.mean(1)], 1)
    spatial = block.spatial_attention
    f = f / (1 + np.exp(-normalised(convolved(summary, spatial.conv), spatial.norm)))
    if block.downsample is None:
        shortcut = x
    else:
        shortcut = normalised(convolved(x, block.downsample[0]), block.downsample[1])
    return np.maximum(f + shortcut, 0)


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
@pytest.mark.parametrize("name", ["layer2.0", "layer1.1"])
def test_a_block_is_the_formula(kind, name):
    torch.manual_seed(0)
    model = randomise(ResNetCBAM(kind, [2, 1, 1, 1], num_classes=2)).double().eval()
    block = model.blocks()[name]
    assert (block.downsample is None) == (name == "layer1.1")
    x = torch.randn(2, block.conv1.in_channels, 9, 6, dtype=torch.float64)
    with torch.no_grad():
        found = block(x).numpy()
    expected = block_by_formula(x.numpy(), block)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-6
    assert expected.std() > 0.1


@pytest.fixture(scope="module")
def small18():
    torch.manual_seed(0)
    return randomise(resnet18_cbam(num_classes=7)).eval()


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (32, 96), (97, 32), (50, 224)])
def test_any_size_from_32_px(size, small18):
    with torch.inference_mode():
        found, logits = gates(small18, torch.randn(1, 3, *size))
    assert logits.shape == (1, 7) and logits.isfinite().all()
    assert len(found) == 16
    for gate in found.values():
        assert (gate > 0).all() and (gate < 1).all()


@pytest.mark.parametrize(
    "name, options, sides",
    [
        ("resnext50_32x4d_cbam", {}, [8, 4, 2, 1]),
        ("wide_resnet50_2_cbam", {}, [8, 4, 2, 1]),
        ("resnet50_cbam", {"replace_stride_with_dilation": [False, True, True]}, [8, 4, 4, 4]),
        ("resnet50_cbam", {"reduction": 8, "kernel_size": 3}, [8, 4, 2, 1]),
    ],
)
def test_other_trunks_and_options(name, options, sides):
    model = CONSTRUCTORS[name](num_classes=3, **options).eval()
    with torch.inference_mode():
        found, logits = gates(model, torch.randn(1, 3, 32, 32))
    assert logits.shape == (1, 3) and logits.isfinite().all()
    assert [found[f"layer{stage}.0", "spatial"].shape[-1] for stage in range(1, 5)] == sides


def test_options_reach_the_gates():
    model = ResNetCBAM(**SMALL, reduction=32, kernel_size=3, mlp_bias=False, spatial_norm=False)
    for block in model.blocks().values():
        channel, spatial = block.channel_attention, block.spatial_attention
        assert channel.fc1.out_features == channel.fc1.in_features // 32
        assert channel.fc1.bias is None and channel.fc2.bias is None
        assert spatial.conv.kernel_size == (3, 3)
        assert isinstance(spatial.norm, torch.nn.Identity)


# ---------------------------------------------------------------- from a plain ResNet


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("form", [{}, {"mlp_bias": False, "spatial_norm": False}])
def test_neutral_gates_leave_the_plain_network(form, training):
    torch.manual_seed(0)
    plain = randomise(resnet.resnet18(num_classes=10)).train(training)
    model = resnet18_cbam(num_classes=10, **form).train(training)
    report = model.load_state_dict(plain.state_dict(), strict=False)
    assert not report.unexpected_keys
    assert all("_attention." in key for key in report.missing_keys)
    model.neutralise_gates()
    x = torch.randn(4, 3, 48, 64)
    with torch.no_grad():
        found, logits = gates(model, x)
        expected = plain(x)
    assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert all((gate == 0.5).all() for gate in found.values())


@pytest.mark.parametrize("form", [{}, {"mlp_bias": False, "spatial_norm": False}])
@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_neutral_gates_learn_from_the_first_step(kind, form):
    torch.manual_seed(0)
    model = ResNetCBAM(kind, [2, 1, 1, 1], num_classes=5, **form)
    model.neutralise_gates()
    logits = model.train()(torch.randn(8, 3, 48, 48))
    functional.cross_entropy(logits, torch.arange(8) % 5).backward()
    for name, block in model.blocks().items():
        assert block.channel_attention.fc2.weight.grad.abs().max() > 0, name
        spatial = block.spatial_attention
        last = spatial.conv if form else spatial.norm
        assert last.weight.grad.abs().max() > 0, name


# ---------------------------------------------------------------- to disk and back


@pytest.mark.parametrize(
    "options",
    [
        {"layers": [1, 1, 1, 1], "num_classes": 5},
        {
            **SMALL,
            "reduction": 8,
            "kernel_size": 3,
            "mlp_bias": False,
            "spatial_norm": False,
            "groups": 2,
            "width_per_group": 32,
            "replace_stride_with_dilation": [False, False, True],
        },
    ],
)
def test_saved_and_loaded(options, tmp_path):
    torch.manual_seed(0)
    model = randomise(ResNetCBAM(**options)).eval()
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert options.items() <= config.items()
    again = ResNetCBAM.from_pretrained(tmp_path).eval()
    x = torch.randn(2, 3, 48, 40)
    with torch.inference_mode():
        assert torch.equal(again(x), model(x))
    assert again.state_dict().keys() == model.state_dict().keys()


def test_a_constructors_model_is_saved_with_its_depth(tmp_path):
    resnet18_cbam(num_classes=2, spatial_norm=False).save_pretrained(tmp_path)
    again = ResNetCBAM.from_pretrained(tmp_path)
    assert len(again.blocks()) == 8 and again.fc.out_features == 2
    assert count(again) == count(resnet18_cbam(num_classes=2, spatial_norm=False))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "options, words",
    [
        ({"block": "dense"}, "basic, bottleneck, not 'dense'"),
        ({"reduction": 65}, "no hidden unit for 64 channels"),
        ({"kernel_size": 6}, "odd"),
        ({"groups": 2}, "groups"),
        ({"width_per_group": 128}, "base_width"),
        ({"block": "bottleneck", "replace_stride_with_dilation": [True]}, "3-element"),
    ],
)
def test_bad_arguments(options, words):
    with torch.device("meta"), pytest.raises(ValueError, match=words):
        ResNetCBAM(**options)


def test_no_dilation_without_bottlenecks():
    # torchvision's own refusal.
    with (
        torch.device("meta"),
        pytest.raises((ValueError, NotImplementedError), match="[Dd]ilation"),
    ):
        ResNetCBAM("basic", replace_stride_with_dilation=[False, True, True])


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="reductoin"):
        resnet50_cbam(reductoin=16)


@pytest.mark.parametrize("options", [{}, {"mlp_bias": False, "spatial_norm": False}])
def test_only_neutral_gates_can_be_undone(options):
    model = resnet18_cbam(num_classes=3, **options)
    assert model.plain_state() is None
    model.neutralise_gates()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert model.plain_state() is not None
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    with torch.no_grad():
        model.layer3[1].channel_attention.fc2.weight[0, 0] = 1e-3
    assert model.plain_state() is None


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnext50_32x4d"])
@torch.inference_mode()
def test_torchvisions_weights_under_neutral_gates_compute_what_they_did(name, monkeypatch):
    """Random weights in the place of the published ones, which need a network."""
    torch.manual_seed(0)
    plain = get_model(name).eval()
    for m in plain.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 2)
    asked = []
    monkeypatch.setattr(ours, "plain_weights", lambda n: asked.append(n) or plain.state_dict())
    model = ours.CONSTRUCTORS[f"{name}_cbam"](init="torchvision").eval()
    assert asked == [name]
    x = torch.rand(2, 3, 64, 96)
    expected, got = plain(x), model(x)
    assert (got - expected).norm() / expected.norm() < 1e-4
    assert why_untrained(model)
    other = ours.CONSTRUCTORS[f"{name}_cbam"](init="torchvision", num_classes=7)
    assert other.fc.out_features == 7
    assert torch.equal(other.conv1.weight, plain.conv1.weight)


def test_an_init_there_is_not():
    with pytest.raises(ValueError, match="'imagenet'"):
        ours.resnet18_cbam(init="imagenet")


def test_a_reduction_for_each_stage_is_kept_in_a_folder(tmp_path):
    model = ResNetCBAM(**SMALL, reduction=[8, 16, 16, 32])
    model.save_pretrained(tmp_path)
    hidden = [b.channel_attention.fc1.out_features for b in model.blocks().values()]
    assert hidden == [256 // 8, 512 // 16, 1024 // 16, 2048 // 32]
    again = load_checkpoint(tmp_path).model
    assert again._hub_mixin_config["reduction"] == [8, 16, 16, 32]
    with pytest.raises(ValueError, match="one number or four"):
        ResNetCBAM(**SMALL, reduction=[8, 16])


def test_a_skeleton_is_the_network_without_numbers():
    bones = skeleton(num_classes=3)
    assert all(t.is_meta for t in bones.state_dict().values())
    like = resnet18_cbam(num_classes=3).state_dict()
    shapes = {name: tensor.shape for name, tensor in bones.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in like.items()}
    # Only there is nothing drawn.
    assert resnet18_cbam(num_classes=3).conv1.weight.std() > 0
