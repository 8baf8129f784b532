import numpy as np
import pytest
import torch
from helpers import EXAMPLES, as_trained, folded
from PIL import Image
from torchvision.models import ResNet, get_model
from torchvision.models.resnet import Bottleneck
from torchvision.transforms import v2

from cbam_viz.models.checkpoints import Checkpoint, save_checkpoint
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import CONSTRUCTORS, ResNetCBAM, resnet18_cbam
from cbam_viz.training.data import Normalise
from cbam_viz.training.initialisation import (
    build,
    fit_strides,
    folded_network,
    initial,
    load_folded,
    load_plain_state,
    read_arrays,
)
from cbam_viz.training.recipe import Recipe

FILES = {"resnet18": "resnet18-f37072fd.pth", "resnet50": "resnet50-11ad3fa6.pth"}
CLASSES = ("ant", "bee", "cat")


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
        plain = as_trained(get_model(name))
        torch.save(plain.state_dict(), folder / FILES[name])
        return plain

    return put


@pytest.mark.parametrize("name", FILES)
def test_under_neutral_gates_the_network_computes_what_the_plain_one_does(torch_home, photos, name):
    plain = torch_home(name)
    model, pretrained = initial(Recipe(model=f"{name}_cbam"), CLASSES, unasked)
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
    model, pretrained = initial(Recipe(plain=True), CLASSES, unasked)
    assert not isinstance(model, ResNetCBAM)
    plain.fc = model.fc
    assert torch.equal(model.eval()(photos), plain(photos))
    assert "fc" not in pretrained and "layer4" in pretrained


def test_from_scratch():
    torch.manual_seed(3)
    model, pretrained = initial(Recipe(init="scratch"), CLASSES, unasked)
    torch.manual_seed(3)
    expected = resnet18_cbam(num_classes=3).state_dict()
    assert pretrained == set()
    assert all(torch.equal(v, expected[k]) for k, v in model.state_dict().items())


# ---------------------------------------------------------------- a folded trunk


def fold(plain, path, without=("layer4", "fc")):
    """A file of the arrays, of the stem to layer3 if nothing else is said."""
    arrays = folded(plain)
    np.savez(path, **{k: v for k, v in arrays.items() if k.split(".")[0] not in without})


def until_layer3(model, x):
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    return model.layer3(model.layer2(model.layer1(x)))


@pytest.mark.parametrize("plain", [False, True])
def test_a_folded_trunk_computes_what_it_did(tmp_path, photos, plain):
    original = as_trained(get_model("resnet18"))
    fold(original, tmp_path / "trunk.npz")
    recipe = Recipe(init=str(tmp_path / "trunk.npz"), plain=plain)
    model, pretrained = initial(recipe, CLASSES, lambda: photos)
    assert pretrained == {"conv1", "bn1", "layer1", "layer2", "layer3"}
    other = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        expected, got = until_layer3(original, other), until_layer3(model.eval(), other)
    assert (got - expected).norm() < 1e-4 * expected.norm()


def test_its_norms_hold_what_they_met(tmp_path, photos):
    fold(as_trained(get_model("resnet18")), tmp_path / "trunk.npz")
    model = build(Recipe(plain=True), 3)
    load_folded(model, read_arrays(tmp_path / "trunk.npz"), photos)
    with torch.no_grad():
        met = model.conv1(photos)
    variance, mean = torch.var_mean(met, (0, 2, 3), correction=0)
    assert torch.allclose(model.bn1.running_mean, mean, atol=1e-5)
    assert torch.allclose(model.bn1.running_var, variance, rtol=1e-4)
    assert not any(module._forward_pre_hooks for module in model.modules())


def without(arrays, *keys):
    return {k: v for k, v in arrays.items() if k not in keys}


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda a: {"features.conv.weight": np.zeros((1, 1, 1, 1))}, "have 'features.conv.weight'"),
        (lambda a: a | {"conv1": a["conv1.bias"]}, "have 'conv1', which this model has not"),
        (lambda a: a | {"layer1.5.conv1.bias": a["conv1.bias"]}, "have 'layer1.5.conv1.bias'"),
        (lambda a: a | {"bn1.bias": a["conv1.bias"]}, "have 'bn1.bias'"),
        (lambda a: a | {"layer1.0.spatial_attention.conv.weight": np.zeros((1, 2, 7, 7))},
         "have 'layer1.0.spatial_attention.conv.weight'"),
        (lambda a: without(a, "layer2.0.conv2.bias"), "lack 'layer2.0.conv2.bias'"),
        (lambda a: without(a, *(k for k in a if k.startswith("layer2.1"))), "lack 'layer2.1."),
        (lambda a: a | {"conv1.weight": np.zeros((64, 3, 3, 3), np.float32)},
         r"conv1.weight of shape \[64, 3, 3, 3\]; this model's is \[64, 3, 7, 7\]"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("plain", [False, True])
def test_arrays_of_another_network(tmp_path, photos, change, words, plain):
    arrays = folded(as_trained(get_model("resnet18", num_classes=3)))
    np.savez(tmp_path / "trunk.npz", **change(arrays))
    with pytest.raises(ValueError, match=words):
        initial(Recipe(init=str(tmp_path / "trunk.npz"), plain=plain), CLASSES, lambda: photos)


def test_files_that_hold_no_arrays(tmp_path):
    path = tmp_path / "trunk.npz"
    np.savez(path, a=np.zeros(10_000))
    whole = path.read_bytes()
    for content in (b"text", b"", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="trunk.npz is no .npz of a network's arrays"):
            read_arrays(path)
    np.savez(path, a=np.array([{}]))
    with pytest.raises(ValueError, match="trunk.npz is no .npz of a network's arrays"):
        read_arrays(path)
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "none.npz")


@pytest.fixture
def donor(tmp_path, photos):
    """A whole folded ResNet-18 of ImageNet's classes: its file, and the network itself."""
    plain = as_trained(get_model("resnet18"))
    fold(plain, tmp_path / "whole.npz", without=())
    return tmp_path / "whole.npz", plain


def test_with_its_own_classes_a_folded_network_keeps_its_classifier(donor, photos):
    path, plain = donor
    recipe = Recipe(init=str(path), classes="imagenet", teachers=["init"])
    model, pretrained = initial(recipe, range(1000), lambda: photos)
    assert pretrained == {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"}
    other = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        expected, got = plain(other), model.eval()(other)
    assert (got - expected).norm() < 1e-3 * expected.norm()
    _, pretrained = initial(Recipe(init=str(path)), CLASSES, lambda: photos)
    assert "layer4" in pretrained and "fc" not in pretrained


def test_a_folded_network_can_be_asked_as_it_is(donor, photos):
    path, plain = donor
    with torch.no_grad():
        expected, got = plain(photos), folded_network("resnet18", path)(photos)
    assert (got - expected).norm() < 1e-4 * expected.norm()
    with pytest.raises(ValueError, match="whole.npz is not of a whole resnet34"):
        folded_network("resnet34", path)


# ---------------------------------------------------------------- strides in the first convolution


def small_bottlenecks(name="", **options):
    """A ResNet of one bottleneck a stage."""
    return ResNet(Bottleneck, [1, 1, 1, 1], **options)


@pytest.fixture
def bottlenecks(tmp_path, monkeypatch):
    """A folded network of bottlenecks, which a recipe calls resnet50."""
    monkeypatch.setattr("cbam_viz.training.initialisation.get_model", small_bottlenecks)
    monkeypatch.setitem(
        CONSTRUCTORS, "resnet50_cbam", lambda **o: ResNetCBAM("bottleneck", [1, 1, 1, 1], **o)
    )
    torch.manual_seed(0)
    fold(as_trained(small_bottlenecks()), tmp_path / "whole.npz", without=())
    return tmp_path / "whole.npz"


def crops(seed, count=48, side=64):
    """Parts of real photos, as model input: in noise no cell tells of its neighbours."""
    torch.manual_seed(seed)
    names = ("barn", "coffee", "tripod", "alps", "sneakers")
    photos = [Image.open(EXAMPLES / f"{name}.jpg").convert("RGB") for name in names]
    cut = v2.Compose([v2.RandomResizedCrop(side, scale=(0.1, 0.5)), v2.PILToTensor()])
    return Normalise()(torch.stack([cut(photos[i % len(photos)]) for i in range(count)]))


def distance(network, donor, photos):
    """Of two networks' answers, relative to their spread over the photos."""
    with torch.no_grad():
        ours, theirs = network.eval()(photos), donor(photos)
    return float((ours - theirs).norm() / (theirs - theirs.mean(0)).norm())


def test_fitted_strides_do_what_the_donors_do(bottlenecks):
    donor = folded_network("resnet50", bottlenecks, stride_in_conv1=True)
    assert [donor.layer2[0].conv1.stride, donor.layer2[0].conv2.stride] == [(2, 2), (1, 1)]
    network = folded_network("resnet50", bottlenecks)
    unseen = crops(1, 16)
    before = distance(network, donor, unseen)
    new = fit_strides(donor, network, crops(0))
    assert distance(network, donor, unseen) < 0.1 * before
    stages = ("layer2", "layer3", "layer4")
    assert set(new) == {f"{s}.0.conv2.{kind}" for s in stages for kind in ("weight", "bias")}
    old, state = read_arrays(bottlenecks), network.state_dict()
    assert all(torch.equal(state[k], new.get(k, v)) for k, v in old.items())


def test_a_recipe_can_fit_strides(bottlenecks):
    donor = folded_network("resnet50", bottlenecks, stride_in_conv1=True)
    fields = {"model": "resnet50_cbam", "init": str(bottlenecks)}
    fields |= {"classes": "imagenet", "teachers": ["init"]}
    photos, unseen = crops(0), crops(1, 16)
    plain, _ = initial(Recipe(**fields), range(1000), lambda: photos)
    fitted, _ = initial(Recipe(**fields, stride_in_conv1=True), range(1000), lambda: photos)
    assert distance(fitted, donor, unseen) < 0.1 * distance(plain, donor, unseen)


# ---------------------------------------------------------------- a checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    model = as_trained(resnet18_cbam(num_classes=3, mlp_bias=False))
    folder = tmp_path_factory.mktemp("model")
    save_checkpoint(Checkpoint("mine", model, CLASSES, Preprocessing()), folder, half=False)
    return folder, model


def test_a_checkpoint_of_the_same_classes_is_taken_whole(folder, photos):
    path, theirs = folder
    model, pretrained = initial(Recipe(init=str(path)), CLASSES, unasked)
    assert torch.equal(model.eval()(photos), theirs(photos))
    assert model._hub_mixin_config["mlp_bias"] is False
    assert pretrained == {n for n, _ in model.named_children()} - {"relu", "maxpool", "avgpool"}
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("classes", [("ant", "bee"), ("cat", "bee", "ant")])
def test_with_other_classes_its_classifier_is_left(folder, classes):
    path, theirs = folder
    model, pretrained = initial(Recipe(init=str(path)), classes, unasked)
    assert model.fc.out_features == len(classes)
    assert "fc" not in pretrained
    trunk = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    assert all(torch.equal(model.state_dict()[k], v) for k, v in trunk.items())
    assert not torch.equal(model.fc.weight[:2], theirs.fc.weight[:2])


def test_checkpoints_that_do_not_fit(folder):
    path = str(folder[0])
    with pytest.raises(ValueError, match=r"layers = \[2, 2, 2, 2\], but resnet34_cbam has \[3"):
        initial(Recipe(model="resnet34_cbam", init=path), CLASSES, unasked)
    with pytest.raises(ValueError, match="block = basic, but resnet50_cbam has bottleneck"):
        initial(Recipe(model="resnet50_cbam", init=path), CLASSES, unasked)
    with pytest.raises(ValueError, match="a plain network cannot .* gates are not neutral"):
        initial(Recipe(init=path, plain=True), CLASSES, unasked)
    with pytest.raises(ValueError, match="no model 'nowhere'"):
        initial(Recipe(init="nowhere"), CLASSES, unasked)


def test_a_checkpoint_with_gates_in_some_blocks_alone(tmp_path, photos):
    theirs = as_trained(resnet18_cbam(num_classes=3, gated=["layer3.0", "layer4.1"]))
    save_checkpoint(Checkpoint("mine", theirs, CLASSES, Preprocessing()), tmp_path, half=False)
    init = str(tmp_path)
    model, _ = initial(Recipe(init=init, open_at="layer4.1"), CLASSES, unasked)
    assert list(model.blocks()) == ["layer3.0", "layer4.1"]
    assert torch.equal(model.eval()(photos), theirs(photos))
    with pytest.raises(ValueError, match="names layer4.0, which in .* has no gates; .*layer3.0"):
        initial(Recipe(init=init, open_at="layer4.0"), CLASSES, unasked)
    shown = {"evidence": 1, "teachers": ["init"], "trivial_augment": False, "erasing": 0}
    with pytest.raises(ValueError, match="the recipe names layer2.0, which in .* has no gates"):
        initial(
            Recipe(init=init, evidence_blocks=["layer2.0", "layer3.0"], **shown), CLASSES, unasked
        )


def test_a_plain_network_under_gates_is_itself(photos):
    plain = as_trained(get_model("resnet18", num_classes=3))
    model = resnet18_cbam(num_classes=3)
    load_plain_state(model, plain.state_dict())
    assert torch.equal(model.eval()(photos), plain(photos))
    with pytest.raises(RuntimeError, match="[Uu]nexpected|mismatch"):
        load_plain_state(model, get_model("resnet34").state_dict())


def test_a_plain_network_starts_from_what_a_plain_run_made(tmp_path, photos):
    plain = as_trained(get_model("resnet18", num_classes=3))
    model = resnet18_cbam(num_classes=3).eval()
    load_plain_state(model, plain.state_dict())
    save_checkpoint(Checkpoint("mine", model, CLASSES, Preprocessing()), tmp_path, half=False)
    recipe = Recipe(init=str(tmp_path), plain=True)
    again, pretrained = initial(recipe, CLASSES, unasked)
    assert not isinstance(again, ResNetCBAM)
    assert {"conv1", "layer4", "fc"} <= pretrained
    state = plain.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in again.state_dict().items())
    other, pretrained = initial(recipe, ("ant", "bee"), unasked)
    assert other.fc.out_features == 2 and "fc" not in pretrained
    assert torch.equal(other.layer4[1].bn2.weight, plain.layer4[1].bn2.weight)
