"""The contract that others program against."""

import copy
import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import EXAMPLES
from PIL import Image

from cbam_viz import Explainer, PhotoError, list_checkpoints, load_model
from cbam_viz.explain.anatomy import dissect
from cbam_viz.explain.class_maps import class_maps
from cbam_viz.explain.view import ModelInput
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import ResNetCBAM, resnet18_cbam

COFFEE = EXAMPLES / "coffee.jpg"


@pytest.fixture(scope="module")
def explainer():
    return Explainer.from_pretrained()


@pytest.fixture(scope="module")
def explanation(explainer):
    return explainer.explain(COFFEE)


def test_a_photo_gives_predictions_and_every_block(explainer, explanation):
    assert explanation.image.size == (600, 400)
    assert explanation.image.mode == "RGB"
    assert [b.name for b in explanation.blocks] == list(explainer.model.blocks())
    probabilities = [p.probability for p in explanation.predictions]
    assert len(probabilities) == 5
    assert probabilities == sorted(probabilities, reverse=True)
    for p in explanation.predictions:
        assert explainer.classes[p.index] == p.label


def test_it_knows_shoes(explainer):
    best = explainer.explain(EXAMPLES / "sneakers.jpg").predictions[0]
    assert best.label in ("shoes", "running shoe")
    assert best.probability > 0.5


@pytest.mark.parametrize("name", ["coffee.jpg", "galaxies.jpg", "twelve megapixels"])
def test_the_numbers_are_those_of_the_pixels(explainer, name, tmp_path):
    """Not of the file: a JPEG, a PNG copy, pixels in memory, and the same photo once it has been
    decoded, shown and saved."""
    file = EXAMPLES / name
    if name == "twelve megapixels":
        file = tmp_path / "large.jpg"
        with Image.open(COFFEE) as small:
            small.resize((4000, 3000)).save(file, quality=95)
    first = explainer.explain(file, top_k=3)
    with Image.open(file) as opened:
        pixels = opened.convert("RGB")
    pixels.save(tmp_path / "copy.png", compress_level=1)
    first.photo.at_least(100, 100)
    first.overlay(first.blocks[-1].name)
    for photo in (first.photo, tmp_path / "copy.png", np.asarray(pixels), file):
        again = explainer.explain(photo, top_k=3)
        assert again.predictions == first.predictions
        for a, b in zip(again.blocks, first.blocks, strict=True):
            assert np.array_equal(a.spatial, b.spatial) and np.array_equal(a.channel, b.channel)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("training", [False, True])
def test_a_model_of_any_precision_and_mode_is_served_in_float32(dtype, training):
    torch.manual_seed(0)
    plain = resnet18_cbam(num_classes=5).eval()
    given = copy.deepcopy(plain).to(dtype).train(training)
    before = {k: v.clone() for k, v in given.state_dict().items()}
    explainer = Explainer(given, preprocessing=Preprocessing(size=64))
    found = explainer.explain(COFFEE, top_k=5)
    expected = Explainer(plain, preprocessing=Preprocessing(size=64)).explain(COFFEE, top_k=5)
    within = {torch.float32: 0, torch.float64: 1e-6, torch.float16: 1e-2, torch.bfloat16: 5e-2}
    for a, b in zip(found.blocks, expected.blocks, strict=True):
        assert a.spatial.dtype == np.float32
        assert np.abs(a.spatial - b.spatial).max() <= within[dtype]
    dissect(explainer, found, "layer4.1")
    inputs = ModelInput.of(COFFEE, explainer.preprocessing).tensor
    class_maps(explainer.model, inputs, ["layer4.1"])
    # What was given is as it was.
    assert all(m.training == training for m in given.modules())
    assert all(torch.equal(v, before[k]) for k, v in given.state_dict().items())
    assert all(v.dtype == before[k].dtype for k, v in given.state_dict().items())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_a_model_on_a_gpu_is_served_from_the_cpu():
    given = resnet18_cbam(num_classes=5).half().cuda()
    explanation = Explainer(given, preprocessing=Preprocessing(size=64)).explain(COFFEE)
    assert np.isfinite(explanation.blocks[-1].spatial).all()
    assert next(given.parameters()).is_cuda


def test_the_gates_are_those_of_the_model_as_it_was_loaded(explainer):
    """Without Explainer, Recorder and View: torch's own hooks on the unfolded network."""
    explanation = explainer.explain(Image.open(COFFEE))
    model, pre = load_model(), explainer.preprocessing
    seen = {}
    for name, block in model.blocks().items():
        for kind in ("channel", "spatial"):
            getattr(block, f"{kind}_attention").register_forward_hook(
                lambda m, a, out, key=(name, kind): seen.update({key: out[0].numpy()})
            )
    size = (round(pre.size * 600 / 400), pre.size)
    photo = Image.open(COFFEE).convert("RGB").resize(size, Image.Resampling.BILINEAR)
    x = torch.from_numpy(np.asarray(photo).astype(np.float32) / 255).permute(2, 0, 1)
    x = (x - torch.tensor(pre.mean)[:, None, None]) / torch.tensor(pre.std)[:, None, None]
    with torch.inference_mode():
        probabilities = model(x[None]).softmax(1)[0]
    for p in explanation.predictions:
        assert p.probability == pytest.approx(probabilities[p.index].item(), abs=1e-4)
    for b in explanation.blocks:
        assert b.channel == pytest.approx(seen[b.name, "channel"][:, 0, 0], abs=1e-4)
        assert b.spatial == pytest.approx(seen[b.name, "spatial"][0], abs=1e-4)
        assert b.channel.dtype == b.spatial.dtype == np.float32
        for gate in (b.channel, b.spatial):
            assert 0 < gate.min() <= gate.max() < 1


def test_from_every_kind_of_source_the_same(explainer):
    image = Image.open(COFFEE).convert("RGB")
    image.thumbnail((220, 220))
    array = np.asarray(image)
    expected = explainer.explain(array).to_dict()
    assert explainer.explain(image).to_dict() == expected


def test_files_bytes_and_file_objects_give_the_same(explainer, explanation):
    expected = explanation.to_dict()
    assert explainer.explain(str(COFFEE)).to_dict() == expected
    assert explainer.explain(COFFEE.read_bytes()).to_dict() == expected
    with COFFEE.open("rb") as file:
        assert explainer.explain(file).to_dict() == expected


def test_a_large_jpeg_keeps_its_size_and_its_numbers(explainer, tmp_path):
    """It is decoded at reduced size for the network, and in full when it is looked at."""
    image = Image.open(COFFEE).resize((3000, 2000), Image.Resampling.LANCZOS)
    image.save(tmp_path / "large.jpg", quality=95)
    reduced = explainer.explain(tmp_path / "large.jpg")
    full = explainer.explain(Image.open(tmp_path / "large.jpg"))
    assert reduced.photo.size == reduced.image.size == (3000, 2000)
    assert reduced.spatial_on_image("layer4.1").shape == (2000, 3000)
    for a, b in zip(reduced.blocks, full.blocks, strict=True):
        assert np.abs(a.spatial - b.spatial).mean() < 0.02


def test_a_turned_jpeg_is_upright(explainer, tmp_path):
    image = Image.open(COFFEE)
    exif = Image.Exif()
    exif[274] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    image.save(tmp_path / "turned.jpg", exif=exif)
    e = explainer.explain(tmp_path / "turned.jpg")
    assert e.photo.size == e.image.size == (400, 600)
    assert e.view.size[0] < e.view.size[1]


def test_blocks_are_found_by_name(explanation):
    assert explanation.block("layer4.1") is explanation.blocks[-1]
    with pytest.raises(ValueError, match=r"'layer9.0'.*layer1\.0, .*layer4\.1"):
        explanation.block("layer9.0")
    assert [b.stride for b in explanation.blocks] == [4, 4, 8, 8, 16, 16, 32, 32]


def test_results_are_frozen(explanation):
    with pytest.raises(dataclasses.FrozenInstanceError):
        explanation.blocks[0].name = "another"
    with pytest.raises(ValueError, match="read-only"):
        explanation.blocks[0].spatial[0, 0] = 1


def test_figures_of_a_gate(explanation):
    block = explanation.blocks[3]
    values = block.spatial.astype(np.float64)
    figures = block.spatial_figures
    assert figures.min == values.min()
    assert figures.max == values.max()
    assert figures.mean == pytest.approx(values.mean(), abs=1e-6)
    assert figures.deviation == pytest.approx(
        np.sqrt(((values - values.mean()) ** 2).mean()), abs=1e-6
    )


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (1, 1), (5000, 10), (33, 47)])
def test_odd_photos_are_explained(explainer, size):
    e = explainer.explain(Image.new("RGB", size, "teal"))
    assert e.spatial_on_image("layer2.0").shape == size[::-1]
    assert e.view.squeezed == (max(size) > 4 * min(size))


def test_many_photos_at_once_give_what_each_gives_alone(explainer):
    files = sorted(EXAMPLES.glob("*.jpg"))
    together = explainer.explain_batch(files + files[:2], top_k=3, batch_size=2)
    assert len(together) == len(files) + 2
    for file, e in zip(files + files[:2], together, strict=True):
        alone = explainer.explain(file, top_k=3)
        assert [p.label for p in e.predictions] == [p.label for p in alone.predictions]
        for a, b in zip(e.blocks, alone.blocks, strict=True):
            assert a.spatial == pytest.approx(b.spatial, abs=1e-4)
            assert a.channel == pytest.approx(b.channel, abs=1e-4)


def test_photos_of_one_size_share_a_pass(explainer, monkeypatch):
    passes = []
    forward = ResNetCBAM.forward
    monkeypatch.setattr(ResNetCBAM, "forward", lambda m, x: passes.append(len(x)) or forward(m, x))
    explainer.explain_batch([np.full((64, 64, 3), i, np.uint8) for i in range(5)])
    assert passes == [5]


def test_forty_threads_get_each_their_own(explainer):
    files = sorted(EXAMPLES.glob("*.jpg"))
    expected = {f: explainer.explain(f).to_dict() for f in files}
    jobs = [files[i % len(files)] for i in range(80)]
    with ThreadPoolExecutor(40) as pool:
        for f, got in zip(jobs, pool.map(lambda f: explainer.explain(f).to_dict(), jobs)):  # noqa: B905
            assert got == expected[f]


def test_the_crop_is_another_view(explainer, explanation):
    crop = explainer.explain(COFFEE, view="crop")
    side = explainer.preprocessing.size
    assert crop.view.size == (side, side)
    assert np.isnan(crop.spatial_on_image("layer4.1")[0, 0])
    assert not np.isnan(crop.spatial_on_image("layer4.1")[200, 300])


def test_the_answer_as_plain_values(explainer, explanation):
    answer = json.loads(json.dumps(explanation.to_dict()))
    assert answer["model"] == list_checkpoints()[0]
    assert answer["image_size"] == [600, 400]
    assert set(answer["predictions"][0]) == {"label", "probability", "index"}
    for given, block in zip(answer["blocks"], explanation.blocks, strict=True):
        assert given["stride"] == block.stride
        assert np.array(given["spatial"]) == pytest.approx(block.spatial, abs=5.1e-5)
        assert np.array(given["channel"]) == pytest.approx(block.channel, abs=5.1e-5)


@pytest.mark.parametrize("top_k", [0, -1])
def test_top_k_out_of_range(explainer, top_k):
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        explainer.explain(COFFEE, top_k=top_k)


def test_all_classes_are_as_many_predictions_as_there_are(explainer):
    predictions = explainer.explain(COFFEE, top_k=500).predictions
    assert len({p.index for p in predictions}) == 117
    assert sum(p.probability for p in predictions) == pytest.approx(1, abs=1e-5)


def test_unknown_view(explainer):
    with pytest.raises(ValueError, match="'corner'.*whole, crop"):
        explainer.explain(COFFEE, view="corner")


def test_what_is_no_photo(explainer, tmp_path):
    (tmp_path / "note.jpg").write_text("no photo")
    for source in (tmp_path / "note.jpg", b"", tmp_path, tmp_path / "absent.png", b"GIF89a"):
        with pytest.raises(PhotoError):
            explainer.explain(source)


def test_a_jpeg_cut_off_is_named(explainer, tmp_path):
    (tmp_path / "half.jpg").write_bytes(COFFEE.read_bytes()[:30_000])
    with pytest.raises(PhotoError, match=r"half\.jpg"):
        explainer.explain(tmp_path / "half.jpg")


def test_own_models_and_their_classes():
    model = resnet18_cbam(num_classes=3)
    e = Explainer(model, ["a", "b", "c"]).explain(np.zeros((40, 50, 3), np.uint8))
    assert {p.label for p in e.predictions} == {"a", "b", "c"}
    assert e.model.untrained  # as it was initialised
    with pytest.raises(ValueError, match="2 class names for a model with 3 outputs"):
        Explainer(model, ["a", "b"])
    assert Explainer(model).classes == ("class 0", "class 1", "class 2")


def test_the_bundled_gates_are_trained(explanation):
    assert explanation.model.untrained is None
    assert len(explanation.model.sha256) == 64
