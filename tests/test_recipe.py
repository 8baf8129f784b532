import dataclasses

import pytest

from cbam_viz.models.resnet import CONSTRUCTORS
from cbam_viz.models.sources import catalogue
from cbam_viz.training import recipe as module
from cbam_viz.training.recipe import Recipe, load_recipe, recipe_before, recipes

SHIPPED = "resnet18-cbam-everyday117"


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def test_every_recipe_of_the_package_loads():
    assert {SHIPPED, f"{SHIPPED}-start"} <= set(recipes())
    for name in recipes():
        recipe = load_recipe(name)
        assert isinstance(recipe, Recipe)
        recipe_before(recipe)


def test_the_shipped_model_is_made_as_it_was():
    """What the bundled weights were trained with. A new field must leave all of this alone."""
    recipe = load_recipe(SHIPPED)
    first = recipe_before(recipe)
    assert first == load_recipe(f"{SHIPPED}-start")
    assert recipe_before(first) is None
    start, recipe = dataclasses.asdict(first), dataclasses.asdict(recipe)
    # Of the finished models, not of their training.
    assert (start.pop("view_size"), start.pop("temperature")) == (128, 0.64)
    assert (recipe.pop("view_size"), recipe.pop("temperature")) == (144, 0.6)
    assert start == {
        "model": "resnet18_cbam",
        "plain": False,
        "init": "torchvision",
        "epochs": 13,
        "frozen_epochs": 2,
        "sizes": [[0, 112, 112], [7, 96, 160]],
        "batch_size": 64,
        "optimizer": "adamw",
        "lr": 1e-3,
        "pretrained_lr": 2e-4,
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
        "teacher": 0.0,
        "class_balance": 0.5,
        "ema": 0.998,
        "seed": 0,
        "val_every": 1,
    }
    assert recipe == start | {
        "init": f"{SHIPPED}-start",
        "epochs": 8,
        "frozen_epochs": 0,
        "sizes": [[0, 112, 176]],
        "pretrained_lr": 3e-4,
        "spatial_gate_lr": 3e-3,
    }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the package has its recipes."""
    monkeypatch.setattr(module, "RECIPES", tmp_path)
    return tmp_path


def test_a_recipe_can_come_first(folder):
    (folder / "first.toml").write_text("epochs = 3")
    recipe = Recipe(init="first")
    assert recipe_before(recipe) == Recipe(epochs=3)
    plain = dataclasses.replace(recipe, plain=True)
    assert recipe_before(plain) == Recipe(epochs=3, plain=True)
    for other in ("torchvision", "scratch", "a/folder", "first.toml"):
        assert recipe_before(Recipe(init=other)) is None


def test_a_model_comes_before_a_recipe_of_its_name(folder):
    assert SHIPPED in [entry.name for entry in catalogue()]
    (folder / f"{SHIPPED}.toml").write_text("")
    assert SHIPPED in recipes()
    assert recipe_before(Recipe(init=SHIPPED)) is None


def test_recipes_that_cannot_come_first(folder):
    (folder / "itself.toml").write_text('init = "itself"')
    (folder / "second.toml").write_text('init = "first"')
    (folder / "first.toml").write_text('model = "resnet50_cbam"')
    with pytest.raises(ValueError, match="'itself': that one starts from the recipe 'itself'"):
        recipe_before(load_recipe("itself"))
    with pytest.raises(ValueError, match="'second': that one starts from the recipe 'first'"):
        recipe_before(Recipe(init="second"))
    with pytest.raises(ValueError, match="resnet18_cbam cannot .* 'first', .* a resnet50_cbam"):
        recipe_before(load_recipe("second"))
    with pytest.raises(ValueError, match="frozen_epochs = 2 nothing would learn; set it to 0"):
        recipe_before(Recipe(model="resnet50_cbam", init="first", frozen_epochs=2))


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
