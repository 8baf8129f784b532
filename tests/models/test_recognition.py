"""Where in a file a network lies, and which it is; what is refused, in words."""

import pytest
import pytorchcv.model_provider
import timm
import torch
import torchvision
from reference_networks import (
    AUTHORS,
    TOLERANCE,
    Layout,
    Reference,
    as_saved,
    build,
    differences,
    ends_with,
    of_pytorchcv,
    of_timm,
    photo,
    randomise,
    record,
)
from torch import Tensor, nn

from cbam_viz.models.errors import WeightsError
from cbam_viz.models.key_names import FAMILIES
from cbam_viz.models.recognition import recognise

# --- wrappers ------------------------------------------------------------------------------------


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
        (short, 90),
        [beside, {"net": short}],
        {"fold": 3, "checkpoints": [short]},
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


@pytest.mark.parametrize("where", ["0.", "module.", "normalize."])
def test_a_normalisation_within_the_network_is_said(where, short):
    """robustness' and advertorch's way: nn.Sequential(Normalize, net)."""
    inside = {f"{where}mean": torch.ones(1, 3, 1, 1), f"{where}std": torch.ones(1, 3, 1, 1)}
    notes = " ".join(recognise(prefixed(short, "1.") | inside).notes)
    assert f"photos pass through {where}mean, {where}std" in notes


@pytest.mark.parametrize("names", [("student", "teacher"), ("left", "right"), ("a.net", "b.net")])
def test_two_networks_of_which_none_is_meant_are_refused(names, short):
    both = {k: v for name in names for k, v in prefixed(short, f"{name}.").items()}
    message = refusal(both)
    assert all(f"{name}." in message for name in names)
    assert "nothing tells which one is meant" in message


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
        ("layer1.0.ca.fc.0.weight", torch.ones(65, 64, 1, 1), ["no reduction", "[65, 64]"]),
        ("layer1.0.ca.fc.0.weight", torch.ones(8, 64, 1, 1), ["fc.2.weight", "[64, 8]"]),
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


def test_a_bias_in_some_blocks_alone_is_no_network_of_ours(short):
    message = refusal(short | {"layer1.0.sa.conv1.bias": torch.ones(1)})
    assert "layer1.0.sa.conv1.bias" in message and "without a place" in message
