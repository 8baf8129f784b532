import dataclasses

import pytest

from cbam_viz.models.resnet import CONSTRUCTORS
from cbam_viz.training.recipe import Phase, Recipe, imagenet_classes_zh, load_recipe, recipes
from cbam_viz.training.teacher import TEACHERS

SHIPPED = "resnet18-cbam-everyday117"
IMAGENET = "resnet50-cbam-imagenet"


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def test_every_recipe_of_the_package_loads():
    assert {SHIPPED, IMAGENET} <= set(recipes())
    for name in recipes():
        assert set(load_recipe(name).teachers) <= TEACHERS.keys()


def test_the_recipe_of_imagenets_classes():
    recipe = load_recipe(IMAGENET)
    assert (recipe.model, recipe.classes) == ("resnet50_cbam", "imagenet")
    assert recipe.teachers == ("efficientnet-lite2", "init")
    assert recipe.evidence and len(recipe.evidence_blocks) == 9
    assert len(imagenet_classes_zh()) == 1000


def test_the_shipped_model_is_made_as_it_was():
    """What the bundled weights were trained with. A new field must leave all of this alone."""
    recipe = dataclasses.asdict(load_recipe(SHIPPED))
    # Of the finished model, not of its training.
    assert (recipe.pop("view_size"), recipe.pop("temperature")) == (160, 0.6)
    assert recipe.pop("open_at") == "layer4.0"
    assert recipe == {
        "model": "resnet18_cbam",
        "plain": False,
        "init": "torchvision",
        "stride_in_conv1": False,
        "classes": "folders",
        "phases": (
            {
                "epochs": 1,
                "learns": ("fresh",),
                "rate": 1.0,
                "warmup_epochs": 0.0,
                "sides": (112, 112),
            },
            {
                "epochs": 6,
                "learns": ("all",),
                "rate": 1.0,
                "warmup_epochs": 0.0,
                "sides": (112, 112),
            },
            {
                "epochs": 5,
                "learns": ("all",),
                "rate": 1.0,
                "warmup_epochs": 0.0,
                "sides": (112, 176),
            },
        ),
        "fixed_statistics": False,
        "batch_size": 64,
        "optimizer": "adamw",
        "lr": 1e-3,
        "pretrained_lr": 3e-4,
        "channel_gate_lr": 3e-4,
        "spatial_gate_lr": 1e-2,
        "weight_decay": 0.05,
        "warmup_epochs": 0.5,
        "label_smoothing": 0.1,
        "crop_scale": 0.35,
        "trivial_augment": True,
        "erasing": 0.1,
        "mixup": 0.0,
        "cutmix": 0.0,
        "teachers": ("efficientnet-lite2",),
        "teacher": 1.0,
        "evidence": 0.0,
        "evidence_blocks": (),
        "class_balance": 0.5,
        "ema": 0.998,
        "kept": (),
        "seed": 0,
        "val_every": 1,
    }


def test_from_a_file(tmp_path):
    text = 'model = "resnet50_cbam"\nlr = 1\nteachers = ["init"]\n'
    text += '[[phases]]\nlearns = ["gates", "fc"]\nrate = 2\n[[phases]]\nsides = [96, 96]\n'
    recipe = load_recipe(written(tmp_path, text))
    phases = (Phase(learns=("gates", "fc"), rate=2.0), Phase(sides=(96, 96)))
    assert recipe == Recipe(model="resnet50_cbam", lr=1.0, teachers=("init",), phases=phases)
    assert type(recipe.lr) is type(recipe.phases[0].rate) is float
    assert hash(recipe)  # no lists are left in it


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_every_constructor_can_be_named(name):
    assert Recipe(model=name).model == name


def test_what_is_kept_is_a_table(tmp_path):
    recipe = load_recipe(written(tmp_path, "kept = { layer3 = 0.4, fc = 1 }"))
    assert recipe.kept == (("layer3", 0.4), ("fc", 1.0)) and hash(recipe)
    assert dataclasses.replace(recipe, seed=1).kept == recipe.kept


def test_phases_by_epoch():
    phases = [Phase(2, sides=(96, 96)), Phase(1, ("fc",)), Phase(3, sides=(128, 160))]
    recipe = Recipe(phases=phases)
    assert recipe.epochs == 6
    expected = [phases[0]] * 2 + [phases[1]] + [phases[2]] * 3
    assert [recipe.phase(epoch) for epoch in range(6)] == expected
    with pytest.raises(IndexError, match="has 6 epochs"):
        recipe.phase(6)


@pytest.mark.parametrize("name", ["resnet18", "missing.toml", "../recipe"])
def test_there_is_no_such_recipe(name):
    with pytest.raises(ValueError, match="no recipe.*resnet18-cbam-everyday117.*toml file"):
        load_recipe(name)


EVIDENCE = """evidence = 1
evidence_blocks = ["layer4.0"]
teachers = ["init"]
trivial_augment = false
erasing = 0
"""


@pytest.mark.parametrize(
    "text, words",
    [
        ("learning_rate = 1", "unknown learning_rate; known are model, .*"),
        ("lr = = 1", "Invalid value .at line 1"),
        ('lr = "1e-3"', "lr must be a float, not '1e-3'"),
        ("seed = 3.5", "seed must be a int, not 3.5"),
        ("seed = true", "seed must be a int, not True"),
        ("epochs = 3", "unknown epochs; known are model, .*phases"),
        ("batch_size = 1", "batch_size must be 2 to 65536, not 1"),
        ("lr = -0.1", "lr must be 0 to 10, not -0.1"),
        ("lr = nan", "lr must be 0 to 10, not nan"),
        ("ema = 1", "ema must be 0 to 0.999999, not 1"),
        ("trivial_augment = 1", "trivial_augment must be a bool, not 1"),
        ('model = "resnet18"', "model must be one of resnet18_cbam, .*, not 'resnet18'"),
        ('optimizer = "adam"', "optimizer must be one of adamw, sgd, not 'adam'"),
        ("view_size = 16", "view_size must be 32 to 2048, or 0, not 16"),
        ("temperature = 0", "temperature must be 0.01 to 100, not 0"),
        ('teachers = "init"', "teachers must be a list of names, not 'init'"),
        ("teachers = [1]", "teachers must be a list of names, not .1."),
        ('teachers = ["init"]\nmixup = 0.2', "hold for one photo; set mixup and cutmix to 0"),
        ('teachers = ["init"]\ncutmix = 0.2', "hold for one photo; set mixup and cutmix to 0"),
        ('classes = "coco"', "classes must be one of folders, imagenet, not 'coco'"),
        ('classes = "imagenet"', "the teachers hold the outputs; name some"),
        ('classes = "imagenet"\nteachers = ["init"]\nteacher = 0', "teachers hold the outputs"),
        ('open_at = "layer5.0"', "resnet18_cbam has no block layer5.0; it has layer1.0, .*4.1"),
        ('evidence_blocks = ["layer4.0", "layer4.2"]', "has no block layer4.2; it has layer1.0"),
        ('evidence_blocks = "layer4.0"', "evidence_blocks must be a list of blocks' names"),
        (EVIDENCE.replace('teachers = ["init"]\n', ""), "it needs `teachers`, `evidence_blocks`"),
        (EVIDENCE.replace('["layer4.0"]', "[]"), "it needs `teachers`, `evidence_blocks` and"),
        (EVIDENCE + "plain = true", "a network that is not plain"),
        (
            EVIDENCE.replace("erasing = 0", "erasing = 0.1"),
            "set trivial_augment to false and erasing to 0",
        ),
        (EVIDENCE.replace("false", "true"), "set trivial_augment to false and erasing to 0"),
        ("kept = 0.5", "kept must be a table of shares for some of conv1, .*fc, not 0.5"),
        ("kept = { layer5 = 0.5 }", "kept must be a table of .*not {'layer5': 0.5}"),
        ("kept = { fc = 1.5 }", "kept of fc must be a share from 0 to 1, not 1.5"),
        ("kept = { fc = nan }", "kept of fc must be a share from 0 to 1, not nan"),
        ("kept = { fc = true }", "kept of fc must be a share from 0 to 1, not True"),
        ("phases = 5", "phases must be a list of tables, not 5"),
        ("phases = [160]", "phases must be a list of tables, not .160."),
        ("phases = []", "phases is empty; at least one table"),
        (
            "[[phases]]\nsizes = 5",
            "unknown sizes; known are epochs, learns, rate, warmup_epochs, sides",
        ),
        ("[[phases]]\nepochs = 0", "epochs of a phase must be 1 to 10000, not 0"),
        ("[[phases]]\nepochs = 3.5", "epochs of a phase must be 1 to 10000, not 3.5"),
        ("[[phases]]\nepochs = true", "epochs of a phase must be 1 to 10000, not True"),
        ("[[phases]]\nrate = 0", "rate of a phase must be above 0, at most 100, not 0"),
        (
            "[[phases]]\nwarmup_epochs = 2",
            "warmup_epochs of a phase must be 0 to its 1 .*, not 2.0",
        ),
        ("[[phases]]\nrate = nan", "rate of a phase must be .*, not nan"),
        ("[[phases]]\nrate = true", "rate of a phase must be .*, not True"),
        ("[[phases]]\nlearns = []", "learns of a phase must be a list of some of all, fresh"),
        ('[[phases]]\nlearns = "all"', "must be a list of some of .*, not 'all'"),
        ('[[phases]]\nlearns = ["fc", "head"]', "norms, conv1, .*, not .'fc', 'head'"),
        ("[[phases]]\nlearns = [1]", "must be a list of some of .*, not .1,"),
        ("[[phases]]\nsides = 160", r"sides of a phase must be .least side, .*, not 160"),
        ("[[phases]]\nsides = [160]", "sides of a phase must be"),
        ("[[phases]]\nsides = [160, 128]", "least side, greatest side"),
        ("[[phases]]\nsides = [16, 160]", "32 to 2048 px"),
        ("[[phases]]\nsides = [160, 160.0]", "sides of a phase must be"),
    ],
)
def test_a_field_that_cannot_be(tmp_path, text, words):
    with pytest.raises(ValueError, match=f"(?s)recipe .*mine.toml.*{words}"):
        load_recipe(written(tmp_path, text))
