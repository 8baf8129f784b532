"""What tests of the viewer share: its state, its canvas, and the same from Python."""

import base64
import io
from dataclasses import replace

import numpy as np
from helpers import at_rest, overlay_of, pixels
from PIL import Image

from cbam_viz.explain.explanation import Explanation
from cbam_viz.explain.photo import Photo
from cbam_viz.render.overlay import Look
from cbam_viz.ui.viewer import payload

FIELDS = {f"layer{stage}.{i}": 20 * stage + 1 for stage in (1, 2, 3, 4) for i in range(6)}


def expect(locator):
    """playwright's, which waits. Without the package the tests are skipped before they get here."""
    from playwright.sync_api import expect

    return expect(locator)


def drawn(page) -> None:
    """Have drawn what else the browser's next frame would draw."""
    page.evaluate("viewer.draw()")


def set_state(page, **state) -> None:
    page.evaluate("state => { viewer.setState(state); viewer.draw(); }", state)


def state_of(page) -> dict[str, str]:
    """What the address says, once it has come to rest."""
    at_rest(page, 400)
    return page.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")


def read_canvas(page, selector: str = ".cv-map", nth: int = 0) -> np.ndarray:
    """int64 [H, W, 3]: the pixels of a canvas."""
    url = page.locator(selector).nth(nth).evaluate("canvas => canvas.toDataURL('image/png')")
    return pixels(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))


def sent_photo(data: dict) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data["photo"]["url"].split(",")[1])))


def as_sent(explanation: Explanation) -> Explanation:
    """The explanation with the photo and the gates that are sent: both lose a little on the way.

    Half of 1 / 65535 in a gate can be the next of 256 colours, which is up to eight grey levels.
    """
    data = payload(explanation)

    def gate(sent: str) -> np.ndarray:
        return (np.frombuffer(base64.b64decode(sent), "<u2") / 65535).astype(np.float32)

    blocks = tuple(
        replace(block, spatial=gate(sent["spatial"]).reshape(block.spatial.shape))
        for block, sent in zip(explanation.blocks, data["blocks"], strict=True)
    )
    return replace(explanation, photo=Photo(sent_photo(data)), blocks=blocks)


def difference(page, explanation: Explanation, name: str, **look) -> int:
    """The greatest, in grey levels, between the viewer's canvas and the exported picture."""
    exported = overlay_of(as_sent(explanation), name, Look(**look))
    return np.abs(read_canvas(page) - pixels(exported)).max()


def on_page(page, explanation, name: str, row: int, column: int) -> tuple[float, float]:
    """Where on the page the centre of a cell is, by the geometry of `explain.view`."""
    box = page.locator(".cv-surface").first.bounding_box()
    x, y = explanation.view.cell_centre(row, column, explanation.block(name).stride)
    width, height = explanation.photo.size
    return box["x"] + x / width * box["width"], box["y"] + y / height * box["height"]
