"""What training scripts put beside the weights into the same file."""

import argparse

import pytest
import torch

from cbam_viz.models.checkpoints import load_checkpoint
from cbam_viz.models.resnet import ResNetCBAM


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return ResNetCBAM("basic", (1, 1, 1, 1), num_classes=3).state_dict()


def opened(weights, tmp_path, beside: dict):
    torch.save({"state_dict": weights} | beside, tmp_path / "net.pth")
    return load_checkpoint(tmp_path / "net.pth")


@pytest.mark.parametrize(
    "beside",
    [
        {"meta": {"dataset_meta": {"classes": ("a", "b", "c")}}},  # MMPretrain's
        {"args": argparse.Namespace(class_names=["a", "b", "c"])},
        {"config": {"data": {"label2id": {"c": 2, "a": 0, "b": 1}}}},
        {"hyper_parameters": {"vocab": ["a", "b", "c"]}},
        {"extra": {"idx2label": {"0": "a", "1": "b", "2": "c"}}},
    ],
)
def test_class_names_are_used_wherever_they_lie(beside, weights, tmp_path):
    assert opened(weights, tmp_path, beside).classes == ("a", "b", "c")


@pytest.mark.parametrize(
    "beside",
    [
        {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]},
        {"args": argparse.Namespace(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))},
        {"meta": {"mean": torch.tensor([0.5, 0.4, 0.3]), "std": torch.full((3,), 0.2)}},
        {"cfg": {"data": {"mean": [127.5, 102.0, 76.5], "std": [51.0] * 3}}},
    ],
)
def test_a_normalisation_is_used(beside, weights, tmp_path):
    found = opened(weights, tmp_path, beside).preprocessing
    assert found.mean == pytest.approx((0.5, 0.4, 0.3))
    assert found.std == pytest.approx((0.2, 0.2, 0.2))


@pytest.mark.parametrize(
    "beside",
    [{"img_size": 320}, {"hyper_parameters": {"image_size": [320, 320]}},
     {"args": argparse.Namespace(input_size=(3, 320, 320))}],
)  # fmt: skip
def test_a_size_is_said_not_to_be_followed(beside, weights, tmp_path):
    checkpoint = opened(weights, tmp_path, beside)
    assert checkpoint.preprocessing.size == 224
    assert any("320" in note and "config.json" in note for note in checkpoint.notes)


def test_what_says_nothing_is_passed_over(weights, tmp_path):
    beside = {"classes": 3, "mean": "imagenet", "img_size": 224, "std": None, "input_size": True}
    checkpoint = opened(weights, tmp_path, beside)
    assert checkpoint.classes[0] == "class 0"
    assert all("softmax" in note for note in checkpoint.notes)


@pytest.mark.parametrize("vocab", [{"a": 0, "word": 17}, [{"id": 1}], {"a": "b"}])
def test_what_is_called_like_classes_and_is_none_refuses_nothing(vocab, weights, tmp_path):
    checkpoint = opened(weights, tmp_path, {"vocab": vocab})
    assert checkpoint.classes == ("class 0", "class 1", "class 2")
    assert any("the weights' vocab" in note for note in checkpoint.notes)
