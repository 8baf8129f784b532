import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import get_model

from cbam_viz.models.checkpoints import Checkpoint, Preprocessing, save_checkpoint
from cbam_viz.models.resnet import ResNetCBAM, resnet18_cbam
from cbam_viz.training.recipe import Recipe
from cbam_viz.training.start import build, load_folded_trunk, load_plain, start

FILES = {"resnet18": "resnet18-f37072fd.pth", "resnet50": "resnet50-11ad3fa6.pth"}
CLASSES = ("ant", "bee", "cat")


def lively(model, seed=0):
    """Norms as after a training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.2, 0.6, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.running_mean.normal_(0, 0.3, generator=generator)
    return model.eval()


def unasked():
    raise AssertionError("photos are needed for a folded trunk alone")


@pytest.fixture
def photos():
    return torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    """torch's cache with plain weights in it, as a download would leave them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)

    def put(name):
        plain = lively(get_model(name))
        torch.save(plain.state_dict(), folder / FILES[name])
        return plain

    return put


@pytest.mark.parametrize("name", FILES)
def test_under_neutral_gates_the_network_computes_what_the_plain_one_does(torch_home, photos, name):
    plain = torch_home(name)
    model, pretrained = start(Recipe(model=f"{name}_cbam"), CLASSES, unasked)
    assert isinstance(model, ResNetCBAM)
    assert pretrained == {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}
    plain.fc = model.fc
    with torch.no_grad():
        # A quarter and four are powers of two: not a bit is lost on the way.
        assert torch.equal(model.eval()(photos), plain(photos))
        gates = [b.spatial_attention(torch.randn(1, 8, 5, 5)) for b in model.blocks().values()]
    assert all((gate == 0.5).all() for gate in gates)


def test_the_plain_twin_starts_from_the_same_weights(torch_home, photos):
    plain = torch_home("resnet18")
    model, pretrained = start(Recipe(plain=True), CLASSES, unasked)
    assert not isinstance(model, ResNetCBAM)
    plain.fc = model.fc
    assert torch.equal(model.eval()(photos), plain(photos))
    assert "fc" not in pretrained and "layer4" in pretrained


def test_from_scratch():
    torch.manual_seed(3)
    model, pretrained = start(Recipe(init="scratch"), CLASSES, unasked)
    torch.manual_seed(3)
    expected = resnet18_cbam(num_classes=3).state_dict()
    assert pretrained == set()
    assert all(torch.equal(v, expected[k]) for k, v in model.state_dict().items())


# ---------------------------------------------------------------- a folded trunk


def fold(plain, path):
    """Stem to layer3 of a plain network with each norm folded into the convolution before it."""
    arrays, modules = {}, dict(plain.named_modules())
    for name, conv in modules.items():
        if isinstance(conv, nn.Conv2d) and not name.startswith("layer4"):
            if name.endswith("downsample.0"):
                norm = modules[name[:-1] + "1"]
            else:
                norm = modules[name.replace("conv", "bn")]
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            arrays[f"{name}.weight"] = (conv.weight * scale[:, None, None, None]).detach().numpy()
            arrays[f"{name}.bias"] = (norm.bias - norm.running_mean * scale).detach().numpy()
    np.savez(path, **arrays)


def until_layer3(model, x):
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    return model.layer3(model.layer2(model.layer1(x)))


@pytest.mark.parametrize("plain", [False, True])
def test_a_folded_trunk_computes_what_it_did(tmp_path, photos, plain):
    original = lively(get_model("resnet18"))
    fold(original, tmp_path / "trunk.npz")
    recipe = Recipe(init=str(tmp_path / "trunk.npz"), plain=plain)
    model, pretrained = start(recipe, CLASSES, lambda: photos)
    assert pretrained == {"conv1", "bn1", "layer1", "layer2", "layer3"}
    other = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        expected, got = until_layer3(original, other), until_layer3(model.eval(), other)
    assert (got - expected).norm() < 1e-4 * expected.norm()


def test_its_norms_hold_what_they_met(tmp_path, photos):
    fold(lively(get_model("resnet18")), tmp_path / "trunk.npz")
    model = build(Recipe(plain=True), 3)
    load_folded_trunk(model, tmp_path / "trunk.npz", photos)
    with torch.no_grad():
        met = model.conv1(photos)
    variance, mean = torch.var_mean(met, (0, 2, 3), correction=0)
    assert torch.allclose(model.bn1.running_mean, mean, atol=1e-5)
    assert torch.allclose(model.bn1.running_var, variance, rtol=1e-4)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_trunk_of_another_network(tmp_path, photos):
    np.savez(tmp_path / "trunk.npz", **{"features.conv.weight": np.zeros((1, 1, 1, 1))})
    with pytest.raises(ValueError, match="'features.conv' is no convolution of this model"):
        start(Recipe(init=str(tmp_path / "trunk.npz")), CLASSES, lambda: photos)


# ---------------------------------------------------------------- a checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    model = lively(resnet18_cbam(num_classes=3, mlp_bias=False))
    folder = tmp_path_factory.mktemp("model")
    save_checkpoint(Checkpoint("mine", model, CLASSES, Preprocessing()), folder, half=False)
    return folder, model


def test_a_checkpoint_of_the_same_classes_is_taken_whole(folder, photos):
    path, theirs = folder
    model, pretrained = start(Recipe(init=str(path)), CLASSES, unasked)
    assert torch.equal(model.eval()(photos), theirs(photos))
    assert model._hub_mixin_config["mlp_bias"] is False
    assert pretrained == {n for n, _ in model.named_children()} - {"relu", "maxpool", "avgpool"}
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("classes", [("ant", "bee"), ("cat", "bee", "ant")])
def test_with_other_classes_its_classifier_is_left(folder, classes):
    path, theirs = folder
    model, pretrained = start(Recipe(init=str(path), frozen_epochs=1), classes, unasked)
    assert model.fc.out_features == len(classes)
    assert "fc" not in pretrained
    trunk = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    assert all(torch.equal(model.state_dict()[k], v) for k, v in trunk.items())
    assert not torch.equal(model.fc.weight[:2], theirs.fc.weight[:2])


def test_checkpoints_that_do_not_fit(folder):
    path = str(folder[0])
    with pytest.raises(ValueError, match=r"layers = \[2, 2, 2, 2\], but resnet34_cbam has \[3"):
        start(Recipe(model="resnet34_cbam", init=path), CLASSES, unasked)
    with pytest.raises(ValueError, match="block = basic, but resnet50_cbam has bottleneck"):
        start(Recipe(model="resnet50_cbam", init=path), CLASSES, unasked)
    with pytest.raises(ValueError, match="nothing would learn; set it to 0"):
        start(Recipe(init=path, frozen_epochs=1), CLASSES, unasked)
    with pytest.raises(ValueError, match="a plain network cannot .* gates are not neutral"):
        start(Recipe(init=path, plain=True), CLASSES, unasked)
    with pytest.raises(ValueError, match="no model 'nowhere'"):
        start(Recipe(init="nowhere"), CLASSES, unasked)


def test_a_plain_network_under_gates_is_itself(photos):
    plain = lively(get_model("resnet18", num_classes=3))
    model = resnet18_cbam(num_classes=3)
    load_plain(model, plain.state_dict())
    assert torch.equal(model.eval()(photos), plain(photos))
    with pytest.raises(RuntimeError, match="[Uu]nexpected|mismatch"):
        load_plain(model, get_model("resnet34").state_dict())


def test_a_plain_network_starts_from_what_a_plain_run_made(tmp_path, photos):
    plain = lively(get_model("resnet18", num_classes=3))
    model = resnet18_cbam(num_classes=3).eval()
    load_plain(model, plain.state_dict())
    save_checkpoint(Checkpoint("mine", model, CLASSES, Preprocessing()), tmp_path, half=False)
    recipe = Recipe(init=str(tmp_path), plain=True)
    again, pretrained = start(recipe, CLASSES, unasked)
    assert not isinstance(again, ResNetCBAM)
    assert {"conv1", "layer4", "fc"} <= pretrained
    state = plain.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in again.state_dict().items())
    other, pretrained = start(recipe, ("ant", "bee"), unasked)
    assert other.fc.out_features == 2 and "fc" not in pretrained
    assert torch.equal(other.layer4[1].bn2.weight, plain.layer4[1].bn2.weight)
