"""What a survey says, against the same counted photo by photo."""

import shutil

import numpy as np
import pandas as pd
import pytest
from helpers import make_photo

from cbam_viz.survey.findings import GRID, agreement, find


@pytest.fixture(scope="module")
def folder(surveyed, network, tree, tmp_path_factory):
    root = tmp_path_factory.mktemp("found")
    shutil.copytree(tree, root / "photos")
    (root / "photos" / "dog" / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    return surveyed(network, root / "out", root / "photos")


@pytest.fixture(scope="module")
def rows(folder):
    table = pd.read_parquet(folder / "rows")
    return table[table["error"].isna()].reset_index(drop=True)


@pytest.fixture(scope="module")
def found(folder):
    return find(folder)


def test_photos_and_errors(found, rows):
    assert found.classes == ["cat", "dog", "owl"] and found.counts.tolist() == [7, 7, 7]
    assert found.labelled and found.pieces == found.manifest.pieces
    assert len(found.errors) == 1 and found.errors["photo"][0].endswith("broken.jpg")
    assert dict(zip(found.photos["photo"], found.photos["right"], strict=True)) == dict(
        zip(rows["photo"], rows["right"], strict=True)
    )


def test_channels_by_class_and_what_the_class_explains(found, rows):
    for block in found.manifest.blocks:
        gates = np.stack(rows[f"{block.replace('.', '_')}_channel"].to_list()).astype(np.float64)
        c = found.channels[block]
        for i, name in enumerate(found.classes):
            np.testing.assert_allclose(c.means[i], gates[rows["class"] == name].mean(0), atol=1e-9)
        np.testing.assert_array_equal(c.low, gates.min(0))
        np.testing.assert_array_equal(c.high, gates.max(0))
        # epsilon squared by its definition: 1 - (within / (N - k)) / (total / (N - 1))
        total = gates.var(0, ddof=1)
        centred = gates - np.stack([c.means[found.classes.index(n)] for n in rows["class"]])
        within = (centred**2).sum(0) / (21 - 3)
        moves = np.ptp(gates, 0) >= 0.05
        np.testing.assert_allclose(c.explained[moves], (1 - within / total)[moves], atol=1e-6)
        assert np.isnan(c.explained[~moves]).all()
    assert any(np.isfinite(c.explained).any() for c in found.channels.values())


def test_a_gate_that_never_differs_explains_nothing(surveyed, network, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "p" / name).mkdir(parents=True)
        for i in range(3):
            make_photo(40, 40, seed=5).save(tmp_path / "p" / name / f"{i}.png")
    found = find(surveyed(network, tmp_path / "out", tmp_path / "p"))
    for c in found.channels.values():
        assert np.isnan(c.explained).all() and (c.high == c.low).all()


def test_mean_maps_are_over_the_input_at_receptive_field_centres(found, rows):
    block, stride = "layer1.0", found.manifest.blocks["layer1.0"]
    total = np.zeros((GRID, GRID))
    cats = rows[rows["class"] == "cat"]
    for _, row in cats.iterrows():
        high, wide = (int(row[f"layer1_0_spatial_{side}"]) for side in ("rows", "columns"))
        cells = row["layer1_0_spatial"].astype(np.float64).reshape(high, wide)
        y = ((np.arange(GRID) + 0.5) * row["input_height"] / GRID - 0.5) / stride
        x = ((np.arange(GRID) + 0.5) * row["input_width"] / GRID - 0.5) / stride
        across = np.stack([np.interp(x, np.arange(wide), line) for line in cells])
        total += np.stack([np.interp(y, np.arange(high), line) for line in across.T]).T
    np.testing.assert_allclose(found.maps[block][0], total / len(cats), atol=1e-6)


def test_agreement_is_the_correlation_with_the_others_mean():
    draw = np.random.default_rng(0)
    shared = draw.normal(size=(5, 40))
    others = draw.normal(size=(2, 5, 40))
    grids = np.stack([shared, 3 * shared + 1, others[0] - shared, others[1]]).astype("f4")
    spans = np.ones((4, 5))
    spans[3, 0] = 0.01  # nearly constant: it neither agrees nor is agreed with
    got = agreement(grids, spans)
    for n in range(5):
        kept = [b for b in range(4) if spans[b, n] > 0.05]
        scaled = {b: (grids[b, n] - grids[b, n].mean()) / grids[b, n].std() for b in kept}
        for b in kept:
            others = np.mean([scaled[o] for o in kept if o != b], axis=0)
            assert got[b, n] == pytest.approx(np.corrcoef(scaled[b], others)[0, 1], abs=1e-5)
    assert np.isnan(got[3, 0])
    assert np.isnan(agreement(grids[:1], spans[:1])).all()
    cancel = np.stack([grids[3], grids[0], -grids[0]])
    assert np.isnan(agreement(cancel, np.ones((3, 5)))[0]).all()


def test_without_classes_the_predicted_ones_count(surveyed, network, tree, tmp_path):
    found = find(surveyed(network, tmp_path / "out", tree / "cat"))
    assert not found.labelled and found.photos["right"].isna().all()
    assert set(found.classes) <= {"cat", "dog", "owl"} and found.counts.sum() == 7


def test_photos_without_a_class_among_others_that_have_one(surveyed, network, tree, tmp_path):
    make_photo(50, 40).save(tmp_path / "alone.jpg")
    found = find(surveyed(network, tmp_path / "out", tree, tmp_path / "alone.jpg"))
    assert len(found.photos) == 22 and found.counts.sum() == 21


@pytest.mark.parametrize("broken", [False, True])
def test_nothing_to_tell(surveyed, network, tmp_path, broken):
    if broken:
        (tmp_path / "p").mkdir()
        (tmp_path / "p" / "a.jpg").write_bytes(b"no photo")
        folder = surveyed(network, tmp_path / "out", tmp_path / "p" / "a.jpg")
        with pytest.raises(ValueError, match="no photo yet that could be looked at"):
            find(folder)
    else:
        with pytest.raises(ValueError, match="holds no survey"):
            find(tmp_path)
