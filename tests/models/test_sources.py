"""Where weights come from. The Hub is played by a small server that speaks as it does."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from helpers import ROOT
from played_hub import Hub
from safetensors.torch import save

from cbam_viz import WeightsError
from cbam_viz.models import sources
from cbam_viz.models.checkpoints import load_checkpoint
from cbam_viz.models.resnet import resnet18_cbam

BUNDLED = ROOT / "weights" / "resnet18-cbam-everyday117"


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> bytes:
    """A single file of weights, as people have them, with gates that look trained."""
    torch.manual_seed(0)
    model = resnet18_cbam(num_classes=3)
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
    path = tmp_path_factory.mktemp("plain") / "net.pth"
    torch.save({"state_dict": model.state_dict()}, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def hub(plain):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.fetched, server.half = [], False
    server.repos = {
        "somebody/ours": {f.name: f.read_bytes() for f in BUNDLED.iterdir()}
        | {"figure.png": b"not wanted"},
        "somebody/plain": {"net.pth": plain, "classes.txt": b"ant\nbee\ncat\n", "x.bin": b"1"},
        "somebody/two": {"a.pth": plain, "b.pth": plain},
        "somebody/none": {"README.md": b"nothing here"},
        "somebody/gated": "gated",
        "somebody/other": {"model.safetensors": save({"bert.embeddings": torch.zeros(9, 9)})},
        "somebody/wordy": {"net.pth": plain, "classes.txt": bytes(sources.MAX_BESIDE + 1)},
    }
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def fetch(hub, home: Path, model: str, endpoint: str | None = None) -> subprocess.CompletedProcess:
    """Open a model in a process of its own: the Hub's address is read when it starts."""
    code = (
        "import sys; from cbam_viz.models.checkpoints import load_checkpoint as load\n"
        "from cbam_viz import WeightsError\n"
        "try: c = load(sys.argv[1]); print(c.name, len(c.classes), c.classes[0], c.sha256)\n"
        "except WeightsError as error: print('refused:', error)\n"
    )
    endpoint = endpoint or f"http://127.0.0.1:{hub.server_port}"
    return subprocess.run(
        [sys.executable, "-c", code, model],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        env=os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"},
    )


def test_a_folder_of_ours_on_the_hub_and_again_without_network(hub, tmp_path):
    hub.fetched.clear()
    digest = hashlib.sha256((BUNDLED / "model.safetensors").read_bytes()).hexdigest()
    done = fetch(hub, tmp_path, "somebody/ours@v1")
    assert done.stdout.split() == ["somebody/ours@v1", "117", "accordion", digest], done.stderr
    assert set(hub.fetched) == {"config.json", "model.safetensors"}
    again = fetch(hub, tmp_path, "somebody/ours@v1", endpoint="http://127.0.0.1:9")
    assert again.stdout == done.stdout, again.stderr


def test_a_plain_repository_with_one_file(hub, tmp_path):
    done = fetch(hub, tmp_path, "somebody/plain")
    assert done.stdout.startswith("somebody/plain 3 ant "), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("somebody/absent", "there is no model 'somebody/absent' on the Hugging Face Hub"),
        ("somebody/ours@v9", "somebody/ours on the Hub has no revision 'v9'"),
        ("somebody/two", "must hold one file of weights.*found: a.pth, b.pth"),
        ("somebody/none", "must hold one file of weights.*found: none"),
        ("somebody/gated", "is gated"),
        ("somebody/wordy", "what describes the weights of somebody/wordy has 20,000,001 bytes"),
    ],
)
def test_what_the_hub_refuses_is_said(hub, tmp_path, model, words):
    done = fetch(hub, tmp_path, model)
    assert done.stdout.startswith("refused:"), done.stderr
    assert re.search(words, done.stdout), done.stdout


def test_what_is_no_network_is_told_by_its_header_and_not_fetched(hub, tmp_path):
    hub.fetched.clear()
    done = fetch(hub, tmp_path, "somebody/other")
    assert done.stdout.startswith("refused:"), done.stderr
    assert hub.fetched == ["model.safetensors"]  # for its header
    assert not list(tmp_path.rglob("*.safetensors"))


def test_half_a_file_is_not_taken_for_a_whole_one(hub, tmp_path):
    """The Hub breaks off in the midst of the weights; the next time it is there."""
    hub.half = True
    done = fetch(hub, tmp_path, "somebody/plain")
    hub.half = False
    assert "somebody/plain could not be fetched" in done.stdout, done.stdout + done.stderr
    assert fetch(hub, tmp_path, "somebody/plain").stdout.startswith("somebody/plain 3 ant ")


def test_no_network_is_said(hub, tmp_path):
    done = fetch(hub, tmp_path, "somebody/ours", endpoint="http://127.0.0.1:9")
    assert "the Hugging Face Hub cannot be reached" in done.stdout, done.stderr


def test_a_full_disk_while_fetching_is_said_and_leaves_what_was_there(hub, tmp_path):
    """The bundled model is fetched; then the disk is full for the next one."""
    first = fetch(hub, tmp_path, "somebody/ours")
    code = (
        "import sys; from cbam_viz.models import checkpoints, sources\n"
        "fetch = sources.snapshot_download\n"
        "def full(*args, **options):\n"
        "    if options.get('dry_run'): return fetch(*args, **options)\n"
        "    raise OSError(28, 'No space left on device')\n"
        "sources.snapshot_download = full\n"
        "try: checkpoints.load_checkpoint('somebody/plain')\n"
        "except ValueError as error: print(error)\n"
    )
    env = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=os.environ | env
    )
    assert "somebody/plain could not be fetched" in done.stdout, done.stderr
    assert "No space left" in done.stdout
    assert fetch(hub, tmp_path, "somebody/ours", "http://127.0.0.1:9").stdout == first.stdout


def test_the_imagenet_model_goes_through_pytorchcvs_loader(monkeypatch, tmp_path):
    """Its file is not to be had here: what is tested is everything around it."""
    from pytorchcv.models.common import model_store

    def no_network(*_):
        raise OSError("Name or service not known")

    monkeypatch.setattr(model_store, "get_model_file", no_network)
    with pytest.raises(WeightsError, match="could not be fetched .*bundled models need none"):
        load_checkpoint(sources.IMAGENET)
    (tmp_path / "other.pth").write_bytes(b"another file")
    monkeypatch.setattr(model_store, "get_model_file", lambda *_: str(tmp_path / "other.pth"))
    with pytest.raises(WeightsError, match="has the SHA-1 .*expected is d8cf8488"):
        load_checkpoint(sources.IMAGENET)


def test_the_imagenet_model_opens_once_its_file_is_there(monkeypatch, tmp_path):
    """With pytorchcv's own network in the place of the published weights."""
    from pytorchcv.model_provider import get_model
    from pytorchcv.models.common import model_store

    net = get_model("cbam_resnet50")
    torch.save(net.state_dict(), tmp_path / "cbam_resnet50.pth")
    monkeypatch.setattr(
        model_store, "get_model_file", lambda *_: str(tmp_path / "cbam_resnet50.pth")
    )
    digest = hashlib.sha1((tmp_path / "cbam_resnet50.pth").read_bytes()).hexdigest()
    monkeypatch.setattr(sources, "_IMAGENET_SHA1", digest)
    checkpoint = load_checkpoint(sources.IMAGENET)
    assert checkpoint.name == "imagenet-resnet50-cbam"
    assert checkpoint.classes[207] == "golden retriever"
    assert len(checkpoint.model.blocks()) == 16
    assert checkpoint.preprocessing.crop_resize == 256


def test_the_published_hash_is_the_one_that_pytorchcv_knows():
    from pytorchcv.models.common.model_store import get_model_name_suffix_data

    assert get_model_name_suffix_data("cbam_resnet50")[1].startswith(sources._IMAGENET_SHA1[:8])


def test_without_pytorchcv_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorchcv.models.common.model_store", None)
    with pytest.raises(WeightsError, match=r"pip install \.\[imagenet\]"):
        load_checkpoint(sources.IMAGENET)


def test_a_folder_that_a_user_brings_becomes_a_name(monkeypatch, tmp_path, plain):
    shutil.copytree(BUNDLED, tmp_path / BUNDLED.name)
    (tmp_path / "authors-resnet50-cbam").mkdir()
    (tmp_path / "authors-resnet50-cbam" / "RESNET50_CBAM.pth").write_bytes(plain)
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(sources, "WEIGHTS", tmp_path)
    names = [entry.name for entry in sources.catalogue()]
    assert names == [BUNDLED.name, "authors-resnet50-cbam", sources.IMAGENET]
    assert load_checkpoint("authors-resnet50-cbam").name == "authors-resnet50-cbam"


@pytest.mark.parametrize(
    "name",
    [
        "model-{:05}-of-00002.safetensors",
        "pytorch_model-{:05}-of-00002.bin",
        "w-{:05}-of-00009.pth",
    ],
)
def test_weights_in_pieces_are_said_to_be(name, tmp_path):
    for i in (1, 2):
        torch.save({}, tmp_path / name.format(i))
    with pytest.raises(WeightsError, match="cut into pieces .*max_shard_size"):
        load_checkpoint(tmp_path)


def test_a_folder_with_two_files_of_weights(tmp_path, plain):
    (tmp_path / "a.pth").write_bytes(plain)
    (tmp_path / "b.pth").write_bytes(plain)
    with pytest.raises(WeightsError, match=r"2 files of weights \(a.pth, b.pth\)"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "sub/net.pth", "no such name"])
def test_names_that_are_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="neither a file or folder.*imagenet-resnet50-cbam"):
        sources.locate(name)


def test_an_environment_variable_sets_the_default():
    code = "from cbam_viz.models.sources import DEFAULT; print(DEFAULT)"
    env = os.environ | {"CBAM_VIZ_MODEL": "somebody/model"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=env
    )
    assert done.stdout.strip() == "somebody/model", done.stderr
