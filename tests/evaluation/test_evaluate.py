"""Judging: photos and models whose figures are known before."""

import json
import shutil
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import SHARED
from PIL import Image

from cbam_viz import Explainer
from cbam_viz.evaluation.attention import (
    object_mask,
    off_centre_crop,
)
from cbam_viz.evaluation.evaluate import evaluate
from cbam_viz.evaluation.metrics import mass_on_object, pixel_auc
from cbam_viz.evaluation.photos import read_annotations, samples_by_folder
from cbam_viz.evaluation.report import save, table
from cbam_viz.explain.class_maps import class_maps
from cbam_viz.explain.view import ModelInput, View
from cbam_viz.models.attention import SpatialAttention
from cbam_viz.models.checkpoints import Checkpoint
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import ResNetCBAM

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "Red": (255, 0, 0), "white": (255,) * 3}
PRE = Preprocessing(size=64, crop_resize=72)
BLOCKS = ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]


class Ramp(SpatialAttention):
    """A gate that rises from left to right, whatever is there; falls for a negative slope."""

    def __init__(self, slope: float):
        super().__init__(norm=False)
        self.slope = slope

    def forward(self, x):
        ramp = torch.linspace(-1, 1, x.shape[3]) * self.slope / 2 + 0.5
        return ramp.expand(len(x), 1, *x.shape[2:])


SLOPES = dict(zip(BLOCKS, (0.8, 0, -0.8, 0.4), strict=True))


@pytest.fixture(scope="module")
def explainer():
    """Tells pure colours apart, and looks where `SLOPES` says.

    An untrained network under a classifier of nearest templates: features . 2t - |t|^2 is
    largest for the template t that is nearest to the features.
    """
    torch.manual_seed(0)
    model = ResNetCBAM("basic", [1, 1, 1, 1], num_classes=4).eval()
    for name, block in model.blocks().items():
        block.spatial_attention = Ramp(SLOPES[name])
    photos = [Image.new("RGB", (80, 64), c) for c in COLOURS.values()]
    view = View.whole((80, 64), PRE)
    seen = torch.cat([view.input_tensor(p, PRE) for p in photos])
    with torch.no_grad():
        fc, model.fc = model.fc, torch.nn.Identity()
        templates = model(seen)
        model.fc = fc
        sharpness = 8 / torch.cdist(templates, templates).max() ** 2
        fc.weight.copy_(2 * sharpness * templates)
        fc.bias.copy_(-sharpness * (templates**2).sum(1))
    return Explainer(model, COLOURS, PRE, name="rigged")


def paint(path: Path, colour: str, size: tuple[int, int] = (80, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLOURS[colour]).save(path, quality=95)


@pytest.fixture
def data(tmp_path) -> Path:
    """Ten photos, two of them in the wrong folder; "white" is a class without photos."""
    for i in range(4):
        paint(tmp_path / "data" / "blue" / f"a_ILSVRC2012_val_{i}.jpg", "blue")
        paint(tmp_path / "data" / "Red" / f"b_{i}.jpg", "Red", (64, 80))
    paint(tmp_path / "data" / "green" / "b_8.jpg", "Red")
    paint(tmp_path / "data" / "green" / "9.png", "blue")
    return tmp_path / "data"


def test_the_figures_of_known_photos(explainer, data):
    result = evaluate(explainer, data).to_dict()
    assert result["model"] == "rigged"
    assert result["photos"] == 10
    assert result["top1"] == 0.8
    assert result["top5"] == 1  # there are only four classes
    assert result["broken"] == []
    assert result["sources"] == {
        "a": {"photos": 4, "top1": 1, "top5": 1},
        "b": {"photos": 5, "top1": 0.8, "top5": 1},
        "unnamed": {"photos": 1, "top1": 0, "top5": 1},
        "ILSVRC2012_val_": {"photos": 4, "top1": 1, "top5": 1},
    }
    assert {n: (c["photos"], c["top1"]) for n, c in result["classes"].items()} == {
        "blue": (4, 1),
        "green": (2, 0),
        "Red": (4, 1),
    }
    assert result["confusions"] == [
        {"true": "green", "predicted": "blue", "photos": 1, "share_of_true": 0.5},
        {"true": "green", "predicted": "Red", "photos": 1, "share_of_true": 0.5},
    ]
    assert "attention" not in result


def test_calibration_is_that_of_what_the_explainer_says(explainer, data):
    confidence, right = [], []
    for path in data.glob("*/*"):
        first = explainer.explain(path, top_k=1).predictions[0]
        confidence.append(first.probability)
        right.append(first.label == path.parent.name)
    confidence, right, expected = np.array(confidence), np.array(right), 0
    for m in range(15):
        here = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if here.any():
            expected += here.mean() * abs(confidence[here].mean() - right[here].mean())
    found = evaluate(explainer, data).to_dict()["calibration_error"]
    assert found == pytest.approx(expected, abs=1e-3)


def test_how_constant_the_gates_are(explainer, data):
    gates = evaluate(explainer, data).to_dict()["gates"]
    assert list(gates) == BLOCKS
    for name, slope in SLOPES.items():
        assert gates[name]["spatial"]["range"] == pytest.approx(abs(slope), abs=1e-3)
    explained = [explainer.explain(path, top_k=1) for path in data.glob("*/*")]
    for name in BLOCKS:
        for kind in ("spatial", "channel"):
            figures = [getattr(e.block(name), f"{kind}_figures") for e in explained]
            found = gates[name][kind]
            assert found["range"] == pytest.approx(
                np.mean([f.max - f.min for f in figures]), abs=2e-4
            )
            assert found["deviation"] == pytest.approx(
                np.mean([f.deviation for f in figures]), abs=2e-4
            )


def annotate(path: Path, entries: dict) -> Path:
    path.write_text(json.dumps(entries))
    return path


def test_attention_that_is_known(explainer, data, tmp_path):
    """The object is the photo's right fifth, so it is the right part of every crop there is."""
    strip = [[0.8, 0], [1, 0], [1, 1], [0.8, 1]]
    entries = {
        "blue/a_ILSVRC2012_val_0.jpg": {"boxes": [[0.8, 0, 1, 1]]},
        # The contour counts, not the box.
        "Red/b_0.jpg": {"boxes": [[0, 0, 0.2, 1]], "contour": strip},
        "Red/b_1.jpg": {"boxes": [[0, 0, 1, 1]]},  # all of the photo: there is no crop
        "Red/nowhere.jpg": {"boxes": [[0, 0, 1, 1]]},
    }
    annotations = annotate(tmp_path / "annotations.json", entries)
    attention = evaluate(explainer, data, annotations=annotations).to_dict()["attention"]
    assert attention["annotations_without_photo"] == 1
    assert attention["annotated"] == 3
    assert attention["crops"] == 2
    assert attention["without_crop"] == 1
    assert list(attention["blocks"]) == BLOCKS == list(attention["grad_cam"])
    aucs = [attention["blocks"][b]["auc"] for b in BLOCKS]
    assert aucs[:3] == [1, 0.5, 0]
    # The outermost cells of the coarsest map are wider than the strip: ties at the edge.
    assert aucs[3] > 0.9
    assert [attention["blocks"][b]["pointing"] for b in BLOCKS[:3:2]] == [1, 0]
    flat = attention["blocks"]["layer2.0"]
    assert flat["mass"] == pytest.approx(attention["area"], abs=1e-4)
    assert flat["pointing"] == pytest.approx(attention["area"], abs=1e-4)
    assert flat["mass_ratio"] == pytest.approx(1, abs=1e-3)
    assert attention["blocks"]["layer1.0"]["mass_ratio"] > 1.2
    assert attention["blocks"]["layer3.0"]["mass_ratio"] < 0.8
    assert attention["centre_prior"]["auc"] < 0.5
    assert attention["mean_over_blocks"]["auc"] > 0.9  # the slopes add up to 0.4 / 4
    assert attention["blocks"]["layer1.0"]["auc_standard_error"] == 0


def cam_on(photo: Image.Image, explainer, block: str, index: int | None = None) -> np.ndarray:
    """Grad-CAM over a photo, of a class or of the predicted one."""
    seen = ModelInput.of(photo, explainer.preprocessing)
    indices = None if index is None else [index]
    _, maps = class_maps(explainer.model, seen.tensor, [block], indices)
    return seen.view.on_photo(maps[block][0], explainer.model.strides()[block])


def test_attention_is_measured_on_the_crop_with_the_true_class(explainer, data, tmp_path):
    """One photo by hand, from the crop to the figures."""
    path = data / "green" / "9.png"
    draw = np.random.default_rng(0)
    photo = Image.fromarray(draw.integers(0, 256, (150, 130, 3), np.uint8))
    photo.save(path)
    key, box = "green/9.png", [0.3, 0.1, 0.7, 0.5]
    annotations = annotate(tmp_path / "annotations.json", {key: {"boxes": [box]}})
    found = evaluate(explainer, data, annotations=annotations, seed=3).attention

    mask = object_mask(read_annotations(annotations)[key], photo.size)
    crop = off_centre_crop(mask, np.random.default_rng([3, zlib.crc32(key.encode())]))
    inside = mask[crop[1] : crop[3], crop[0] : crop[2]]
    explanation = explainer.explain(photo.crop(crop), top_k=1)
    for name in BLOCKS:
        gate = explanation.spatial_on_image(name)
        cam = cam_on(photo.crop(crop), explainer, name, list(COLOURS).index("green"))
        for values, row in ((gate, found.maps.blocks[name]), (cam, found.maps.grad_cam[name])):
            assert row.auc == pytest.approx(pixel_auc(values, inside), abs=1e-3)
            assert row.mass == pytest.approx(mass_on_object(values, inside), abs=1e-3)
    again = evaluate(explainer, data, annotations=annotations, seed=3).attention
    assert again == found


def test_large_photos_are_made_smaller_first(explainer, data, tmp_path):
    """The figures hardly change, and a photo of many pixels takes no time."""
    entries = {"green/9.png": {"boxes": [[0.8, 0, 1, 1]]}}
    annotations = annotate(tmp_path / "annotations.json", entries)
    paint(data / "green" / "9.png", "green", (4000, 3000))
    result = evaluate(explainer, data, annotations=annotations).to_dict()["attention"]
    assert result["blocks"]["layer1.0"]["auc"] == 1
    assert 0.1 < result["area"] < 0.4


def test_screen_and_files(explainer, data, tmp_path):
    entries = {"Red/b_0.jpg": {"boxes": [[0.8, 0, 1, 1]]}}
    result = evaluate(explainer, data, annotations=annotate(tmp_path / "a.json", entries))
    words = table(result)
    for figure in ("80.0%", "green -> blue", "centre prior", "Grad-CAM layer4.0", "layer1.0"):
        assert figure in words
    assert "Traceback" not in words
    assert max(map(len, words.splitlines())) <= 110
    files = save(result, tmp_path / "out" / "new")
    assert [f.name for f in files] == ["evaluation.json", "accuracy.png", "attention.png"]
    assert json.loads(files[0].read_text()) == result.to_dict()
    for file in files[1:]:
        assert min(Image.open(file).size) > 100
    assert str(tmp_path) not in files[0].read_text()


def test_nothing_to_crop_is_no_error(explainer, data, tmp_path):
    entries = {"Red/b_0.jpg": {"boxes": [[0, 0, 1, 1]]}}
    result = evaluate(explainer, data, annotations=annotate(tmp_path / "a.json", entries))
    assert result.attention.crops == 0
    assert "blocks" not in result.to_dict()["attention"]
    assert "0 off-centre crops of 1" in table(result)
    assert [f.name for f in save(result, tmp_path)] == ["evaluation.json", "accuracy.png"]


def test_a_checkpoint_and_a_val_folder_will_do(explainer, data, tmp_path):
    checkpoint = Checkpoint("a name", explainer.model, explainer.classes, PRE, sha256="0" * 64)
    shutil.move(data, tmp_path / "set" / "val")
    result = evaluate(checkpoint, tmp_path / "set").to_dict()
    assert (result["model"], result["sha256"], result["top1"]) == ("a name", "0" * 64, 0.8)


def test_folders_are_matched_by_name(explainer, data):
    labels = {s.key: s.label for s in samples_by_folder(data, explainer.classes)}
    assert labels["Red/b_0.jpg"] == list(COLOURS).index("Red")
    reversed_ = {s.key: s.label for s in samples_by_folder(data, explainer.classes[::-1])}
    assert all(reversed_[key] == 3 - label for key, label in labels.items())


@pytest.fixture
def flat(data, tmp_path) -> tuple[Path, dict[str, int]]:
    """The same ten photos in one folder with others beside them, and the labels in a file."""
    folder, labels = tmp_path / "flat", {}
    for sample in samples_by_folder(data, tuple(COLOURS)):
        key = sample.key.replace("/", "-")
        folder.mkdir(exist_ok=True)
        shutil.copy(sample.path, folder / key)
        labels[key] = sample.label
    paint(folder / "unlabelled.jpg", "white")
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder, labels


def test_labels_from_a_file(explainer, data, flat):
    """The figures are those of class folders; photos that the file does not name do not count."""
    folder, _ = flat
    found = evaluate(explainer, folder, labels=folder / "labels.json").to_dict()
    expected = evaluate(explainer, data).to_dict()
    for name in ("photos", "top1", "top5", "calibration_error", "classes", "gates"):
        assert found[name] == expected[name]


def test_objects_of_other_classes(explainer, data, flat, tmp_path):
    """Accuracy from the labels; attention on photos of classes that the model does not have,
    with the Grad-CAM of what it says."""
    folder, _ = flat
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 130, 3), np.uint8))
    path = tmp_path / "objects" / "val" / "violet" / "1.png"
    path.parent.mkdir(parents=True)
    photo.save(path)
    key, box = "violet/1.png", [0.3, 0.1, 0.7, 0.5]
    annotations = annotate(tmp_path / "a.json", {key: {"boxes": [box]}})
    result = evaluate(
        explainer, folder, folder / "labels.json", annotations, tmp_path / "objects", seed=3
    )
    assert result.predictions.top1 == 0.8
    assert result.attention.grad_cam_class == "predicted"
    assert "Grad-CAM is of the predicted class" in table(result)

    mask = object_mask(read_annotations(annotations)[key], photo.size)
    crop = off_centre_crop(mask, np.random.default_rng([3, zlib.crc32(key.encode())]))
    inside = mask[crop[1] : crop[3], crop[0] : crop[2]]
    cam = cam_on(photo.crop(crop), explainer, "layer4.0")
    row = result.attention.maps.grad_cam["layer4.0"]
    assert row.auc == pytest.approx(pixel_auc(cam, inside), abs=1e-3)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ("{", "not valid JSON"),
        ("[1]", "must hold"),
        ("{}", "must hold"),
        ('{"a.jpg": 4}', "a.jpg.*4 is no class.*0 to 3"),
        ('{"a.jpg": -1}', "-1 is no class"),
        ('{"a.jpg": true}', "True is no class"),
        ('{"a.jpg": "blue"}', "'blue' is no class"),
        ('{"a.jpg": 0, "Red-b_0.jpg": 1}', "1 of the 2 photos .*: a.jpg"),
    ],
)
def test_labels_that_cannot_be_used(explainer, flat, contents, words):
    folder, _ = flat
    (folder / "labels.json").write_text(contents)
    with pytest.raises(ValueError, match=words):
        evaluate(explainer, folder, labels=folder / "labels.json")


def test_photos_without_a_label(explainer, flat, tmp_path):
    folder, _ = flat
    with pytest.raises(ValueError, match="no labels.*--labels"):
        evaluate(explainer, folder)
    with pytest.raises(ValueError, match="annotations"):
        evaluate(explainer, folder, folder / "labels.json", objects=folder)
    with pytest.raises(OSError, match="nowhere"):
        evaluate(explainer, tmp_path / "nowhere", folder / "labels.json")


def test_classes_of_one_name_are_told_apart(explainer, flat):
    """Two of ImageNet's classes are called "crane", and two "maillot"."""
    folder, _ = flat
    twice = Explainer(explainer.model, ["crane", "green", "crane", "white"], PRE)
    found = evaluate(twice, folder, folder / "labels.json").predictions
    assert {n: c.photos for n, c in found.classes.items()} == {
        "crane (0)": 4,
        "green": 2,
        "crane (2)": 4,
    }
    assert {c.predicted for c in found.confusions} == {"crane (0)", "crane (2)"}


def break_photos(folder: Path, total: int, broken: int) -> None:
    for i in range(total):
        paint(folder / "blue" / f"a_{i}.jpg", "blue", (32, 32))
    good = (folder / "blue" / "a_0.jpg").read_bytes()
    for i in range(broken):  # cut off behind the header, or no photo at all
        contents = good[: len(good) // 2] if i % 2 else b"not a photo"
        (folder / "blue" / f"a_{i + 1}.jpg").write_bytes(contents)


def test_a_broken_photo_is_named_skipped_and_counted(explainer, tmp_path, capsys):
    break_photos(tmp_path, 200, 2)
    annotations = annotate(tmp_path / "a.json", {"blue/a_1.jpg": {"boxes": [[0.8, 0, 1, 1]]}})
    result = evaluate(explainer, tmp_path, annotations=annotations)
    assert result.broken == ["blue/a_1.jpg", "blue/a_2.jpg"]
    assert result.predictions.photos == 198
    assert result.attention.annotated == 0
    assert "skipped blue/a_2.jpg" in capsys.readouterr().err
    assert "2 broken" in table(result)


def test_too_many_broken_photos_end_it(explainer, tmp_path):
    break_photos(tmp_path, 200, 3)
    with pytest.raises(ValueError, match=r"more than 1% of 200 .*blue/a_2.jpg"):
        evaluate(explainer, tmp_path)


def test_folders_that_cannot_be_judged(explainer, data, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no class folders"):
        evaluate(explainer, tmp_path / "empty")
    (tmp_path / "bare" / "blue").mkdir(parents=True)
    with pytest.raises(ValueError, match="no photos"):
        evaluate(explainer, tmp_path / "bare")
    with pytest.raises(OSError, match="no folder"):
        evaluate(explainer, tmp_path / "nowhere")
    paint(data / "violet" / "c_1.jpg", "blue")
    with pytest.raises(ValueError, match=r"1 of the 4 class folders.*violet.*blue, green"):
        evaluate(explainer, data)


def test_a_class_name_must_say_which_class(data):
    with pytest.raises(ValueError, match="exactly one"):
        samples_by_folder(data, ["blue", "green", "Red", "Red"])


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "must hold a JSON object"),
        ("{}", "must hold a JSON object"),
        ('{"Red/b_0.jpg": {}}', "Red/b_0.jpg.*contour"),
        ('{"Red/b_0.jpg": {"boxes": []}}', "boxes"),
        ('{"Red/b_0.jpg": {"boxes": [[0, 1]]}}', "boxes"),
        ('{"Red/b_0.jpg": {"boxes": [[0, 0, 1, null]]}}', "boxes"),
        ('{"Red/b_0.jpg": {"contour": [[0, 0], [1, 1]]}}', "three points"),
        ('{"Red/b_0.jpg": {"contour": [[0, 0], [1, 1], [1]]}}', "three points"),
        ('{"Red/b_0.jpg": [[0, 0, 1, 1]]}', "expected"),
        ('{"other.jpg": {"boxes": [[0, 0, 1, 1]]}}', "none of the 1 .*other.jpg"),
    ],
)
def test_annotations_that_cannot_be_used(explainer, data, tmp_path, contents, words):
    (tmp_path / "a.json").write_text(contents)
    with pytest.raises(ValueError, match=words):
        evaluate(explainer, data, annotations=tmp_path / "a.json")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the photos are not part of the repository")
def test_the_bundled_model_on_real_photos(tmp_path):
    """Some annotated photos of val: far better than chance, and all figures there."""
    keys = sorted(read_annotations(SHARED / "val_annotations.json"))[::27]
    with tarfile.open(SHARED / "val-0.tar") as archive:
        names = {f"val/{key}" for key in keys}
        members = [m for m in archive if m.name.removeprefix("./") in names]
        archive.extractall(tmp_path, members, filter="data")
    explainer = Explainer.from_pretrained()
    result = evaluate(explainer, tmp_path, annotations=SHARED / "val_annotations.json").to_dict()
    assert result["photos"] == len(keys)
    assert result["top1"] > 0.5
    attention = result["attention"]
    assert attention["annotated"] == len(keys)
    assert attention["crops"] > len(keys) / 3
    assert attention["area"] < 0.5
    # On whole photos the prior scores about 0.86.
    assert 0.45 < attention["centre_prior"]["auc"] < 0.7
    assert list(attention["blocks"]) == list(explainer.model.blocks())
