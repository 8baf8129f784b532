import pytest

from cbam_viz.broken import BrokenPhotos


def test_each_is_named_once_and_more_than_one_in_a_hundred_end_the_run(capsys):
    broken = BrokenPhotos(250)
    for name in ("a.jpg", "b.jpg", "a.jpg"):
        broken.add(name, "it is cut off")
    assert broken.names == ["a.jpg", "b.jpg"]
    assert capsys.readouterr().err.splitlines() == [
        "skipped a.jpg: it is cut off",
        "skipped b.jpg: it is cut off",
    ]
    with pytest.raises(ValueError, match="more than 1% of 250 .* a.jpg, b.jpg, c.jpg; mend or"):
        broken.add("c.jpg")
