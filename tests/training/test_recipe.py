import dataclasses

import pytest

from cbam_viz.models.resnet import CONSTRUCTORS
from cbam_viz.training.recipe import Recipe, load_recipe, recipes

SHIPPED = "resnet18-cbam-everyday117"


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def test_every_recipe_of_the_package_loads():
    assert SHIPPED in recipes()
    for name in recipes():
        assert isinstance(load_recipe(name), Recipe)


def test_the_shipped_model_is_made_as_it_was():
    """What the bundled weights were trained with. A new field must leave all of this alone."""
    recipe = dataclasses.asdict(load_recipe(SHIPPED))
    # Of the finished model, not of its training.
    assert (recipe.pop("view_size"), recipe.pop("temperature")) == (160, 0.6)
    assert recipe == {
        "model": "resnet18_cbam",
        "plain": False,
        "init": "torchvision",
        "epochs": 12,
        "frozen_epochs": 1,
        "sizes": [[0, 112, 112], [7, 112, 176]],
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
        "teacher": 1.0,
        "class_balance": 0.5,
        "ema": 0.998,
        "seed": 0,
        "val_every": 1,
    }


def test_from_a_file(tmp_path):
    recipe = load_recipe(
        written(tmp_path, 'model = "resnet50_cbam"\nlr = 1\nsizes = [[0, 96, 96]]')
    )
    assert recipe == Recipe(model="resnet50_cbam", lr=1.0, sizes=[[0, 96, 96]])
    assert type(recipe.lr) is float


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_every_constructor_can_be_named(name):
    assert Recipe(model=name).model == name


def test_sides_by_epoch():
    recipe = Recipe(sizes=[[0, 96, 96], [2, 96, 128], [4, 128, 160]])
    expected = [(96, 96)] * 2 + [(96, 128)] * 2 + [(128, 160)] * 2
    assert [recipe.sides(epoch) for epoch in range(6)] == expected


@pytest.mark.parametrize("name", ["resnet18", "missing.toml", "../recipe"])
def test_there_is_no_such_recipe(name):
    with pytest.raises(ValueError, match="no recipe.*resnet18-cbam-everyday117.*toml file"):
        load_recipe(name)


@pytest.mark.parametrize(
    "text, words",
    [
        ("learning_rate = 1", "unknown learning_rate; known are model, .*"),
        ("lr = = 1", "Invalid value .at line 1"),
        ('lr = "1e-3"', "lr must be a float, not '1e-3'"),
        ("epochs = 3.5", "epochs must be a int, not 3.5"),
        ("epochs = true", "epochs must be a int, not True"),
        ("epochs = 0", "epochs must be 1 to 10000, not 0"),
        ("batch_size = 1", "batch_size must be 2 to 65536, not 1"),
        ("lr = -0.1", "lr must be 0 to 10, not -0.1"),
        ("lr = nan", "lr must be 0 to 10, not nan"),
        ("ema = 1", "ema must be 0 to 0.999999, not 1"),
        ("trivial_augment = 1", "trivial_augment must be a bool, not 1"),
        ('model = "resnet18"', "model must be one of resnet18_cbam, .*, not 'resnet18'"),
        ('optimizer = "adam"', "optimizer must be one of adamw, sgd, not 'adam'"),
        ("view_size = 16", "view_size must be 32 to 2048, or 0, not 16"),
        ("teacher = 1\nmixup = 0.2", "holds for one photo; set mixup and cutmix to 0"),
        ("sizes = 160", "sizes must be triples .*, not 160"),
        ("sizes = []", "sizes must be triples"),
        ("sizes = [[0, 160]]", "sizes must be triples"),
        ("sizes = [[1, 160, 160]]", "sizes must be triples .* from epoch 0"),
        ("sizes = [[0, 160, 160], [0, 192, 192]]", "in rising order"),
        ("sizes = [[0, 160, 128]]", "least side, greatest side"),
        ("sizes = [[0, 16, 160]]", "32 to 2048 px"),
        ("sizes = [[0, 160, 160.0]]", "sizes must be triples"),
    ],
)
def test_a_field_that_cannot_be(tmp_path, text, words):
    with pytest.raises(ValueError, match=f"(?s)recipe .*mine.toml.*{words}"):
        load_recipe(written(tmp_path, text))
