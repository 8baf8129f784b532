"""The classifier: where it lies, how it is called, of which shape; what is none."""

import pytest
import torch
from reference_networks import as_saved
from torch import Tensor

from cbam_viz.models.errors import WeightsError
from cbam_viz.models.recognition import recognise


def prefixed(state: dict, prefix: str) -> dict:
    return {prefix + key: value for key, value in state.items()}


def without_head(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if not k.startswith("fc.")}


def refusal(weights) -> str:
    with pytest.raises(WeightsError) as caught:
        recognise(weights)
    return str(caught.value)


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
        # names of nobody's else: the shape tells
        ("", "fc1"),
        ("", "top"),
        ("", "dense"),
        ("model.", "model.final"),
        ("backbone.", "output_layer"),
        ("0.", "1"),  # nn.Sequential(body, head)
        ("0.", "1.2"),
        ("trunk.", "\u5206\u7c7b\u5668"),
    ],
)
@pytest.mark.parametrize("shape", ["linear", "without bias", "1x1 convolution"])
def test_a_classifier_is_found_where_it_is(path, head, shape, short, tmp_path):
    weight, bias = short["fc.weight"], short["fc.bias"]
    theirs = prefixed(without_head(short), path)
    theirs |= {f"{head}.weight": weight[:, :, None, None] if "1x1" in shape else weight}
    if shape != "without bias":
        theirs |= {f"{head}.bias": bias}
    network = recognise(as_saved({"state_dict": theirs}, tmp_path))
    assert torch.equal(network.state_dict["fc.weight"], weight)
    expected = torch.zeros_like(bias) if shape == "without bias" else bias
    assert torch.equal(network.state_dict["fc.bias"], expected)
    assert head.removeprefix(path) in " ".join(network.notes)
    assert network.beside == ()


def test_a_head_at_its_place_needs_no_bias(short):
    del short["fc.bias"]
    assert not recognise(short).state_dict["fc.bias"].any()


def test_a_second_layer_on_top_of_the_classifier_is_refused(short):
    on_top = {"classifier.weight": torch.ones(2, 10), "classifier.bias": torch.ones(2)}
    assert "head of several layers" in refusal(prefixed(short, "backbone.") | on_top)


@pytest.mark.parametrize("first", ["fc.0", "classifier.1", "1.2", "mlp_head.0"])
def test_a_head_of_several_layers_is_refused(first, short):
    root = first.rpartition(".")[0]
    several = {f"{first}.weight": torch.ones(8, 512), f"{first}.bias": torch.ones(8)}
    several |= {f"{root}.5.weight": torch.ones(4, 8), f"{root}.5.bias": torch.ones(4)}
    assert "head of several layers" in refusal(prefixed(without_head(short), "0.") | several)


@pytest.mark.parametrize(
    "name", ["projector", "embedding", "margin", "model.proj_out", "neck.0", "neck.fc"]
)
def test_what_is_no_classifier_is_not_taken_for_one(name, short):
    """A projection of contrastive learning, the weights of a margin's loss."""
    other = {f"{name}.weight": torch.ones(128, 512), f"{name}.bias": torch.ones(128)}
    message = refusal(prefixed(without_head(short), "backbone.") | other)
    assert "no classifier" in message and f"{name}.weight" in message


@pytest.mark.parametrize(
    "pieces",
    [("weight_g", "weight_v"), ("weight_orig", "weight_mask"), ("parametrizations.weight.0",)],
)
def test_a_classifier_in_pieces_is_said_to_be(pieces, short):
    theirs = without_head(short) | {f"fc.{p}": torch.ones(10, 512) for p in pieces}
    message = refusal(theirs)
    assert "no classifier" in message
    assert all(f"fc.{piece}" in message for piece in pieces)


def test_two_heads_of_which_none_is_meant_are_refused(short):
    two = {f"fc_{name}.weight": torch.ones(3, 512) for name in ("colour", "shape")}
    message = refusal(without_head(short) | two)
    assert "fc_colour.weight" in message and "fc_shape.weight" in message
    assert "no classifier" in refusal(without_head(short))
