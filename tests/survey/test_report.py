"""The report of a survey: its files, its page in a browser."""

import json
import re
import shutil
from importlib.resources import files

import pandas as pd
import pytest
from helpers import make_photo
from PIL import Image

from cbam_viz.render.lettering import has_chinese
from cbam_viz.survey.findings import find
from cbam_viz.survey.report import report, right_wrong

BLOCKS = ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]


@pytest.fixture(scope="module")
def folder(surveyed, network, tree, tmp_path_factory):
    """A survey with a broken photo and one without a class, and its report."""
    root = tmp_path_factory.mktemp("reported")
    shutil.copytree(tree, root / "photos")
    (root / "photos" / "dog" / "<b>broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    make_photo(50, 40).save(root / "alone.jpg")
    out = surveyed(network, root / "out", root / "photos", root / "alone.jpg")
    assert report(out) == out / "report" / "report.html"
    return out


def test_tables_as_csv_and_parquet(folder):
    names = {
        "classes",
        "channels",
        "channels_by_class",
        "blocks",
        "unlike",
        "errors",
        "right_wrong",
    }
    assert {f.stem for f in (folder / "report").glob("*.csv")} == names
    for name in names:
        table = pd.read_parquet(folder / "report" / f"{name}.parquet")
        assert len(pd.read_csv(folder / "report" / f"{name}.csv")) == len(table)
    blocks = pd.read_parquet(folder / "report" / "blocks.parquet").set_index("block")
    assert list(blocks.index) == BLOCKS
    rows = pd.read_parquet(folder / "rows")
    rows = rows[rows["error"].isna()]
    gates = pd.DataFrame(rows["layer4_0_channel"].to_list()).astype(float)
    still = ((gates.max() - gates.min()) < 0.05).sum()
    assert blocks.loc["layer4.0", "channels_that_never_move"] == still
    spans = rows["layer2_0_spatial_max"] - rows["layer2_0_spatial_min"]
    flat = (spans < 0.05).mean()
    assert blocks.loc["layer2.0", "maps_nearly_constant"] == pytest.approx(flat)
    classes = pd.read_parquet(folder / "report" / "classes.parquet").set_index("class")
    right = rows.dropna(subset="class").groupby("class")["right"].mean()
    assert classes["right"].to_dict() == pytest.approx(right.to_dict())
    channels = pd.read_parquet(folder / "report" / "channels.parquet")
    assert channels["explained"].dropna().is_monotonic_decreasing


def test_plots_are_pictures(folder):
    plots = {f.stem for f in (folder / "report").glob("*.png") if not f.stem.endswith(".zh")}
    assert plots == {"blocks", "explained", "maps", "mean-maps", "movement", "right-wrong"} | {
        f"channels-{b}" for b in BLOCKS
    }
    for file in (folder / "report").glob("*.png"):
        assert len(Image.open(file).convert("L").histogram()) and Image.open(file).width > 200


@pytest.mark.skipif(not has_chinese(), reason="no font with Chinese on this system")
def test_every_character_of_the_plots_can_be_drawn(folder, recwarn):
    """matplotlib warns of each that it draws as a box."""
    for file in (folder / "report").glob("*.png"):
        assert file.stem.endswith(".zh") or file.with_suffix(".zh.png").exists()
    report(folder)
    assert not [w for w in recwarn if "Glyph" in str(w.message)]
    page = (folder / "report" / "report.html").read_text()
    assert len(re.findall(r'<img [^>]*lang="en"', page)) == 6 + len(BLOCKS)
    assert len(re.findall(r'<img [^>]*lang="zh-Hans"', page)) == 6 + len(BLOCKS)


def test_without_a_font_for_chinese_the_plots_are_in_english(folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns("report"))
    monkeypatch.setattr("cbam_viz.render.lettering._fonts_with_cjk", list)
    page = report(out).read_text()
    assert not list((out / "report").glob("*.zh.png"))
    assert not re.search(r"<img [^>]*lang=", page) and 'src="data:image/png' in page


def test_right_and_wrong_are_compared_within_their_class(folder):
    found = find(folder)
    photos = found.photos.copy()
    known = photos["right"].notna()
    # the figure is the class, and 1 more where the answer is wrong
    photos["layer1_0_spatial_mean"] = photos["class"].map({"cat": 0.0, "dog": 5.0, "owl": 9.0}) + (
        photos["right"] == False  # noqa: E712
    )
    object.__setattr__(found, "photos", photos)
    within = photos[known].groupby("class")["layer1_0_spatial_mean"]
    values = photos[known]["layer1_0_spatial_mean"] - within.transform("mean")
    right = photos[known]["right"].astype(bool)
    expected = (values[~right].mean() - values[right].mean()) / values.std()
    assert right_wrong(found)["layer1.0"]["spatial_mean"] == pytest.approx(expected)
    assert expected > 0.5


def test_the_page_needs_nothing_else_and_names_are_escaped(folder):
    page = (folder / "report" / "report.html").read_text()
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "<b>broken" not in page
    assert "Photos that could not be looked at: 1;" in page


def test_both_languages_say_the_same_things():
    strings = json.loads((files("cbam_viz.survey") / "strings.json").read_text("utf-8"))
    assert strings["en"].keys() == strings["zh"].keys()
    for name, words in strings["en"].items():
        fields = set(re.findall(r"{\w+}", words))
        assert fields == set(re.findall(r"{\w+}", strings["zh"][name])), name


def test_in_a_browser(folder, browser):
    context = browser.new_context(locale="zh-CN", viewport={"width": 390, "height": 800})
    page = context.new_page()
    asked, wrong = [], []
    page.on("request", lambda r: asked.append(r.url))
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.goto((folder / "report" / "report.html").as_uri())
    assert page.locator("h1").inner_text().startswith("调查")
    assert page.locator("#by-which").inner_text().split() == ["全部", "最多", "最少"]
    drawn = page.locator(".plot img:visible").count()
    page.click("#language")
    assert page.locator("h1").inner_text().startswith("Survey: 22 photos")
    assert page.locator("#by-which").inner_text().split() == ["all", "most", "least"]
    assert page.locator(".plot img:visible").count() == drawn
    assert page.locator("th:visible", has_text="that never move").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shown = page.locator("#gallery figure:visible")
    everything = shown.count()
    page.select_option("#by-class", "owl")
    page.select_option("#by-which", "most")
    some = shown.count()
    assert 0 < some < everything
    assert all("owl" in text for text in shown.all_inner_texts())
    page.select_option("#block", "layer2.0")
    assert page.locator("[data-block]:visible").get_attribute("data-block") == "layer2.0"
    assert [u for u in asked if not u.startswith(("file:", "data:"))] == [] and wrong == []
    context.close()


def test_photos_that_are_gone_are_counted(surveyed, network, tree, tmp_path):
    shutil.copytree(tree, tmp_path / "photos")
    out = surveyed(network, tmp_path / "out", tmp_path / "photos")
    shutil.rmtree(tmp_path / "photos" / "owl")
    page = report(out, "layer3.0").read_text()
    assert (
        "Photos that are not where they were, and are left out: " in page
        and 'data-class="cat"' in page
    )
    assert 'data-class="owl"' not in page


def test_no_such_block(folder):
    with pytest.raises(ValueError, match=r"no block 'layer9'; this model has: layer1.0, layer2.0"):
        report(folder, "layer9")


def test_a_file_in_the_reports_place(folder, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns("report"))
    (out / "report").touch()
    with pytest.raises(ValueError, match="out/report is a file where a folder is wanted"):
        report(out)
