"""The course open on a photo that is no example, and what Python makes of the same photo."""

import pytest
from helpers import EXAMPLES, visit_of
from PIL import Image, ImageOps
from teaching import open_course

from cbam_viz import Explainer
from cbam_viz.explain.anatomy import dissect
from cbam_viz.ui.visit import Visit


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A photo that is no example: another part of one, turned round."""
    file = tmp_path_factory.mktemp("course") / "own.jpg"
    with Image.open(EXAMPLES / "table.jpg") as image:
        width, height = image.size
        ImageOps.mirror(image.crop((width // 10, 0, width, height))).save(file, quality=95)
    return file


@pytest.fixture(scope="module")
def visit(photo) -> Visit:
    explainer = Explainer.from_pretrained()
    return visit_of(explainer, explainer.explain(photo, 10))


@pytest.fixture(scope="module")
def anatomy(visit):
    return dissect(visit.explainer, visit.explanation, visit.explainer.open_at)


@pytest.fixture(scope="module")
def page(browser, address, photo):
    page = open_course(browser, address, photo)
    page.get_by_role("tab", name="Course").click()
    page.wait_for_selector(".cc-step")
    yield page
    page.context.close()
    assert page.complaints == []
