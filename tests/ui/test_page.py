"""The page in a real browser, and its public function over HTTP and MCP."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gradio.utils import get_upload_folder
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from helpers import EXAMPLES, ROOT
from PIL import Image

from cbam_viz import Explainer, WeightsError
from cbam_viz.ui.opened import Explainers, own_explainer

COFFEE = EXAMPLES / "coffee.jpg"


@pytest.fixture(scope="module")
def client(address) -> Client:
    return Client(address, verbose=False)


@pytest.fixture
def tab(browser, address):
    """The page in a new tab; fails if the browser had anything to complain about."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("#cv-header")
    page.wait_for_selector("#cv-photo input[type=file]", state="attached")
    yield page
    context.close()
    assert complaints == []


def give(page, photo: Path) -> None:
    """Give a photo; back when its maps are there in the place of the ones before."""
    page.wait_for_selector("#cv-viewer .cv-map", timeout=60_000)
    page.evaluate("() => (window.before = document.querySelector('#cv-viewer .cv-map'))")
    page.set_input_files("#cv-photo input[type=file]", photo)
    page.wait_for_function(
        "() => ![null, window.before].includes(document.querySelector('#cv-viewer .cv-map'))",
        timeout=60_000,
    )


def predicted(page) -> str:
    return page.locator("#cv-summary li span").first.inner_text().strip()


def test_a_photo_goes_all_the_way_through(tab):
    assert "Convolutional Block Attention Module" in tab.title()
    give(tab, COFFEE)
    expected = Explainer.from_pretrained().explain(COFFEE)
    assert predicted(tab) == expected.predictions[0].label
    shown = tab.locator("#cv-viewer").inner_text()
    for block in expected.blocks:
        assert block.name in shown
    status = tab.locator(".cv-status").inner_text()
    assert "resnet18-cbam-everyday117" in status
    assert "600 × 400" in status


def test_a_first_visit_shows_an_example_and_shows_around(tab):
    tab.wait_for_selector("#cv-viewer .cv-map")
    expected = Explainer.from_pretrained().explain(EXAMPLES / "sneakers.jpg")
    assert predicted(tab) == expected.predictions[0].label
    around = tab.get_by_role("region", name="Shown around")
    assert expected.predictions[0].label in around.inner_text()
    for _ in range(2):
        around.get_by_role("button", name="Next").click()
    tab.wait_for_function("document.querySelector('#cv-viewer input[value=multiply]').checked")
    around.get_by_role("button", name="Got it").click()
    assert around.count() == 0
    # All of it is there: features, the inside, downloads.
    tab.get_by_role("button", name="Show their feature maps").click()
    tab.wait_for_selector("#cv-viewer .cv-extremes canvas", timeout=60_000)
    tab.get_by_role("tab", name="Inside a block").click()
    tab.wait_for_selector("#cv-inside canvas", timeout=60_000)
    tab.reload()  # once is enough
    tab.wait_for_selector("#cv-viewer .cv-map")
    assert around.count() == 0
    tab.get_by_text("It knows 117 classes").click()
    assert tab.locator(".cv-known li").first.is_visible()


def test_words_of_the_field_are_explained_where_they_stand(tab):
    word = tab.get_by_role("button", name="stride", exact=True).first
    word.hover()
    assert "neighbouring cells" in tab.get_by_role("tooltip").inner_text()
    tab.keyboard.press("Escape")
    tab.mouse.move(5, 5)
    assert tab.get_by_role("tooltip").count() == 0
    word.focus()
    assert tab.get_by_role("tooltip").is_visible()


def test_for_a_projector_the_result_is_alone(tab):
    tab.wait_for_selector("#cv-viewer .cv-map")
    tab.get_by_role("button", name="Present").click()
    assert tab.locator("#cv-given").is_hidden()
    assert tab.locator("#cv-viewer .cv-predictions").is_visible()
    tab.keyboard.press("Escape")
    assert tab.locator("#cv-given").is_visible()


def choose(radio) -> None:
    """Click a choice's words, as people do, once they have stopped moving."""
    radio.locator("xpath=..").click()
    assert radio.is_checked()


def test_fifty_interactions_ask_the_server_nothing(tab):
    give(tab, COFFEE)
    tab.wait_for_timeout(1500)
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    done = 0
    strip = tab.locator(".cv-strip")
    for key in ("Home", *7 * ["ArrowRight"], *3 * ["ArrowLeft"]):
        strip.locator("[aria-selected=true]").press(key)
        done += 1
    for mode in ("Multiply", "Contour", "Cells", "Heat"):
        choose(tab.get_by_role("radio", name=mode, exact=True))
        done += 1
    for scale in ("Stretched", "All blocks", "0 to 1"):
        choose(tab.get_by_role("radio", name=scale, exact=True))
        done += 1
    for compare in ("Before/after", "Blocks", "Off"):
        choose(tab.get_by_role("radio", name=compare, exact=True))
        done += 1
    for order in ("By channel", "Sorted"):
        choose(tab.get_by_role("radio", name=order, exact=True))
        done += 1
    for name in ("Opacity", "Depth"):
        slider = tab.get_by_role("slider", name=name)
        for key in 6 * ["ArrowLeft"] + 2 * ["ArrowRight"]:
            slider.press(key)
            done += 1
    surface = tab.locator(".cv-surface:visible").first
    for i in range(9):
        surface.hover(position={"x": 20 + 30 * i, "y": 30 + 15 * i})
        done += 1
    surface.click(position={"x": 100, "y": 100})
    tab.locator(".cv-chart").press("ArrowRight")
    tab.wait_for_timeout(500)
    assert done + 2 >= 50
    assert "pin=" in tab.url
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == []


def download(tab, button: str, path: Path) -> Path:
    with tab.expect_download(timeout=60_000) as download:
        tab.get_by_role("button", name=button).click()
    download.value.save_as(path)
    return path


def test_everything_comes_as_one_zip(tab, tmp_path):
    give(tab, COFFEE)
    with zipfile.ZipFile(download(tab, "Download everything", tmp_path / "all.zip")) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len([n for n in names if n.endswith("-heat.png")]) == 8
        with archive.open("attention.npz") as file:
            gates = np.load(file)
            expected = Explainer.from_pretrained().explain(COFFEE)
            for b in expected.blocks:
                assert gates[f"{b.name}.spatial"] == pytest.approx(b.spatial, abs=1e-5)


def test_a_download_leaves_one_file_that_is_cleared_away_with_the_rest(tab, tmp_path):
    """A copy that Gradio knows nothing of would stay on the server for good."""
    cache = Path(get_upload_folder())
    before = set(cache.rglob("cbam-viz.*"))
    give(tab, COFFEE)
    download(tab, "Download as one HTML file", tmp_path / "viewer.html")
    assert len(set(cache.rglob("cbam-viz.*")) - before) == 1


def test_the_viewer_comes_as_one_file_that_works_offline(tab, browser, tmp_path):
    give(tab, COFFEE)
    path = download(tab, "Download as one HTML file", tmp_path / "viewer.html")
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("canvas")
    assert "layer4.1" in page.locator(".cbam-viewer").first.inner_text()
    context.close()


def test_the_offline_file_keeps_the_view_and_has_the_insides(tab, browser, tmp_path):
    give(tab, COFFEE)
    tab.locator(".cv-thumb", has_text="layer2.0").click()
    choose(tab.get_by_role("radio", name="Contour", exact=True))
    tab.locator(".cv-surface:visible").first.click(position={"x": 60, "y": 40})
    tab.wait_for_function("location.hash.includes('pin=')")
    pinned = tab.locator(".cv-read-pinned").inner_text()
    path = download(tab, "Download as one HTML file", tmp_path / "viewer.html")
    context = browser.new_context(offline=True)
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector(".cbam-inside canvas")
    assert page.locator(".cv-thumb[aria-selected=true]").inner_text().startswith("layer2.0")
    assert page.get_by_role("radio", name="Contour").is_checked()
    assert page.locator(".cv-read-pinned").inner_text() == pinned
    # Inside, the same block and the same cell; both follow one another.
    row, column = re.search(r"row (\d+), column (\d+)", pinned).groups()
    cell = page.locator("#ci-step-4 .ci-detail-title")
    assert f"row {row}, column {column}:" in cell.inner_text()
    page.locator(".cv-thumb", has_text="layer4.0").click()
    page.get_by_role("heading", name="Inside layer4.0").wait_for()
    page.locator(".cbam-inside .ci-grid canvas").first.click(position={"x": 3, "y": 3})
    page.wait_for_function("document.querySelector('.cv-read-pinned').innerText.includes('row 0')")
    page.get_by_role("button", name="Show their feature maps").click()
    page.wait_for_selector(".cv-extremes canvas")
    assert complaints == []
    context.close()


def test_the_last_photo_wins(tab):
    """A second photo before the first is done."""
    for words in ("dahlia", "thin object", "Nothing the network knows", "One clear object"):
        tab.locator("#cv-examples").get_by_role("button", name=words).click()
    tab.wait_for_function("document.querySelector('.cv-status')?.innerText.includes('600 × 400')")
    tab.wait_for_timeout(2000)
    assert "600 × 400" in tab.locator(".cv-status").inner_text()
    assert predicted(tab) == Explainer.from_pretrained().explain(COFFEE).predictions[0].label


def test_the_inside_of_a_block_is_shown_when_its_tab_is_opened(tab):
    give(tab, COFFEE)
    tab.get_by_role("tab", name="Inside a block").click()
    tab.wait_for_selector("#cv-inside canvas", timeout=60_000)
    assert "layer4.1" in tab.locator("#cv-inside").inner_text()


@pytest.fixture(scope="module")
def timms(tmp_path_factory) -> list[Path]:
    """A file as a timm user has it, with lively gates, and its class names."""
    import timm
    import torch

    torch.manual_seed(0)
    net = timm.create_model("resnet18", num_classes=3, block_args={"attn_layer": "cbam"})
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 2)
    folder = tmp_path_factory.mktemp("timm")
    torch.save(net.state_dict(), folder / "mine.pth")
    (folder / "names.txt").write_text("ant\nbee\ncat\n")
    return [folder / "mine.pth", folder / "names.txt"]


def test_own_weights_show_their_attention_with_their_classes(tab, timms):
    give(tab, COFFEE)
    tab.get_by_text("Another model").click()
    tab.set_input_files("#cv-weights input[type=file]", timms)
    tab.wait_for_function(
        "document.querySelector('.cv-status')?.innerText.includes('mine.pth')", timeout=60_000
    )
    expected = Explainer.from_pretrained(*timms).explain(COFFEE)
    tab.wait_for_timeout(500)
    assert predicted(tab) == expected.predictions[0].label in ("ant", "bee", "cat")


def test_weights_that_are_none_are_refused_in_words(tab, tmp_path):
    import torch
    from torchvision.models import resnet18

    torch.save(resnet18(num_classes=3).state_dict(), tmp_path / "plain.pth")
    give(tab, COFFEE)
    tab.get_by_text("Another model").click()
    tab.set_input_files("#cv-weights input[type=file]", tmp_path / "plain.pth")
    fault = tab.locator("#cv-notice")
    fault.get_by_role("alert").wait_for()
    assert "cannot be opened" in fault.inner_text()
    assert "no CBAM" in fault.text_content()
    # What was there stays, and one can go on.
    assert tab.get_by_label("Model", exact=True).input_value() == "resnet18-cbam-everyday117"
    give(tab, EXAMPLES / "tripod.jpg")
    assert tab.get_by_role("alert").count() == 0


def test_a_file_that_is_no_photo_gets_a_sentence(tab, tmp_path):
    (tmp_path / "note.png").write_text("no photo")
    tab.set_input_files("#cv-photo input[type=file]", tmp_path / "note.png")
    fault = tab.locator("#cv-notice")
    fault.get_by_role("alert").wait_for()
    assert "cannot be shown" in fault.inner_text()
    assert "not an image" in fault.text_content()
    assert "/tmp/" not in fault.text_content()
    assert "Traceback" not in tab.content()
    assert tab.locator("#cv-viewer canvas").first.is_visible()  # what was there stays
    give(tab, COFFEE)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_runs_over_the_side(browser, address, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#cv-photo input[type=file]", state="attached")
    give(page, COFFEE)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_nothing_is_fetched_from_elsewhere(browser, address):
    context = browser.new_context()
    page = context.new_page()
    foreign = []
    page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:"))
            else foreign.append(r.url))  # fmt: skip
    page.goto(address)
    page.wait_for_selector("#cv-photo input[type=file]", state="attached")
    give(page, COFFEE)
    context.close()
    assert foreign == []


def test_http_gives_the_same_numbers_as_python(client):
    answer = client.predict(handle_file(COFFEE), "", 3, api_name="/explain")
    assert answer == Explainer.from_pretrained().explain(COFFEE, top_k=3).to_dict()
    assert client.predict(handle_file(COFFEE), api_name="/explain") == (
        Explainer.from_pretrained().explain(COFFEE).to_dict()
    )


def test_only_explain_is_public(client):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/explain"]


def test_16_bit_files_arrive_as_they_are(client, tmp_path):
    """Gradio's own decoding would make them white."""
    ramp = np.linspace(0, 65535, 200 * 300).reshape(200, 300).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    answer = client.predict(handle_file(tmp_path / "deep.png"), api_name="/explain")
    expected = Explainer.from_pretrained().explain(tmp_path / "deep.png").to_dict()
    assert answer == expected


@pytest.mark.parametrize("content", [b"", b"no photo", COFFEE.read_bytes()[:9000]])
def test_http_errors_are_sentences_and_the_server_goes_on(client, tmp_path, content):
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(AppError, match=r"Accepted are|No photo"):
        client.predict(handle_file(tmp_path / "bad.jpg"), api_name="/explain")
    with pytest.raises(AppError, match="resnet18-cbam-everyday117"):
        client.predict(handle_file(COFFEE), "vgg", api_name="/explain")
    with pytest.raises(AppError, match="at least 1"):
        client.predict(handle_file(COFFEE), "", 0, api_name="/explain")
    assert client.predict(handle_file(COFFEE), api_name="/explain")["image_size"] == [600, 400]


def test_uploads_are_opened_together_by_their_content(tmp_path):
    import torch

    from cbam_viz.models.resnet import resnet18_cbam

    given = {}
    for name in ("best model.dat", "config.json", "names.txt"):  # each in a folder of its own
        given[name] = tmp_path / name[0] / name
        given[name].parent.mkdir()
    torch.save(resnet18_cbam(num_classes=2).state_dict(), given["best model.dat"])
    given["config.json"].write_text('{"input": {"size": 96}, "activation": "sigmoid"}')
    given["names.txt"].write_text("a\nb")
    explainer = own_explainer([str(path) for path in given.values()])
    assert explainer.facts.name == "best model.dat"
    assert explainer.facts.activation == "sigmoid"
    assert explainer.preprocessing.size == 96
    assert explainer.classes == ("a", "b")
    for wrong in (["names.txt"], ["best model.dat"] * 2, ["config.json", "names.txt"]):
        with pytest.raises(WeightsError, match="expected is one file of weights"):
            own_explainer([str(given[name]) for name in wrong])


def test_a_few_models_are_kept(tmp_path):
    import torch

    from cbam_viz.models.resnet import resnet18_cbam

    files = [str(tmp_path / f"{i}.pth") for i in range(5)]
    explainers = Explainers(files)
    for file in files:
        torch.save(resnet18_cbam(num_classes=2).state_dict(), file)
        explainers.get(file)
    assert explainers.opened == files[2:]


@pytest.mark.parametrize("name", ["weights/resnet18-cbam-everyday117", "/etc/passwd", "../x", "x"])
def test_what_a_visitor_types_is_never_a_path(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(WeightsError, match="no model"):
        Explainers(["resnet18-cbam-everyday117"]).get(name)


def test_the_page_speaks_chinese_to_a_chinese_browser_and_can_be_switched(browser, address):
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#cv-photo input[type=file]", state="attached")
    give(page, COFFEE)
    names = Explainer.from_pretrained().explain(COFFEE).predictions[0]
    assert predicted(page) == names.label_zh

    def shown() -> str:
        page.wait_for_timeout(1000)
        return page.title() + page.locator("body").inner_text()

    chinese = shown()
    for words in ("卷积块注意力模块", "示例照片", "所有块", "块的内部", "下载全部", "复制链接"):
        assert words in chinese
    # What is left in Latin letters are names, units, and Gradio's own.
    left = {"Every block", "Inside a block", "Predictions", "Example photos", "Photo", "Channel"}
    assert [w for w in left if w in chinese] == []
    page.locator("#cv-header nav").click()
    english = shown()
    assert predicted(page) == names.label
    assert "lang=en" in page.url
    assert [w for w in left if w not in english] == []
    assert re.findall(r"[\u4e00-\u9fff]+", english) == ["中文"]
    page.reload()  # it is remembered, and the link says it
    page.wait_for_selector("#cv-photo input[type=file]", state="attached")
    assert "Inside a block" in shown()
    context.close()


def test_a_link_restores_photo_block_cell_and_tab(browser, address):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    model = "resnet18-cbam-everyday117"
    page.goto(f"{address}#photo=coffee&model={model}&tab=inside&block=layer3.1&pin=0.1,0.9")
    page.wait_for_selector("#cv-inside canvas", timeout=60_000)
    assert "Inside layer3.1" in page.locator("#cv-inside").inner_text()
    expected = Explainer.from_pretrained().explain(COFFEE)
    width, height = expected.view.size
    stride = expected.block("layer3.1").stride
    row, column = round((0.9 * height - 0.5) / stride), round((0.1 * width - 0.5) / stride)
    # What the link names takes the place of the example that comes with the page.
    place = f"--row:{row};--column:{column};"
    page.wait_for_selector(f"#cv-inside .ci-mark[style*='{place}']", state="attached")
    page.get_by_role("tab", name="Every block").click()
    page.wait_for_selector("#cv-viewer canvas")
    assert page.locator(".cv-thumb[aria-selected=true]").inner_text().startswith("layer3.1")
    page.wait_for_timeout(500)
    for part in ("photo=coffee", f"model={model}", "block=layer3.1", "pin=0.1"):
        assert part in page.url
    assert "tab=" not in page.url
    give(page, EXAMPLES / "tripod.jpg")
    page.wait_for_function("location.hash.includes('photo=tripod')")
    context.close()


def test_another_address_in_an_open_tab_is_followed_whole_and_back_leads_back(tab):
    give(tab, EXAMPLES / "tripod.jpg")
    tab.wait_for_function("location.hash.includes('photo=tripod')")
    tab.evaluate("location.hash = '#photo=coffee&tab=inside&block=layer3.0&mode=contour'")
    tab.get_by_role("heading", name="Inside layer3.0").wait_for(timeout=60_000)
    tab.get_by_role("tab", name="Every block").click()
    assert tab.locator(".cv-status").inner_text().count("600 × 400") == 1
    assert tab.get_by_role("radio", name="Contour", exact=True).is_checked()
    tab.locator(".cv-thumb", has_text="layer2.0").click()
    tab.wait_for_function("location.hash.includes('block=layer2.0')")
    tab.go_back()
    tab.wait_for_function(
        "document.querySelector('.cv-thumb[aria-selected=true]').innerText.startsWith('layer3.0')"
    )
    tab.go_forward()
    tab.wait_for_function(
        "document.querySelector('.cv-thumb[aria-selected=true]').innerText.startsWith('layer2.0')"
    )


def test_a_link_to_what_is_not_here(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}#photo=../../setup&model=no-such&tab=x&block=layer9.9&pin=7,x")
    toast = page.locator("[data-testid=toast-body]")
    toast.wait_for()
    assert "cannot be had here" in toast.inner_text()
    give(page, COFFEE)
    assert page.locator(".cv-thumb[aria-selected=true]").inner_text().startswith("layer4.1")
    context.close()


def test_both_tabs_show_one_block_and_one_cell(tab):
    give(tab, COFFEE)
    tab.locator(".cv-thumb", has_text="layer2.0").click()
    tab.get_by_role("tab", name="Inside a block").click()
    tab.wait_for_function(
        "document.querySelector('#cv-inside')?.innerText.includes('Inside layer2.0')"
    )
    tab.locator("#cv-inside .ci-grid canvas").first.click(position={"x": 3, "y": 3})
    tab.wait_for_function("location.hash.includes('pin=')")
    tab.get_by_role("tab", name="Every block").click()
    assert "row 0, column 0" in tab.locator("#cv-viewer").inner_text()


def test_a_choice_stays_chosen_whatever_is_done_on_the_other_tab(tab):
    """The radio groups of both parts had the same names, and unchecked one another."""
    give(tab, COFFEE)
    tab.get_by_role("tab", name="Inside a block").click()
    for name in ("layer3.0", "layer2.0"):
        choose(tab.locator("#cv-inside").get_by_role("radio", name="By channel"))
        tab.get_by_label("Block", exact=True).first.click()
        tab.get_by_role("option", name=name).click()
        tab.get_by_role("heading", name=f"Inside {name}").wait_for()
    tab.get_by_role("tab", name="Every block").click()
    names = tab.eval_on_selector_all("input[type=radio][name^=cv-]", "all => all.map(e => e.name)")
    checked = tab.eval_on_selector_all("input[type=radio]:checked", "all => all.map(e => e.name)")
    assert sorted(set(names)) == sorted(name for name in checked if name.startswith("cv-"))
    assert tab.get_by_role("radio", name="Heat", exact=True).is_checked()


def test_a_second_photo_is_shown_beside_the_first(tab):
    give(tab, COFFEE)
    tab.get_by_text("A second photo to compare with").click()
    tab.set_input_files("#cv-second input[type=file]", EXAMPLES / "tripod.jpg")
    tab.wait_for_function(
        "document.querySelector('#cv-viewer')?.innerText.includes('Second photo · layer4.1')"
    )
    assert tab.locator(".cv-pane:visible").count() == 2


def test_16_bit_files_arrive_as_they_are_on_the_page_too(tab, tmp_path):
    """Also after an example: Gradio's own way with examples would bring its decoding back."""
    ramp = np.linspace(0, 65535, 200 * 300).reshape(200, 300).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    tab.locator(".gallery-item").first.click()
    tab.wait_for_selector("#cv-viewer canvas")
    tab.set_input_files("#cv-photo input[type=file]", tmp_path / "deep.png")
    tab.wait_for_function(
        "document.querySelector('.cv-status')?.innerText.includes('300 × 200')", timeout=60_000
    )
    expected = Explainer.from_pretrained().explain(tmp_path / "deep.png").predictions[0]
    assert predicted(tab) == expected.label
    share = tab.locator("#cv-summary li b").first.inner_text()
    assert float(share.removesuffix("%")) == pytest.approx(100 * expected.probability, abs=0.06)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_no_serious_fault(browser, address, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#cv-examples button[aria-label]", timeout=60_000)

    def faults() -> list:
        found = Axe().run(page).response["violations"]
        return [
            (v["id"], n["target"], n["failureSummary"])
            for v in found
            if v["impact"] in ("serious", "critical")
            for n in v["nodes"]
        ]

    assert faults() == []
    give(page, COFFEE)
    for words in ("Figures of every block", "A second photo to compare with", "Another model"):
        page.get_by_text(words).click()
    page.get_by_role("button", name="Show their feature maps").click()
    page.wait_for_selector("#cv-viewer .cv-extremes canvas", timeout=60_000)
    page.wait_for_timeout(500)
    assert faults() == []
    page.get_by_role("tab", name="Inside a block").click()
    page.wait_for_selector("#cv-inside canvas", timeout=60_000)
    assert faults() == []
    context.close()


def test_a_server_that_is_gone_leaves_what_is_on_screen_and_says_so(browser):
    from cbam_viz.ui.launch import build, launch_options

    served = build()
    _, url, _ = served.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#cv-photo input[type=file]", state="attached")
    give(page, COFFEE)
    served.close()
    page.locator(".cv-thumb", has_text="layer2.0").click()
    page.wait_for_timeout(300)
    assert "layer2.0" in page.locator(".cv-pane figcaption").first.inner_text()
    page.locator(".gallery-item").first.click()
    toast = page.locator("[data-testid=toast-body]").first
    toast.wait_for(timeout=60_000)
    assert "onnection" in toast.inner_text()
    assert page.locator("#cv-viewer canvas").first.is_visible()
    context.close()


def test_two_tabs_of_one_visitor_do_not_mix(browser, address, timms):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    ours, theirs = context.new_page(), context.new_page()
    for page in (ours, theirs):
        page.goto(address)
        page.wait_for_selector("#cv-photo input[type=file]", state="attached")
    give(ours, COFFEE)
    give(theirs, EXAMPLES / "tripod.jpg")
    theirs.get_by_text("Another model").click()
    theirs.set_input_files("#cv-weights input[type=file]", timms)
    theirs.wait_for_function(
        "document.querySelector('.cv-status')?.innerText.includes('mine.pth')", timeout=60_000
    )
    # The model is another one while a result of the first is on screen: all of it changes.
    expected = Explainer.from_pretrained(*timms).explain(EXAMPLES / "tripod.jpg")
    rows, columns = expected.blocks[0].spatial.shape
    theirs.wait_for_function(
        f"document.querySelector('#cv-viewer').innerText.includes('{columns} × {rows}')"
    )
    ours.locator(".cv-thumb", has_text="layer3.0").click()
    ours.get_by_role("tab", name="Inside a block").click()
    ours.wait_for_function(
        "document.querySelector('#cv-inside')?.innerText.includes('Inside layer3.0')"
    )
    assert "600 × 400" in ours.locator(".cv-status").inner_text()
    assert predicted(ours) == Explainer.from_pretrained().explain(COFFEE).predictions[0].label
    assert predicted(theirs) == expected.predictions[0].label
    context.close()


def test_a_photo_of_5000_by_10(tab, tmp_path):
    Image.effect_noise((5000, 10), 60).convert("RGB").save(tmp_path / "ribbon.png")
    give(tab, tmp_path / "ribbon.png")
    shown = tab.locator("#cv-viewer").inner_text()
    assert "squeezed" in shown
    assert "layer4.1" in shown
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1280
