"""What is measured on the page is what one call in Python gives."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from helpers import EXAMPLES, make_photo, visit_of
from PIL import Image, ImageOps

from cbam_viz import Explainer
from cbam_viz.evaluation import several
from cbam_viz.evaluation.deletion import deletion_curves
from cbam_viz.evaluation.drawn import box_outline, judge_drawn
from cbam_viz.evaluation.randomised import randomise
from cbam_viz.explain.class_maps import class_map
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import resnet18_cbam
from cbam_viz.ui import experiments, measuring
from cbam_viz.ui.opened import Models
from cbam_viz.ui.visit import Desk, Visit

BLOCK = "layer4.0"
MODEL = "resnet18-cbam-everyday117"
BOX = (0.2, 0.1, 0.7, 0.9)


@pytest.fixture(scope="module")
def models():
    return Models([MODEL])


@pytest.fixture(scope="module")
def explainer(models) -> Explainer:
    return models.get(MODEL)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """One that is no example."""
    path = tmp_path_factory.mktemp("photo") / "mine.png"
    coffee = Image.open(EXAMPLES / "coffee.jpg").convert("RGB")
    ImageOps.mirror(coffee.crop((60, 0, 560, 400))).save(path)
    return path


@pytest.fixture
def desk(models, explainer, photo) -> Desk:
    return Desk(Visit(models, MODEL, explainer.explain(photo)))


@pytest.fixture
def ask(desk):
    def ask(need: str, **more) -> dict:
        asked = {"id": "1", "need": need, "key": experiments.key_of(desk.visit.explanation)}
        return experiments.answered(desk, asked | more, nullcontext())[need]

    return ask


def steps(desk: Desk, need: str, **more) -> list[dict]:
    asked = {"id": "1", "need": need, "key": experiments.key_of(desk.visit.explanation)}
    return [answer[need] for answer in experiments.steps(desk, asked | more)]


def values_of(sent: dict) -> np.ndarray:
    import base64

    levels = np.frombuffer(base64.b64decode(sent["values"]), "<u2").astype(float)
    return levels.reshape(sent["rows"], sent["columns"]) / 65535 * sent["greatest"]


def test_a_class_map(ask, explainer, photo):
    for method in ("layer-cam", "occlusion"):
        answer = ask("classMap", target="hat", method=method, block=BLOCK)
        on = None if method == "occlusion" else BLOCK
        found = class_map(explainer, photo, "hat", method, on)
        assert answer["label"] == "hat" and answer["labelZh"] == explainer.classes_zh[found.index]
        assert answer["logit"] == pytest.approx(found.logit, abs=1e-4)
        assert answer["block"] == on and answer["map"]["stride"] == found.stride
        assert values_of(answer["map"]) == pytest.approx(
            found.values, abs=1e-3 * float(found.values.max())
        )


def test_the_cost_is_said_before(ask, desk, explainer, photo):
    costs = ask("subject")["costs"]
    one = several.put_to_test(explainer, photo, BLOCK)
    assert one.curves.orders.keys() == {"gate", "class map", "centre", "random"}
    assert costs["methods"]["grad-cam"] == 1
    assert costs["deletion"] == steps(desk, "deletion", block=BLOCK, method="eigen-cam")[-1]["done"]
    assert costs["randomised"] == len(one.randomised.gates[BLOCK])
    assert costs["several"] > costs["photos"] * costs["randomised"]


def test_every_class_can_be_searched(ask, explainer):
    names = ask("classes")
    assert names["en"] == list(explainer.classes)
    assert names["zh"] == list(explainer.classes_zh)
    assert "like it are" in ask("classMap", target="ha", method="grad-cam", block=BLOCK)["fault"]


def test_a_drawn_object(ask, explainer, photo):
    outline = box_outline(BOX)
    found = judge_drawn(explainer.explain(photo), outline)
    answer = ask("drawn", outline=[list(point) for point in outline])
    assert answer["area"] == pytest.approx(found.area)
    for said, (name, figures) in zip(answer["blocks"], found.blocks.items(), strict=True):
        assert said["name"] == name
        assert said["auc"] == pytest.approx(figures.auc, abs=1e-4)
        assert (said["pointing"], said["mass"]) == pytest.approx((figures.pointing, figures.mass))
    assert answer["centre"]["auc"] == pytest.approx(found.centre_prior.auc)
    assert answer["card"].startswith("data:image/png")


@pytest.mark.parametrize(
    "outline",
    [
        None,
        "all",
        [],
        [[0, 0], [1, 1]],
        [[0, 0], [2, 0], [2, 2]],
        [[0, 0], [1, 0], [1, 1], [0, 1]],
        [[0.5, 0.5], [0.6, 0.6], [0.7, 0.7]],
        [[0.1, 0.1]] * 3000,
    ],
)
def test_what_is_no_outline_gets_a_sentence(ask, outline):
    assert "outline" in ask("drawn", outline=outline)["fault"]
    assert "fault" not in ask("drawn", outline=box_outline(BOX))


def test_randomised_weights(ask, explainer, photo):
    answer = ask("randomised", block=BLOCK)
    found = randomise(explainer, photo)
    assert answer["index"] == found.index
    for kind in ("gates", "grad_cams"):
        for said in answer["correlations"][kind]:
            expected = found.correlations(said["name"], kind)
            assert said["values"] == pytest.approx(expected, abs=1e-3)
        for said, values in zip(answer["maps"][kind], getattr(found, kind)[BLOCK], strict=True):
            assert values_of(said) == pytest.approx(
                values, abs=1e-3 * max(1e-9, float(values.max()))
            )


def test_deletion_and_insertion(desk, explainer, photo):
    *told, answer = steps(desk, "deletion", block=BLOCK, method="layer-cam", target=7)
    assert [t["done"] for t in told] == sorted(t["done"] for t in told)
    assert all(t["done"] < answer["total"] for t in told) and len(told) > 5
    gate, cam = desk.visit.explanation.block(BLOCK), class_map(explainer, photo, 7, "layer-cam")
    maps = {"gate": (gate.spatial, gate.stride), "class map": (cam.values, cam.stride)}
    found = deletion_curves(explainer, photo, maps, 7)
    for said, (name, curve) in zip(answer["orders"], found.orders.items(), strict=True):
        assert said["name"] == name
        assert said["deletion"] == pytest.approx(curve.deletion, abs=1e-4)
        assert said["insertionArea"] == pytest.approx(curve.insertion_area, abs=1e-4)


def test_over_the_examples(desk, explainer, monkeypatch):
    files = {name: str(EXAMPLES / f"{name}.jpg") for name in ("coffee", "barn")}
    monkeypatch.setattr(measuring, "EXAMPLE_FILES", files)
    *told, answer = steps(desk, "several", block=BLOCK, method="grad-cam")
    assert [t["done"] for t in told] == [0, 1]
    found = several.over_photos(explainer, files.values(), BLOCK)
    for said in answer["orders"]:
        mean = found.deletion[said["name"]]
        assert said["deletion"] == pytest.approx([mean.mean, mean.standard_error], abs=1e-4)
        assert said["better"] == found.better[said["name"]]
    assert answer["survival"]["gates"][-1][0] == pytest.approx(
        found.survival["gates"][-1].mean, abs=1e-3
    )


def test_another_model_on_the_photo(ask, explainer, photo):
    payload = ask("rival", model=MODEL)["payload"]
    expected = explainer.explain(photo).predictions
    assert [p["label"] for p in payload["predictions"]] == [p.label for p in expected]
    assert "there are" in ask("rival", model="none-such")["fault"]
    assert "is text" in ask("rival", model=7)["fault"]


@pytest.mark.parametrize(
    "need, more, words",
    [
        ("classMap", {"method": "cam", "block": BLOCK}, "no method 'cam'"),
        ("classMap", {"method": ["grad-cam"], "block": BLOCK}, "no method"),
        ("classMap", {"method": "grad-cam", "block": "layer9"}, "no block 'layer9'"),
        ("classMap", {"method": "grad-cam", "block": BLOCK, "target": 117}, "no class 117"),
        ("classMap", {"method": "grad-cam", "block": BLOCK, "target": 0.5}, "index or its name"),
        ("randomised", {"block": BLOCK, "target": True}, "index or its name"),
        ("randomised", {}, "no block"),
    ],
)
def test_what_cannot_be_measured_is_said(ask, need, more, words):
    assert words in ask(need, **more)["fault"]


def test_a_photo_that_changes_meanwhile(ask, desk, explainer, monkeypatch):
    """The answer about the one before is not shown as the new one's; the next one is answered."""
    key = experiments.key_of(desk.visit.explanation)
    other = replace(desk.visit, explanation=explainer.explain(make_photo(90, 60)))

    def changing(*args):
        desk.change(lambda visit: other)
        return randomise(*args)

    monkeypatch.setattr(measuring, "randomise", changing)
    assert "another photo" in ask("randomised", block=BLOCK, key=key)["fault"]
    monkeypatch.undo()
    assert "fault" not in ask("randomised", block=BLOCK)


def test_nobody_waits_for_it_any_more(desk):
    """What is stopped in the middle ends, and the next one is answered."""
    key = experiments.key_of(desk.visit.explanation)
    asked = {"need": "deletion", "key": key, "block": BLOCK, "method": "eigen-cam"}
    answers = experiments.steps(desk, asked)
    next(answers)
    answers.close()
    assert len(steps(desk, "deletion", block=BLOCK, method="eigen-cam")) > 5


def test_a_model_of_one_class_and_flat_gates():
    model = resnet18_cbam(num_classes=1)
    model.neutralise_gates()
    explainer = Explainer(model, preprocessing=Preprocessing(size=64))
    desk = Desk(visit_of(explainer, explainer.explain(make_photo(80, 64))))
    visit = desk.visit
    assert "map" in measuring.class_map(visit, {"method": "grad-cam", "block": BLOCK})
    values = measuring.randomised(visit, {"block": BLOCK})["correlations"]["gates"][0]["values"]
    assert values[0] is None
    assert all(
        b["constant"] for b in measuring.drawn(visit, {"outline": box_outline(BOX)})["blocks"]
    )
    assert steps(desk, "deletion", block=BLOCK, method="eigen-cam")[-1]["orders"]
