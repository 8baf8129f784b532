"""What tests of the page share: giving a photo, choosing, downloading."""

from pathlib import Path

from helpers import EXAMPLES

COFFEE = EXAMPLES / "coffee.jpg"


def give(page, photo: Path) -> None:
    """Give a photo; back when its maps are there in the place of the ones before."""
    page.wait_for_selector("#cv-viewer .cv-map")
    page.evaluate("() => (window.before = document.querySelector('#cv-viewer .cv-map'))")
    page.set_input_files("#cv-photo input[type=file]", photo)
    page.wait_for_function(
        "() => ![null, window.before].includes(document.querySelector('#cv-viewer .cv-map'))",
    )


def likeliest(page):
    """Where the name of the likeliest class stands."""
    return page.locator("#cv-summary li span").first


def predicted(page) -> str:
    return likeliest(page).inner_text().strip()


def choose(radio) -> None:
    """Click a choice's words, as people do, once they have stopped moving."""
    radio.locator("xpath=..").click()
    assert radio.is_checked()


def download(tab, button: str, path: Path, name: str = "coffee-cbam-viz") -> Path:
    with tab.expect_download() as download:
        tab.get_by_role("button", name=button).click()
    assert download.value.suggested_filename == f"{name}{path.suffix}"
    download.value.save_as(path)
    return path
