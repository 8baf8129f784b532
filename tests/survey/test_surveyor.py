"""What a worker writes: the numbers that an explanation has, a row a photo."""

import resource
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from helpers import make_photo

from cbam_viz.explain.explainer import Explainer
from cbam_viz.survey.output import ROWS
from cbam_viz.survey.pieces import Files, find_pieces
from cbam_viz.survey.surveyor import Surveyor


@pytest.fixture
def surveyor(network, tmp_path) -> Surveyor:
    (tmp_path / "out" / ROWS).mkdir(parents=True)
    return Surveyor(network, tmp_path / "out", "whole", 2)


def surveyed(surveyor: Surveyor, *sources) -> pd.DataFrame:
    pieces = find_pieces([str(s) for s in sources], surveyor.out)
    for number, piece in enumerate(pieces):
        surveyor.survey(number, piece)
    return pd.read_parquet(surveyor.out / ROWS).set_index("photo")


def test_every_number_is_that_of_an_explanation(surveyor, network, tree):
    rows = surveyed(surveyor, tree)
    assert len(rows) == 21 and rows["error"].isna().all()
    explainer = Explainer.from_checkpoint(network)
    for photo, row in rows.iterrows():
        e = explainer.explain(photo, top_k=2)
        assert (row["width"], row["height"]) == e.photo.size
        assert (row["input_width"], row["input_height"]) == e.view.size
        assert list(row["top_index"]) == [p.index for p in e.predictions]
        assert list(row["top_label"]) == [p.label for p in e.predictions]
        np.testing.assert_allclose(
            row["top_probability"], [p.probability for p in e.predictions], atol=1e-5
        )
        assert row["right"] == (e.predictions[0].label == row["class"])
        for b in e.blocks:
            name = b.name.replace(".", "_")
            cells = row[f"{name}_spatial"]
            assert cells.dtype == row[f"{name}_channel"].dtype == np.float16
            cells = cells.reshape(row[f"{name}_spatial_rows"], row[f"{name}_spatial_columns"])
            np.testing.assert_allclose(cells, b.spatial, atol=6e-4)  # float16 below 1
            np.testing.assert_allclose(row[f"{name}_channel"], b.channel, atol=6e-4)
            for kind, figures in (("channel", b.channel_figures), ("spatial", b.spatial_figures)):
                for figure in ("min", "mean", "max", "deviation"):
                    got = row[f"{name}_{kind}_{figure}"]
                    assert got == pytest.approx(getattr(figures, figure), abs=1e-5)


def test_a_broken_photo_is_a_row_with_its_error(surveyor, tree, tmp_path):
    folder = tmp_path / "set" / "cat"
    shutil.copytree(tree / "cat", folder)
    (folder / "0.jpg").write_bytes((folder / "1.jpg").read_bytes()[:300])
    (folder / "empty.jpg").touch()
    rows = surveyed(surveyor, tmp_path / "set")
    broken = rows[rows["error"].notna()]
    assert {p.rpartition("/")[2] for p in broken.index} == {"0.jpg", "empty.jpg"}
    assert "it is empty" in broken["error"][str(folder / "empty.jpg")]
    assert (rows["class"] == "cat").all()
    assert broken["layer1_0_channel"].isna().all() and broken["right"].isna().all()
    assert rows["layer1_0_channel"].notna().sum() == 6


def test_a_photo_that_went_away_is_a_row_too(surveyor, tmp_path):
    surveyor.survey(0, Files((str(tmp_path / "gone.jpg"),), (None,)))
    (row,) = pd.read_parquet(surveyor.out / ROWS).itertuples()
    assert "no such file" in row.error


def test_numbers_are_the_models_classes(surveyor, tmp_path):
    import pyarrow as pa

    make_photo(40, 40).save(tmp_path / "a.jpg")
    photo = (tmp_path / "a.jpg").read_bytes()
    pq.write_table(
        pa.table({"jpg": [photo] * 3, "label": [1, 2, 7]}), file := tmp_path / "a.parquet"
    )
    rows = surveyed(surveyor, file)
    assert list(rows["class"]) == ["dog", "owl", "7"]
    assert pd.isna(rows["right"].iloc[2]), "of another's class nothing is right or wrong"
    assert rows["right"].iloc[:2].notna().all()


def test_a_full_disk_leaves_no_half_file(surveyor, tree, full_disk):
    (piece,) = find_pieces([str(tree)], surveyor.out)
    surveyor.survey(0, piece)
    size = (surveyor.out / ROWS / "rows-0000000.parquet").stat().st_size
    full_disk(size // 2)
    with pytest.raises(OSError):
        surveyor.survey(1, piece)
    full_disk(resource.RLIM_INFINITY)
    assert [f.name for f in (surveyor.out / ROWS).iterdir()] == ["rows-0000000.parquet"]
    assert len(pd.read_parquet(surveyor.out / ROWS)) == 21
