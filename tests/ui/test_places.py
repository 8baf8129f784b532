"""Where it has to run: code that is another's and cannot be written to, no home, no such user."""

import os
import shutil
import subprocess
import sys

import httpx
import pytest
from test_launch import COFFEE, ROOT, free_port, wait_for

#: A user whom the system does not know: may read everything, as one to whom it was shown, and write
#: what everybody may.
NOBODY = ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups")
NOBODY += ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")

#: What the environment says of who runs these tests; the page sets the last where it is imported.
OURS = ("HOME", "USER", "LOGNAME", "GRADIO_TEMP_DIR")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The project, for reading only."""
    copy = tmp_path_factory.mktemp("项目 of another") / "cbam viz"
    copy.mkdir()
    for part in ("app.py", "cbam_viz", "assets", "weights"):
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, copy / part)
    for folder, _, files in os.walk(copy):
        for name in (".", *files):
            os.chmod(os.path.join(folder, name), 0o555)
    return copy


def as_nobody(copy, tmp_path, command, **environment):
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("needs root, and setpriv, to be somebody else")
    (tmp_path / "tmp").mkdir(exist_ok=True)
    (tmp_path / "tmp").chmod(0o777)
    kept = {k: v for k, v in os.environ.items() if k not in OURS}
    return subprocess.Popen(
        [*NOBODY, sys.executable, *command],
        cwd=copy,
        env=kept | {"TMPDIR": str(tmp_path / "tmp")} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("home", [None, "/nonexistent", "/dev/null", "/"])
def test_the_command_line_in_a_place_of_anothers(copy, tmp_path, home):
    """With no home, one that is not there, one that is no folder, one that is the system's."""
    environment = {"HOME": home} if home else {}
    command = ("-m", "cbam_viz", "explain", str(COFFEE), "--json", "--model")
    process = as_nobody(copy, tmp_path, (*command, "resnet18-cbam-everyday117"), **environment)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert '"predictions"' in output and "Traceback" not in output
    command = ("-m", "cbam_viz", "explain", str(COFFEE), "--out", "here")
    process = as_nobody(copy, tmp_path, command, **environment)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 2, output
    assert "cannot be written into; choose another folder" in output and "Traceback" not in output


@pytest.mark.slow
def test_the_page_in_a_place_of_anothers(copy, tmp_path):
    before = sorted(copy.rglob("*"))
    port = free_port()
    names = {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    process = as_nobody(copy, tmp_path, ("app.py",), **names)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(process, url)
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
            path = client.post("/gradio_api/upload", files={"files": COFFEE.read_bytes()}).json()[0]
            photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
            asked = client.post("/gradio_api/call/explain", json={"data": [photo, "", 5]}).json()
            answer = client.get(f"/gradio_api/call/explain/{asked['event_id']}").text
    finally:
        process.terminate()
        process.wait(120)
    assert "event: complete" in answer and "predictions" in answer
    assert sorted(copy.rglob("*")) == before
