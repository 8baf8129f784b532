"""Whether a network was ever trained."""

import pytest
import torch
import torchvision
from reference_networks import LUUUYI, PACKAGES, SHORT, Reference, photo, randomise, record
from torch import nn

from cbam_viz.models.recognition import recognise
from cbam_viz.models.resnet import ResNetCBAM
from cbam_viz.models.untrained import why_untrained


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
