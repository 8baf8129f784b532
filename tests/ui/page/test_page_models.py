"""Own weights on the page, other visitors, a server that is gone."""

import pytest
from helpers import EXAMPLES, ROOT, at_rest
from paging import COFFEE, give, likeliest, predicted
from playwright.sync_api import expect

from cbam_viz import Explainer, WeightsError
from cbam_viz.ui.opened import Explainers, own_explainer


def test_own_weights_show_their_attention_with_their_classes(tab, timms):
    give(tab, COFFEE)
    tab.get_by_text("Another model").click()
    tab.set_input_files("#cv-weights input[type=file]", timms)
    tab.wait_for_function("document.querySelector('.cv-status')?.innerText.includes('mine.pth')")
    expected = Explainer.from_pretrained(*timms).explain(COFFEE)
    assert expected.predictions[0].label in ("ant", "bee", "cat")
    expect(likeliest(tab)).to_have_text(expected.predictions[0].label, use_inner_text=True)


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
    at_rest(page, 300)
    assert "layer2.0" in page.locator(".cv-pane figcaption").first.inner_text()
    page.locator(".gallery-item").first.click()
    toast = page.locator("[data-testid=toast-body]").first
    toast.wait_for()
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
    theirs.wait_for_function("document.querySelector('.cv-status')?.innerText.includes('mine.pth')")
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


def test_no_words_cover_others_where_a_model_is_chosen(tab):
    tab.get_by_role("button", name="Another model").click()
    label = tab.locator("#cv-weights [data-testid=block-label]").bounding_box()
    icon = tab.locator("#cv-weights [data-testid=upload-icon]").bounding_box()
    assert label["y"] + label["height"] <= icon["y"] + 1
    name = tab.locator("#cv-model input")
    gap = name.evaluate(
        """(input) => {
          const { font, paddingLeft } = getComputedStyle(input);
          const pen = Object.assign(document.createElement("canvas").getContext("2d"), { font });
          const left = input.getBoundingClientRect().left + parseFloat(paddingLeft);
          const arrow = input.parentElement.querySelector("svg").getBoundingClientRect();
          return arrow.left - left - pen.measureText(input.value).width;
        }"""
    )
    assert gap >= 0
