"""Batches of inputs of one shape."""

from cbam_viz.explain.batches import by_shape


def test_a_batch_goes_when_it_is_full_and_the_rest_at_the_end():
    words = ["a", "bb", "c", "dd", "e", "f", "gg"]
    assert list(by_shape(words, len, 3)) == [["a", "c", "e"], ["bb", "dd", "gg"], ["f"]]


def test_no_more_wait_than_may():
    """Of shapes that never fill a batch the fullest goes, and what is held stays bounded."""
    taken = []

    def inputs():
        for i in range(60):
            taken.append(i)
            yield i

    given = 0
    for batch in by_shape(inputs(), lambda i: i % 20, 16, waiting=8):
        given += len(batch)
        assert len(taken) - given < 8
        assert len({i % 20 for i in batch}) == 1
    assert given == 60


def test_nothing_gives_nothing():
    assert list(by_shape([], len, 3)) == []
