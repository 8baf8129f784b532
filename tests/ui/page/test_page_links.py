"""The page's languages and its links."""

import re

import pytest
from helpers import EXAMPLES, at_rest
from paging import COFFEE, give, predicted

from cbam_viz import Explainer
from cbam_viz.ui.handlers import Handlers
from cbam_viz.ui.opened import Models


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
    page.wait_for_selector("#cv-inside canvas")
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
    at_rest(page, 500)
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
    tab.get_by_role("heading", name="Inside layer3.0").wait_for()
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


OTHER = "resnet50-cbam-imagenet"


def selected(page) -> str:
    return page.locator(".cv-thumb[aria-selected=true]").inner_text().split("\n")[0]


def test_a_link_to_a_block_that_only_the_linked_model_has(browser, address):
    """The page comes with the small model, which has no such block, cell beside it or channel."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    link = "block=layer3.5&compare=block&other=layer3.4&channel=1000"
    page.goto(f"{address}#model={OTHER}&{link}")
    page.wait_for_selector(".cv-thumb[aria-selected=true]")
    assert selected(page) == "layer3.5"
    page.wait_for_function("location.hash.includes('photo=sneakers')")
    at_rest(page, 500)
    for part in (f"model={OTHER}", *link.split("&")):
        assert part in page.url
    assert page.evaluate("history.length") == 2  # about:blank, and this
    context.close()


def test_back_leads_to_a_block_that_only_the_model_before_has(tab):
    tab.wait_for_selector("#cv-viewer .cv-map")
    there = f"location.hash.includes('model={OTHER}')"
    tab.evaluate(f"location.hash = '#model={OTHER}&block=layer3.5&photo=coffee'")
    tab.wait_for_selector(".cv-thumb[aria-selected=true] >> text=layer3.5")
    tab.evaluate("location.hash = '#model=resnet18-cbam-everyday117&photo=coffee&block=layer2.1'")
    tab.wait_for_selector(".cv-thumb[aria-selected=true] >> text=layer2.1")
    tab.wait_for_function("document.querySelectorAll('.cv-thumb').length === 8")
    tab.go_back()
    tab.wait_for_function("document.querySelectorAll('.cv-thumb').length === 16")
    assert selected(tab) == "layer3.5"
    assert tab.evaluate(there)
    # An address that cannot be followed is put right, and what it says of the view is followed.
    tab.evaluate("location.hash = '#model=no-such&block=layer3.2'")
    tab.wait_for_function(there)
    tab.wait_for_selector(".cv-thumb[aria-selected=true] >> text=layer3.2")


def test_what_was_asked_for_before_does_not_write_on_a_later_address(tab):
    """Its answer may come after the address was changed, and the awaited one long after that."""
    tab.wait_for_selector("#cv-viewer .cv-map")
    tab.wait_for_function("location.hash.includes('photo=sneakers')")
    link = f"#model={OTHER}&photo=coffee&block=layer3.5&mode=contour"
    tab.evaluate(
        """async (link) => {
          const turned = new Promise((done) => addEventListener("hashchange", done));
          location.hash = link;
          await turned;
          const before = { photo: "sneakers", second: null, model: "resnet18-cbam-everyday117" };
          CbamPage.followed({ ...before, number: 0 });
          CbamPage.arrived(before, "");
        }""",
        link,
    )
    assert tab.evaluate("location.hash") == link
    tab.wait_for_function("document.querySelectorAll('.cv-thumb').length === 16")
    assert selected(tab) == "layer3.5"
    at_rest(tab, 500)
    assert sorted(tab.evaluate("location.hash.slice(1)").split("&")) == sorted(link[1:].split("&"))


def test_of_two_addresses_one_right_after_the_other_the_last_is_followed_whole(tab):
    """What the first one brings is shown meanwhile: neither its model nor its photo counts."""
    tab.wait_for_function("location.hash.includes('photo=sneakers')")
    small = "model=resnet18-cbam-everyday117"
    for link in (f"photo=tripod&{small}", f"photo=sneakers&{small}"):
        tab.evaluate(f"location.hash = 'photo=coffee&model={OTHER}'")
        tab.wait_for_timeout(200)  # the first is on its way
        tab.evaluate(f"location.hash = '{link}&block=layer2.0'")
        photo = link.split("&")[0].removeprefix("photo=")
        tab.wait_for_function("document.querySelectorAll('.cv-thumb').length === 8")
        tab.wait_for_selector(f"#cv-photo img[src*={photo}]")
        at_rest(tab, 1000)
        assert sorted(tab.url.split("#")[1].split("&")) == sorted(
            f"{link}&block=layer2.0".split("&")
        )
        assert selected(tab) == "layer2.0"


def test_an_answer_that_comes_before_the_change_is_told_of_leaves_it_alone(tab):
    """Between the change of an address and the browser's event there is time for other work."""
    tab.wait_for_function("location.hash.includes('photo=sneakers')")
    at_rest(tab, 500)
    link = f"#model={OTHER}&photo=coffee&block=layer3.5"
    tab.locator(".cv-thumb", has_text="layer3.1").click()  # is written into the address soon
    tab.evaluate(
        """(link) => {
          location.hash = link;
          const before = { photo: "sneakers", second: null, model: "resnet18-cbam-everyday117" };
          CbamPage.followed({ ...before, number: 0 });
          CbamPage.note({ tab: null });
          const end = performance.now() + 400; // the viewer's own timer is due first
          while (performance.now() < end);
        }""",
        link,
    )
    tab.wait_for_function("document.querySelectorAll('.cv-thumb').length === 16")
    at_rest(tab, 500)
    assert selected(tab) == "layer3.5"
    assert sorted(tab.evaluate("location.hash.slice(1)").split("&")) == sorted(link[1:].split("&"))


@pytest.mark.parametrize("after", ["cv-viewer", "cv-photo", "cv-map"])
def test_an_address_is_followed_however_early_it_is_changed(browser, address, after):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    link = f"model={OTHER}&photo=coffee&block=layer3.5"
    page.add_init_script(
        """const wait = setInterval(() => {
          if (!document.querySelector("#AFTER, .AFTER")) return;
          clearInterval(wait);
          location.hash = "LINK";
        });""".replace("AFTER", after).replace("LINK", link)
    )
    page.goto(address)
    page.wait_for_function("document.querySelectorAll('.cv-thumb').length === 16")
    at_rest(page, 500)
    assert selected(page) == "layer3.5"
    assert sorted(page.evaluate("location.hash.slice(1)").split("&")) == sorted(link.split("&"))
    context.close()


def test_a_link_that_the_server_cannot_take_is_put_right(browser, address):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(address)
    page.wait_for_function("location.hash.includes('photo=sneakers')")
    page.route("**/queue/join*", lambda route: route.fulfill(status=503, json={"detail": "full"}))
    page.evaluate(f"location.hash = '#model={OTHER}&photo=coffee&block=layer3.1'")
    page.wait_for_function("location.hash.includes('photo=sneakers')")
    assert selected(page) == "layer3.1"
    assert "model=resnet18-cbam-everyday117" in page.url
    page.unroute("**/queue/join*")
    page.evaluate(f"location.hash = '#model={OTHER}&photo=coffee&block=layer3.5'")
    page.wait_for_function("document.querySelectorAll('.cv-thumb').length === 16")
    assert selected(page) == "layer3.5"
    context.close()


def test_a_photo_is_followed_though_its_links_model_cannot_be_had():
    """As its box shows it: what is shown is that photo's."""
    handlers = Handlers(Models(["resnet18-cbam-everyday117"]), "resnet18-cbam-everyday117")
    desk = handlers.opening
    notice, *_, link = handlers.take_link(7, "coffee", "", "no/such-file.pth", desk, "layer2.0", 5)
    assert "cannot be opened" in notice
    assert (link["photo"], link["model"]) == ("coffee", "resnet18-cbam-everyday117")
    assert desk.visit.example == "coffee"


def test_a_link_to_what_is_not_here(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}#photo=../../setup&model=no-such&tab=x&block=layer9.9&pin=7,x")
    toast = page.locator("[data-testid=toast-body]")
    toast.wait_for()
    assert "cannot be had here" in toast.inner_text()
    give(page, COFFEE)
    assert page.locator(".cv-thumb[aria-selected=true]").inner_text().startswith("layer4.0")
    context.close()
