"""Imports run one way, as CONTRIBUTING.md's map says."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from helpers import ROOT

PACKAGE = ROOT / "cbam_viz"
FILES = sorted(PACKAGE.rglob("*.py"))
#: What each room may stand on; the files beside the rooms stand on nothing.
BELOW = {
    "models": set(),
    "explain": {"models"},
    "training": {"models"},
    "render": {"explain"},
    "evaluation": {"render", "explain", "models"},
    "survey": {"render", "explain", "models"},
    "ui": {"survey", "render", "evaluation", "explain", "models"},
}
#: These may use every room.
TOP = {"cli", "bench", "__main__", "__init__"}


def imported(file: Path) -> Iterator[tuple[Path, bool]]:
    """The package's files that a file imports, and whether only once that is needed."""
    tree = ast.parse(file.read_text("utf-8"))
    of_types = {
        id(node)
        for check in ast.walk(tree)
        if isinstance(check, ast.If) and ast.unparse(check.test) == "TYPE_CHECKING"
        for node in ast.walk(check)
    }
    within = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level or id(node) in of_types:
            continue
        folder = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        for name in node.names:
            places = (folder / f"{name.name}.py", folder / name.name / "__init__.py")
            whole = (folder.with_suffix(".py"), folder / "__init__.py")
            found = next(path for path in (*places, *whole) if path.is_file())
            yield found, id(node) in within


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_no_file_imports_itself_round_about():
    graph = {f: {other for other, lazy in imported(f) if not lazy} for f in FILES}
    TopologicalSorter(graph).prepare()  # graphlib.CycleError names a circle


def test_every_room_stands_on_those_below_it():
    back = []
    for file in FILES:
        for other, lazy in imported(file):
            here, there = room(file), room(other)
            if here == there or here in TOP or there not in BELOW and there != "cli":
                continue
            if there not in BELOW.get(here, set()):
                back.append((f"{here}/{file.name}", there, lazy))
    assert set(back) == {
        ("explain/explanation.py", "render", True),
        ("explain/explanation.py", "ui", True),
    }


def test_every_room_is_in_the_map():
    rooms = {f.parent.name for f in PACKAGE.glob("*/__init__.py")}
    assert rooms == BELOW.keys()
    for name in rooms:
        assert f"`cbam_viz/{name}/`" in (ROOT / "CONTRIBUTING.md").read_text("utf-8"), name


def test_nothing_in_models_or_explain_knows_the_page_or_pyplot():
    for file in (f for f in FILES if room(f) in ("models", "explain")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{a.name}" for a in node.names)]
            assert not any(n.startswith(("gradio", "matplotlib.pyplot")) for n in names), file
