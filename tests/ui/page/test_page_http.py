"""The public function over HTTP."""

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from paging import COFFEE
from PIL import Image

from cbam_viz import Explainer


def test_http_gives_the_same_numbers_as_python(client):
    answer = client.predict(handle_file(COFFEE), "", 3, api_name="/explain")
    assert answer == Explainer.from_pretrained().explain(COFFEE, top_k=3).to_dict()
    assert client.predict(handle_file(COFFEE), api_name="/explain") == (
        Explainer.from_pretrained().explain(COFFEE).to_dict()
    )


def test_only_explain_and_what_if_are_public(client):
    public = client.view_api(return_format="dict")["named_endpoints"]
    assert list(public) == ["/explain", "/what_if"]


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
