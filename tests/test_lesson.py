"""The notebook of the lesson: a class can run it from top to bottom."""

import os
import re

import nbformat
import pytest
from helpers import ROOT
from nbclient import NotebookClient

FILE = ROOT / "assets" / "lesson.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(FILE, as_version=4)


def test_it_is_kept_without_results_and_in_both_languages(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
        else:
            assert len(re.findall(r"^#+ ", cell.source, re.MULTILINE)) == 2
            assert re.search(r"[\u4e00-\u9fff]", cell.source)


@pytest.mark.slow
def test_it_runs_and_ones_own_layer_is_ours(notebook, monkeypatch):
    (install,) = [c for c in notebook.cells if "install" in c.metadata.get("tags", ())]
    assert install.source == "%pip install --quiet .."
    notebook.cells.remove(install)  # no network: the package is found beside it
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    resources = {"metadata": {"path": str(FILE.parent)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    printed = "".join(
        output.text
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream"
    )
    apart = re.findall(r"greatest difference from (?:the network's|ours): (\S+)", printed)
    assert len(apart) == 3
    assert all(float(difference) < 1e-4 for difference in apart)
    assert "same as the block's own: True" in printed
    viewers = [
        o for c in notebook.cells for o in c.get("outputs", []) if "text/html" in o.get("data", {})
    ]
    assert any("<iframe" in o.data["text/html"] for o in viewers)
