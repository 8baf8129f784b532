"""What lies beside the weights: timm's own folders, transformers' layouts, files of class names.

timm is asked itself: its network, its transform and its way of saving against what opens here.
transformers is not installed; its two files are written as its documentation gives them.
"""

import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.models import save_for_hf

from cbam_viz import Explainer, WeightsError
from cbam_viz.models.checkpoints import load_checkpoint
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import ResNetCBAM


def of_timm(classes: int = 3, **settings):
    """timm's network with attention that varies, and settings as its factory takes them."""
    torch.manual_seed(1)
    net = timm.create_model(
        "resnet18",
        block_args={"attn_layer": "cbam"},
        num_classes=classes,
        pretrained_cfg_overlay=settings,
    )
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    torch.nn.init.normal_(net.fc.weight, 0, 0.2)
    return net.eval()


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A smooth picture, larger than any input, its sides of a ratio that nobody has to round."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return ResNetCBAM("basic", (1, 1, 1, 1), num_classes=3).state_dict()


@pytest.fixture
def folder(weights, tmp_path):
    torch.save(weights, tmp_path / "pytorch_model.bin")
    return tmp_path


def put(folder, name, value) -> None:
    (folder / name).write_text(json.dumps(value), "utf-8")


SETTINGS = {
    "CLIP's normalisation": {
        "mean": (0.481, 0.458, 0.408), "std": (0.269, 0.261, 0.276), "interpolation": "bicubic",
    },
    "one half, smaller, bilinear": {
        "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "input_size": (3, 160, 160),
        "interpolation": "bilinear", "crop_pct": 0.95,
    },
    "nothing normalised, whole": {
        "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "input_size": (3, 192, 192),
        "crop_pct": 1.0,
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", ["nested", "flat"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_folder_of_timms_gives_timms_probabilities(settings, layout, photo, tmp_path):
    net = of_timm(**SETTINGS[settings])
    names = {"label_names": ["n1", "n2", "n3"], "label_descriptions": {"n2": "a tabby, a cat"}}
    save_for_hf(net, tmp_path, model_config=names, safe_serialization=layout == "nested")
    if layout == "flat":  # as timm wrote it before 2022
        config = json.loads((tmp_path / "config.json").read_text())
        config |= config.pop("pretrained_cfg")
        config["labels"] = config.pop("label_names")
        config.pop("model_args", None)
        put(tmp_path, "config.json", config)

    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
    with torch.inference_mode():
        expected = net(transform(photo)[None]).softmax(1)[0]
    explainer = Explainer.from_pretrained(tmp_path)
    found = explainer.explain(photo, 3, view="crop").predictions
    assert {p.label for p in found} == {"n1", "a tabby, a cat", "n3"}
    for p in found:
        assert p.probability == pytest.approx(expected[p.index].item(), abs=2e-3)
    assert not any("Not understood" in note for note in explainer.facts.notes)
    # Without what the folder says, they are others.
    torch.save(net.state_dict(), tmp_path / "alone.pth")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone.pth").rename(tmp_path / "alone" / "net.pth")
    plain = Explainer.from_pretrained(tmp_path / "alone").explain(photo, 3, view="crop").predictions
    assert max(abs(p.probability - expected[p.index].item()) for p in plain) > 2e-3


def test_outputs_that_timm_leaves_without_a_name_keep_their_number(tmp_path):
    save_for_hf(of_timm(), tmp_path, model_config={"label_names": {"2": "c", "0": "a"}})
    assert load_checkpoint(tmp_path).classes == ("a", "class 1", "c")


def test_what_timm_says_and_cannot_be_followed_is_said(tmp_path):
    net = of_timm(crop_mode="border")
    save_for_hf(net, tmp_path, model_args={"aa_layer": "blurpool"}, model_config={"mystery": 1})
    notes = " ".join(load_checkpoint(tmp_path).notes)
    for words in ("crop mode 'border' is not followed", "model_args.aa_layer", "mystery"):
        assert words in notes
    config = json.loads((tmp_path / "config.json").read_text()) | {"global_pool": "max"}
    put(tmp_path, "config.json", config)
    with pytest.raises(WeightsError, match="global_pool = 'max'.*averages"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"label_names": ["n1", "n2", "n3"], "label_descriptions": 5}, "label_descriptions"),
        ({"architecture": "resnet18", "num_classes": 7}, "7 classes"),
        ({"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]}, "0 to 255"),
        ({"problem_type": "regression"}, "no classes"),
        ({"id2label": None, "crop_mode": "border", "architecture": "x"}, "border"),
        ({"pretrained_cfg": {}, "model_args": {"aa_layer": "blurpool"}}, "model_args.aa_layer"),
    ],
)
def test_what_contradicts_or_cannot_be_is_said(config, words, folder):
    put(folder, "config.json", config)
    assert words in " ".join(load_checkpoint(folder).notes)


@pytest.mark.parametrize(
    "config",
    [
        {"label2id": {"c": 2, "a": 0, "b": 1}},
        {"label2id": {"c": "2", "a": "0", "b": "1"}, "model_type": "resnet"},
        {"label_names": ["1", "2", "3"], "label_descriptions": ["a", "b", "c"]},
        {"pretrained_cfg": {"label_names": ["1", "b", "3"],
                            "label_descriptions": {"1": "a", "3": "c"}}},
        {"labels": {"2": "c", "0": "a", "1": "b"}, "architecture": "resnet18"},
        {"id2label": {"2": "c", "1": "b", "0": "a"}, "label2id": {"x": 0, "y": 1, "z": 2}},
    ],
)  # fmt: skip
def test_class_names_of_every_config(config, folder):
    put(folder, "config.json", config)
    assert load_checkpoint(folder).classes == ("a", "b", "c")


def test_names_with_gaps_are_no_outputs_of_ours(folder):
    put(folder, "config.json", {"id2label": {"0": "a", "1": "b", "10": "c"}})
    with pytest.raises(WeightsError, match="gaps"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "name",
    ["hparams.yaml", "data.yaml", "train_config.json", "label_list.csv", "preprocessing.json"],
)
def test_what_is_not_read_is_said(name, folder):
    (folder / name).write_text("mean: 1")
    (folder / "README.md").write_text("nothing of concern")
    notes = load_checkpoint(folder).notes
    assert [n for n in notes if "Not read" in n] == [
        f"Not read of what lies beside the weights: {name}."
    ]


def test_a_chosen_file_of_classes_is_read_wherever_it_lies(folder):
    (folder / "label names.csv").write_text("1,b\n0,a\n2,c\n")
    checkpoint = load_checkpoint(folder, folder / "label names.csv")
    assert checkpoint.classes == ("a", "b", "c")
    assert not any("Not read" in note for note in checkpoint.notes)


def test_a_file_opened_by_its_name_has_the_same_neighbours(tmp_path):
    save_for_hf(of_timm(mean=(0.1, 0.2, 0.3)), tmp_path, safe_serialization="both")
    assert load_checkpoint(tmp_path / "model.safetensors").preprocessing.mean == (0.1, 0.2, 0.3)
    torch.save(of_timm().state_dict(), tmp_path / "other.weights")  # whatever it is called
    # Of several files a config.json speaks of the standard one alone.
    assert load_checkpoint(tmp_path / "pytorch_model.bin").preprocessing == Preprocessing()


PREPROCESSORS = {
    "ResNet's": (
        {"crop_pct": 0.875, "do_normalize": True, "do_resize": True, "resample": 3,
         "feature_extractor_type": "ConvNextFeatureExtractor", "size": 224,
         "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.2, 0.2]},
        Preprocessing(224, 224, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2), "bicubic"),
    ),
    "ConvNeXT's": (
        {"crop_pct": 0.875, "size": {"shortest_edge": 224}, "resample": 2, "do_rescale": True,
         "rescale_factor": 1 / 255, "image_processor_type": "ConvNextImageProcessor"},
        Preprocessing(224, 256),
    ),
    "a crop": (
        {"size": {"shortest_edge": 256}, "do_center_crop": True, "resample": 1,
         "crop_size": {"height": 224, "width": 224}},
        Preprocessing(224, 256, interpolation="lanczos"),
    ),
    "not normalised": (
        {"size": {"height": 128, "width": 128}, "do_normalize": False},
        Preprocessing(128, 128, (0, 0, 0), (1, 1, 1)),
    ),
    "a list, and the resampling by its name": (
        {"size": [160, 160], "resample": "lanczos"},
        Preprocessing(160, 160, interpolation="lanczos"),
    ),
    "rescaled to -1..1": (
        {"size": {"shortest_edge": 224}, "rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3,
         "image_std": [1.0] * 3},
        Preprocessing(224, 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ),
    "not rescaled": (
        {"do_resize": False, "do_rescale": False, "image_mean": [127.5] * 3,
         "image_std": [255.0] * 3},
        Preprocessing(mean=(0.5, 0.5, 0.5), std=(1, 1, 1)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PREPROCESSORS)
def test_transformers_files_are_used(what, folder):
    given, expected = PREPROCESSORS[what]
    put(folder, "preprocessor_config.json", given)
    labels = {"id2label": {"2": "c", "0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1, "c": 2},
              "architectures": ["X"], "problem_type": "multi_label_classification"}  # fmt: skip
    put(folder, "config.json", labels)
    found = load_checkpoint(folder)
    assert found.classes == ("a", "b", "c")
    assert found.activation == "sigmoid"
    for name in ("size", "crop_resize", "interpolation"):
        assert getattr(found.preprocessing, name) == getattr(expected, name)
    assert found.preprocessing.mean == pytest.approx(expected.mean)
    assert found.preprocessing.std == pytest.approx(expected.std)
    squeezed = what in ("ResNet's", "not normalised", "a list, and the resampling by its name")
    assert any("not squeezed" in note for note in found.notes) == squeezed
    assert not any("Not understood" in note for note in found.notes)


def test_a_processor_of_transformers_5_is_read(folder):
    settings, expected = PREPROCESSORS["a crop"]
    put(folder, "processor_config.json", {"image_processor": settings, "processor_class": "X"})
    assert load_checkpoint(folder).preprocessing == expected


@pytest.mark.parametrize("size", [{"longest_edge": 512}, {"max_height": 224, "max_width": 224}])
def test_a_size_that_is_not_understood_is_said(size, folder):
    put(folder, "preprocessor_config.json", {"size": size})
    checkpoint = load_checkpoint(folder)
    assert checkpoint.preprocessing == Preprocessing()
    assert any("Not understood" in note and "size" in note for note in checkpoint.notes)


def test_what_transformers_says_and_cannot_be_followed_is_said(folder):
    odd = {
        "rescale_offset": True,
        "do_pad": True,
        "resample": 9,
        "size": {"height": 224, "width": 128},
    }
    put(folder, "preprocessor_config.json", odd)
    notes = " ".join(load_checkpoint(folder).notes)
    for words in ("do_pad, rescale_offset", "resampling 9", "128 x 224"):
        assert words in notes


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": 100_000}, "size is 100000 px; expected is a whole number, 32 to 1024"),
        ({"size": "224"}, "size is '224'; expected is a number"),
        ({"mean": [0.5, 0.5]}, "mean is .*expected are three numbers"),
        ({"std": [0.2, 0, 0.2]}, "std is .*more than 0"),
        ({"mean": [float("nan")] * 3}, "expected is a number"),
        ({"mean": [123.7, 116.3, 103.5]}, "divide it, and std, by 255"),
        ({"interpolation": "cubic"}, "there are: nearest, box, bilinear"),
        ([1], "no object but list"),
    ],
)
def test_input_settings_that_cannot_be_are_refused(values, words, folder):
    put(folder, "config.json", {"input": values})
    with pytest.raises(WeightsError, match=words):
        load_checkpoint(folder)


NAMES = {
    "labels.txt": "a\nb\nc\n",
    "class_names.txt": "a\nb\nc\n",
    "labels.json": '["a", "b", "c"]',
    "class_indices.json": '{"0": "a", "1": "b", "2": "c"}',
    "class_to_idx.json": '{"c": 2, "a": 0, "b": 1}',
    "id2label.json": '{"0": ["n01", "a"], "1": ["n02", "b"], "2": ["n03", "c"]}',
}


@pytest.mark.parametrize("name", NAMES)
def test_files_of_class_names_are_read(name, folder):
    (folder / name).write_text(NAMES[name])
    assert load_checkpoint(folder).classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("classes", ["a", "b", "c"]),
        ("class_to_idx", {"a": 0, "b": 1, "c": 2}),
        ("hyper_parameters", {"class_names": ["a", "b", "c"]}),
        ("meta", {"CLASSES": ("a", "b", "c")}),
    ],
)
def test_class_names_in_the_weights_own_file_are_used(where, value, weights, tmp_path):
    torch.save({"state_dict": weights, where: value}, tmp_path / "net.ckpt")
    assert load_checkpoint(tmp_path / "net.ckpt").classes == ("a", "b", "c")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_names_in_every_encoding_that_says_so(encoding, folder):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (folder / "classes.txt").write_bytes((mark + "蚂蚁\n蜜蜂\n猫\n").encode(encoding))
    assert load_checkpoint(folder).classes == ("蚂蚁", "蜜蜂", "猫")


@pytest.mark.parametrize("encoding", ["gbk", "big5", "shift-jis", "gb18030", "cp949"])
def test_names_in_another_encoding_are_refused_with_the_way_to_save_them(encoding, folder):
    (folder / "classes.txt").write_bytes(
        "蚂蚁\n蜜蜂\n猫\n".replace("蚂蚁", "猫").encode(encoding, "ignore")
    )
    with pytest.raises(WeightsError, match=r"as UTF-8.*Save as.*iconv -f GBK -t UTF-8 classes.txt"):
        load_checkpoint(folder)


# --- what makes probabilities of the outputs ------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    return lambda outputs: ResNetCBAM("basic", (1, 1, 1, 1), num_classes=outputs).eval()


@pytest.mark.parametrize(
    ("outputs", "beside", "config", "chosen", "activation", "said"),
    [
        (1, {}, {}, None, "sigmoid", "one output"),
        (3, {}, {}, None, "softmax", "--activation sigmoid"),
        (3, {}, {}, "sigmoid", "sigmoid", None),
        (3, {"criterion.pos_weight": torch.ones(3)}, {}, None, "sigmoid", "pos_weight"),
        (3, {}, {"activation": "sigmoid"}, None, "sigmoid", None),
        (3, {}, {"problem_type": "multi_label_classification"}, None, "sigmoid", None),
        (3, {}, {"problem_type": "single_label_classification"}, None, "softmax", None),
        (3, {}, {"activation": "sigmoid"}, "softmax", "softmax", None),
        (1000, {}, {}, None, "softmax", None),
    ],
)
def test_the_activation_is_told_or_assumed_and_said_or_chosen(
    outputs, beside, config, chosen, activation, said, trained, photo, tmp_path
):
    net = trained(outputs)
    torch.save(net.state_dict() | beside, tmp_path / "net.pth")
    if config:
        put(tmp_path, "config.json", config)
    explainer = Explainer.from_pretrained(tmp_path, activation=chosen)
    assert explainer.facts.activation == activation
    about = [note for note in explainer.facts.notes if "softmax" in note or "sigmoid" in note]
    assert [said in note for note in about] == ([True] if said else [])
    explanation = explainer.explain(photo, outputs)
    assert explanation.to_dict()["activation"] == activation
    with torch.inference_mode():
        x = explanation.view.input_tensor(photo, explainer.preprocessing)
        logits = net(x)[0]
    expected = logits.sigmoid() if activation == "sigmoid" else logits.softmax(0)
    for p in explanation.predictions:
        assert p.probability == pytest.approx(expected[p.index].item(), abs=1e-4)


def test_an_activation_that_is_none_is_refused(folder):
    with pytest.raises(ValueError, match="softmax or sigmoid, not 'relu'"):
        load_checkpoint(folder, activation="relu")
    put(folder, "config.json", {"activation": "relu"})
    with pytest.raises(WeightsError, match="activation = 'relu'; expected is softmax or sigmoid"):
        load_checkpoint(folder)


def test_the_planes_are_chosen_in_a_config_too(tmp_path, photo, trained):
    state = trained(3).state_dict()
    theirs = {
        k.replace("channel_attention.fc", "att.dense").replace("spatial_attention", "att.where"): v
        for k, v in state.items()
    }
    torch.save(theirs, tmp_path / "net.pth")
    assert any("--planes" in note for note in load_checkpoint(tmp_path).notes)
    put(tmp_path, "config.json", {"planes": "mean-max"})
    found = load_checkpoint(tmp_path)
    assert not any("--planes" in note for note in found.notes)
    key = "layer1.0.spatial_attention.conv.weight"
    assert torch.equal(found.model.state_dict()[key], state[key].flip(1))
