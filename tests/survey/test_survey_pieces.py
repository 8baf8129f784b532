"""Where photos are found, and as what."""

import io
import json
import os
import tarfile
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import make_photo

from cbam_viz.explain.photo_files import find_photos
from cbam_viz.survey import pieces as module
from cbam_viz.survey.pieces import Files, Table, Tar, classes_of, find_pieces, read_photo

OUT = Path("/nowhere")


def jpeg(seed: int = 0) -> bytes:
    file = io.BytesIO()
    make_photo(40, 40, seed).save(file, "JPEG")
    return file.getvalue()


def items(*sources, out: Path = OUT):
    found = find_pieces([str(s) for s in sources], out)
    return [item for piece in found for item in piece.items()]


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, contents in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    return path


def test_class_folders_give_the_classes(tree):
    found = items(tree)
    assert len(found) == 21
    assert all(Path(i.photo).is_absolute() and Path(i.photo).parent.name == i.label for i in found)
    assert classes_of(find_pieces([str(tree)], OUT)) == {"cat", "dog", "owl"}


def test_a_folder_of_such_trees_is_no_tree_of_two_classes(tree, tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).symlink_to(tree)
    (tmp_path / "train").unlink()
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "cat").mkdir()
    (tmp_path / "train" / "cat" / "a.jpg").write_bytes(jpeg())
    labels = [i.label for i in items(tmp_path)]
    assert len(labels) == 22 and set(labels) == {"cat", "dog", "owl"}


def test_photos_beside_class_folders_have_no_class(tree, tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.jpg").write_bytes(jpeg())
    (tmp_path / "b.jpg").write_bytes(jpeg())
    assert [i.label for i in items(tmp_path)] == [None, None]
    assert {i.label for i in items(tree / "*" / "*.jpg")} == {None}, "a glob brings no classes"


def test_a_photo_is_there_once_and_in_one_order(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tree)
    twice = items("cat", tree / "cat", "cat/0.jpg")
    assert [i.photo for i in twice] == [str(tree / "cat" / f"{n}.jpg") for n in range(7)]
    assert find_pieces(["."], OUT) == find_pieces([str(tree)], OUT)


def test_what_is_written_there_is_no_photo_to_look_at(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.jpg").write_bytes(jpeg())
    pq.write_table(pa.table({"photo": ["a"]}), out / "rows.parquet")
    assert [Path(i.photo).name for i in items(tmp_path, out=out)] == ["a.jpg"]


def test_photos_in_the_folder_that_is_written_into_are_none_to_look_at(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.jpg").write_bytes(jpeg())
    for out in (tmp_path / "set", tmp_path):
        with pytest.raises(ValueError, match="where the survey is written: .* another --out"):
            find_pieces([str(tmp_path / "set")], out)


def test_an_earlier_survey_beside_the_photos_is_none_of_them(tmp_path, network, surveyed):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    out = surveyed(network, tmp_path / "first", tmp_path)
    (out / "report").mkdir()
    (out / "report" / "blocks.png").write_bytes(jpeg())
    assert [Path(i.photo).name for i in items(tmp_path)] == ["a.jpg"]


def test_a_glob_may_match_photos_and_shards(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    tar_of(tmp_path / "b.tar", {"c.jpg": jpeg(2)})
    assert [i.photo for i in items(tmp_path / "*")] == [
        str(tmp_path / "a.jpg"),
        f"{tmp_path / 'b.tar'}#c.jpg",
    ]


def test_links_are_followed_and_loops_are_not(tree, tmp_path):
    (tmp_path / "train").symlink_to(tree)
    (tmp_path / "val" / "cat").mkdir(parents=True)
    (tmp_path / "val" / "cat" / "a.jpg").write_bytes(jpeg())
    (tmp_path / "val" / "cat" / "up").symlink_to(tmp_path)
    (tmp_path / "val" / "cat" / "itself.jpg").symlink_to("itself.jpg")
    found = items(tmp_path)
    assert len(found) == 23  # one of which cannot be read, and is a row that says so
    assert {i.label for i in found} == {"cat", "dog", "owl"}
    assert find_photos([str(tmp_path)], tmp_path / "out")[-1].name == "itself.jpg"


def test_pieces_are_small_enough_to_do_again(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 4)
    for i in range(10):
        (tmp_path / f"{i}.jpg").touch()
    assert [p.photos for p in find_pieces([str(tmp_path)], OUT)] == [4, 4, 2]


def test_names_that_are_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    path.write_bytes(jpeg())
    (item,) = items(tmp_path)
    assert item.photo.endswith(r"caf\xe9.jpg")
    assert Path(item.source) == path


@pytest.mark.parametrize("column", ["image", "picture"])
def test_tables_of_hugging_face_and_of_bytes(tmp_path, monkeypatch, column):
    monkeypatch.setattr(module, "PIECE", 4)
    photos = [jpeg(i) for i in range(9)]
    about = {"info": {"features": {"label": {"names": ["owl", "cat"]}}}}
    images = [{"bytes": p, "path": None} for p in photos] if column == "image" else photos
    table = pa.table({"id": list(range(9)), column: images, "label": [0, 1, 5] * 3})
    table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    found = find_pieces([str(tmp_path)], OUT)
    assert [p.photos for p in found] == [4, 4, 1]
    assert all(isinstance(p, Table) for p in found)
    assert classes_of(found) == {"owl", "cat"}
    got = items(tmp_path / "a.parquet")
    assert [i.source for i in got] == photos
    assert [i.photo for i in got] == [f"{tmp_path / 'a.parquet'}#{n}" for n in range(9)]
    assert [i.label for i in got] == ["owl", "cat", None] * 3
    assert read_photo(got[6].photo) == photos[6]


def test_a_table_without_names_gives_numbers_and_a_row_without_bytes_its_error(tmp_path):
    pq.write_table(pa.table({"jpg": [jpeg(), None], "cls": [2, 1]}), tmp_path / "a.parquet")
    first, second = items(tmp_path)
    assert (first.label, first.error) == (2, None)
    assert (second.label, second.error) == (1, "there are no bytes in this row")


def test_classes_as_pandas_and_others_write_them(tmp_path):
    """Whole numbers of which some are missing are floats."""
    frame = pd.DataFrame({"jpg": [jpeg()] * 3, "label": [2, None, 0]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert frame["label"].dtype == float
    assert [i.label for i in items(tmp_path / "a.parquet")] == [2, None, 0]
    table = pa.table({"jpg": [jpeg()] * 3, "label": [b"owl", b"cat", None]})
    pq.write_table(table, tmp_path / "b.parquet")
    assert [i.label for i in items(tmp_path / "b.parquet")] == ["owl", "cat", None]
    pq.write_table(pa.table({"jpg": [jpeg()] * 2, "label": [0.5, 1e300]}), tmp_path / "c.parquet")
    assert [i.label for i in items(tmp_path / "c.parquet")] == ["0.5", int(1e300)]


def test_a_table_that_is_damaged_in_the_middle_loses_no_more_than_it_has_to(tmp_path):
    photos = [jpeg(i) for i in range(9)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"jpg": photos}), path, row_group_size=3, use_dictionary=False)
    middle = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = middle.data_page_offset
    data[start : start + middle.total_compressed_size] = bytes(middle.total_compressed_size)
    path.write_bytes(data)
    got = items(path)
    assert [i.photo for i in got] == [f"{path}#{n}" for n in range(9)]
    assert [i.source for i in got if i.error is None] == photos[:3] + photos[6:]
    assert all("the table is damaged here" in i.error for i in got[3:6])


@pytest.mark.parametrize(
    ("table", "words"),
    [({"x": [1.0]}, "no column of photos' bytes; it has: x"), (None, "no Parquet file")],
)
def test_a_table_without_photos_is_an_error_before_work_begins(tmp_path, table, words):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"no table") if table is None else pq.write_table(pa.table(table), path)
    with pytest.raises(ValueError, match=words):
        find_pieces([str(path)], OUT)


def test_webdataset_shards(tmp_path):
    path = tar_of(
        tmp_path / "a-000.tar",
        {
            "x/0001.cls": b"2\n",
            "x/0001.jpg": (one := jpeg(1)),
            "x/0002.left.jpg": (two := jpeg(2)),
            "x/0002.right.jpg": (three := jpeg(3)),
            "x/0002.json": b'{"label": "owl", "width": 40}',
            "x/0003.txt": b"a caption",
            "x/0003.png": (four := jpeg(4)),
        },
    )
    assert find_pieces([str(tmp_path)], OUT) == [Tar(str(path))]
    got = items(path)
    assert [i.source for i in got] == [one, two, three, four]
    assert [i.label for i in got] == [2, "owl", "owl", None]
    assert got[0].photo == f"{path}#x/0001.jpg"
    assert read_photo(got[2].photo) == three


def test_a_shard_that_is_cut_off_tells_so_after_what_is_whole(tmp_path):
    path = tar_of(tmp_path / "a.tar", {f"{i}.jpg": jpeg(i) for i in range(5)})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 - 700])
    *whole, last = items(path)
    assert whole and all(i.error is None for i in whole)
    assert last.photo == str(path) and "damaged from here on" in last.error


def test_addresses(tmp_path):
    system = fsspec.filesystem("memory")
    for name in ("set/cat/a.jpg", "set/dog/b.jpg", "set/notes.txt"):
        system.pipe(f"/{name}", jpeg())
    try:
        found = items("memory://set")
        assert [(i.photo, i.label, len(i.source) > 500) for i in found] == [
            ("memory:///set/cat/a.jpg", "cat", True),
            ("memory:///set/dog/b.jpg", "dog", True),
        ]
        assert [i.photo for i in items("memory://set/*/a.jpg")] == ["memory:///set/cat/a.jpg"]
        assert read_photo(found[0].photo) == found[0].source
        (piece,) = find_pieces(["memory://set"], OUT)
        system.rm("/set/cat/a.jpg")
        gone, there = piece.items()
        assert gone.error and not there.error
    finally:
        system.store.clear()
    assert isinstance(piece, Files)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("empty", "no photos in"),
        ("nothing-there", "no file, no folder, and no glob"),
        ("nothing-there*", "no file, no folder, and no glob"),
        ("memory://nothing", "there is nothing at"),
        ("ftp://127.0.0.1:9/set", "does not answer: ConnectionRefusedError"),
        ("unheard://of", "unheard://of cannot be opened: Protocol not known: unheard"),
    ],
)
def test_sources_that_give_nothing_are_errors(tmp_path, monkeypatch, source, words):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        find_pieces([source], OUT)
