"""Which class a photo has: by folders, by a file of labels beside it."""

import json
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from helpers import make_photo

from cbam_viz.survey.pieces import find_pieces
from cbam_viz.survey.survey import survey

OUT = Path("/nowhere")


@pytest.fixture
def flat(tmp_path) -> Path:
    """Photos in one folder, all but one of which its file of labels knows."""
    folder = tmp_path / "flat"
    folder.mkdir()
    for i, name in enumerate(("a.jpg", "b.jpg", "c.JPEG")):
        make_photo(40, 40, i).save(folder / name, "JPEG")
    (folder / "labels.json").write_text(json.dumps({"c.JPEG": 0, "a.jpg": 2}))
    return folder


def labels(source: str | Path) -> dict[str, str | int | None]:
    (piece,) = find_pieces([str(source)], OUT)
    return {Path(item.photo).name: item.label for item in piece.items()}


def test_indices_are_the_models_classes(flat, network, tmp_path, at_once):
    assert labels(flat) == {"a.jpg": 2, "b.jpg": None, "c.JPEG": 0}
    survey([flat], tmp_path / "out", network)
    rows = pd.read_parquet(tmp_path / "out" / "rows").set_index("photo")
    classes = rows["class"].dropna().to_dict()
    assert classes == {str(flat / "a.jpg"): "owl", str(flat / "c.JPEG"): "cat"}
    for photo, name in classes.items():
        assert rows["right"][photo] == (rows["top_label"][photo][0] == name)
    assert pd.isna(rows["right"][str(flat / "b.jpg")])


def test_a_file_of_labels_counts_for_the_photos_beside_it(flat, tmp_path):
    for name in ("a.jpg", "d.jpg"):
        (flat / "more").mkdir(exist_ok=True)
        make_photo(40, 40).save(flat / "more" / name)
    assert [item.label for piece in find_pieces([str(flat)], OUT) for item in piece.items()] == [
        2, None, 0, None, None,
    ]  # fmt: skip
    (flat / "more" / "labels.json").write_text('{"d.jpg": 1}')
    found = find_pieces([str(tmp_path)], OUT)
    assert [item.label for piece in found for item in piece.items()] == [2, None, 0, None, 1]


def test_class_folders_stay_class_folders(tmp_path):
    """A file of that name without photos beside it is somebody else's."""
    (tmp_path / "labels.json").write_text('["cat", "dog", "owl"]')
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        make_photo(40, 40).save(tmp_path / name / "a.jpg")
    (piece,) = find_pieces([str(tmp_path)], OUT)
    assert [item.label for item in piece.items()] == ["cat", "dog"]


def test_globs_and_single_photos_bring_no_classes(flat):
    assert set(labels(flat / "*.jpg").values()) == {None}
    assert labels(flat / "a.jpg") == {"a.jpg": None}


def test_at_an_address(flat):
    system = fsspec.filesystem("memory")
    for file in flat.iterdir():
        system.pipe(f"/flat/{file.name}", file.read_bytes())
    try:
        assert labels("memory://flat") == {"a.jpg": 2, "b.jpg": None, "c.JPEG": 0}
        assert set(labels("memory://fl*/*.jpg").values()) == {None}
        assert labels("memory://flat/a.jpg") == {"a.jpg": None}
    finally:
        system.store.clear()


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ('{"a.jpg": ', r"flat/labels.json is not valid JSON"),
        ("\x80", r"is not valid JSON"),
        ('["cat"]', r"must hold an object with the index .* a glob of the photos"),
        ('{"a.jpg": "cat"}', r"must hold an object"),
        ('{"a.jpg": -1}', r"must hold an object"),
        ('{"a.jpg": true}', r"must hold an object"),
        ('{"a.jpg": 1, "z.jpg": 1}', r"names 1 photos that are not beside it, 'z.jpg' is one"),
        ('{"b.jpg": 3}', r"gives class 3 to 'b.jpg'; the model has 3, 0 to 2"),
    ],
)
def test_labels_that_do_not_fit_are_an_error_before_work_begins(
    flat, network, tmp_path, contents, words
):
    (flat / "labels.json").write_text(contents, "latin-1")
    with pytest.raises(ValueError, match=words):
        survey([flat], tmp_path / "out", network)
    assert not (tmp_path / "out").exists()


def test_other_labels_are_another_survey(flat, network, tmp_path, at_once):
    survey([flat], tmp_path / "out", network)
    (flat / "labels.json").write_text('{"a.jpg": 1}')
    with pytest.raises(ValueError, match="differs in the list of photos, or their classes"):
        survey([flat], tmp_path / "out", network)
