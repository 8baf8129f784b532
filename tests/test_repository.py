"""What the repository promises to those who read it, to pip and to the Space."""

import json
import re
import tomllib

import pytest
from helpers import ROOT
from packaging.requirements import Requirement

README = (ROOT / "README.md").read_text("utf-8")


def test_the_spaces_gradio_is_the_one_that_is_required():
    header = README.split("---")[1]
    version = re.search(r"^sdk_version: (.+)$", header, re.M)[1]
    required = re.search(r"^gradio\[mcp\]==(.+)$", (ROOT / "requirements.txt").read_text(), re.M)[1]
    assert version == required
    assert (ROOT / re.search(r"^app_file: (.+)$", header, re.M)[1]).is_file()


def test_every_example_photo_has_its_credits():
    credits = (ROOT / "assets" / "CREDITS.md").read_text("utf-8")
    named = re.findall(r"^\| `(.+?)` \|", credits, re.M)
    assert sorted(named) == sorted(f.name for f in (ROOT / "assets" / "examples").iterdir())
    assert len(named) >= 6


def test_every_example_photo_has_a_caption_in_both_languages():
    files = {f.stem for f in (ROOT / "assets" / "examples").iterdir()}
    strings = json.loads((ROOT / "cbam_viz" / "ui" / "strings.json").read_text("utf-8"))
    for words in strings.values():
        assert {f"example_{name}" for name in files} == {k for k in words if "example_" in k}


def test_every_package_is_installed():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {f.parent for f in (ROOT / "cbam_viz").rglob("__init__.py")}
    folders.add(ROOT / "cbam_viz" / "training" / "recipes")
    names = {".".join(f.relative_to(ROOT).parts) for f in folders}
    assert names | {"cbam_viz.weights", "cbam_viz.assets"} == set(config["packages"])


def test_every_file_that_the_code_reads_is_installed():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    installed = {
        file
        for package, patterns in config["package-data"].items()
        for pattern in patterns
        for file in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    for file in (ROOT / "cbam_viz").rglob("*"):
        if file.is_file() and file.suffix not in (".py", ".pyc"):
            assert file in installed, file


def test_every_local_link_of_the_readme_leads_somewhere():
    for target in re.findall(r"\]\((?!https?://|#)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("folder", sorted((ROOT / "weights").glob("*/")), ids=lambda f: f.name)
def test_a_models_card_says_what_its_config_says(folder):
    figures = json.loads((folder / "config.json").read_text("utf-8"))["figures"]
    card = (folder / "README.md").read_text("utf-8")
    assert f"{100 * figures['top1']:.1f} %" in card
    assert f"{100 * figures['top5']:.1f} %" in card
    assert f"alibration error {figures['calibration_error']:.3f}" in card
    assert f"{100 * figures['top1']:.1f} %" in README


def test_every_file_that_a_document_names_is_there():
    documents = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    documents += [ROOT / "Dockerfile", *(ROOT / "deploy").iterdir()]
    documents += (ROOT / "weights").glob("*/README.md")
    named = {
        (document.name, path)
        for document in documents
        for path in re.findall(
            r"\b(?:tests|cbam_viz|assets|deploy)/[\w./-]*\w", document.read_text("utf-8")
        )
    }
    assert len(named) > 20
    assert not [(name, path) for name, path in named if not (ROOT / path).exists()]


def test_the_package_takes_what_the_space_pins_and_names_the_same():
    """Ranges in pyproject.toml, exact versions in requirements.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ranges = {r.name: r for r in map(Requirement, project["dependencies"])}
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = {r.name: r for r in (Requirement(line) for line in lines if not line.startswith("#"))}
    assert ranges.keys() == pins.keys()
    for name, pin in pins.items():
        (version,) = (s.version for s in pin.specifier)
        assert version in ranges[name].specifier and pin.extras == ranges[name].extras


def test_requirements_are_exact_and_the_test_ones_build_on_them():
    for name in ("requirements.txt", "tests/requirements.txt"):
        for line in (ROOT / name).read_text().splitlines():
            assert re.fullmatch(r"#.*|-r \.\./requirements\.txt|[\w\[\]-]+==[\w.]+", line), line
