"""The page in a new tab, its client, and weights of another library."""

from pathlib import Path

import pytest
from gradio_client import Client


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
