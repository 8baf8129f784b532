"""The Chinese names of ImageNet's classes, beside torchvision's English ones."""

import json
import re
from importlib.resources import files

from helpers import ROOT
from torchvision.models import ResNet50_Weights

WEIGHTS = ROOT / "weights"
ENGLISH = ResNet50_Weights.DEFAULT.meta["categories"]
CHINESE = (files("cbam_viz.training.recipes") / "imagenet_zh.txt").read_text("utf-8").splitlines()


def test_every_class_has_a_chinese_name_of_its_own():
    assert len(CHINESE) == len(ENGLISH) == 1000
    assert len(set(CHINESE)) == 1000
    for name in CHINESE:
        assert re.search(r"[\u3400-\u9fff]", name), name
        assert name == name.strip() and not re.search(r"[，、（）();/]", name), name


def test_the_names_stand_in_torchvisions_order():
    ours = dict(zip(ENGLISH, CHINESE, strict=True))
    for english, chinese in {
        "tench": "丁鱥",
        "crane bird": "鹤",
        "Cardigan": "卡迪根柯基犬",
        "kite": "鸢",
        "crane": "起重机",
        "cardigan": "开襟毛衣",
        "maillot": "连体紧身衣",
        "maillot tank suit": "连体泳衣",
        "mouse": "鼠标",
        "plane": "刨子",
        "toilet tissue": "卫生纸",
    }.items():
        assert ours[english] == chinese


def test_one_thing_has_one_name_in_all_bundled_models():
    ours = {en.lower(): zh for en, zh in zip(ENGLISH, CHINESE, strict=True)}
    config = json.loads((WEIGHTS / "resnet18-cbam-everyday117" / "config.json").read_text("utf-8"))
    shared = 0
    for en, zh in zip(config["classes"], config["classes_zh"], strict=True):
        if en.lower() in ours:
            assert ours[en.lower()] == zh, en
            shared += 1
    assert shared >= 30  # so many are in both
