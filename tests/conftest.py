"""What several test files need: a served page, a browser to look at it, a disk that is full."""

import os
import resource
import shutil
from collections.abc import Iterator

import pytest

# The small bundled model is explained in a fifth of the default one's time, by the hundreds of
# tests that any model would do for; what the default model shows has tests of its own.
os.environ.setdefault("CBAM_VIZ_MODEL", "resnet18-cbam-everyday117")
# Threads that wait for one another spin: on a busy machine that takes ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

#: Milliseconds after which what does not show on a page is taken for not coming: machines are slow.
PATIENCE = 120_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for the browser is marked so."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The page, served as `app.py` serves it, on a free port."""
    from cbam_viz.ui.launch import build, launch_options

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    page = build()
    _, url, _ = page.launch(
        **launch_options(), server_port=None, prevent_thread_lock=True, quiet=True
    )
    yield url
    page.close()


@pytest.fixture(scope="session")
def browser():
    """Chromium, headless; its pages wait for `PATIENCE`."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if not executable:
        if os.environ.get("CI"):
            pytest.fail("no browser on this machine; install Debian's chromium")
        pytest.skip("no browser on this machine")
    from playwright.sync_api import expect, sync_playwright

    def patient(make):
        def made(**options):
            page = make(**options)
            page.set_default_timeout(PATIENCE)
            return page

        return made

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        expect.set_options(timeout=PATIENCE)
        for name in ("new_context", "new_page"):
            setattr(browser, name, patient(getattr(browser, name)))
        yield browser
        browser.close()


@pytest.fixture
def full_disk():
    """Files can grow to this many bytes and no further."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    yield fill
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
