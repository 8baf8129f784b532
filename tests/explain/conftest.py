"""Two small pictures."""

import numpy as np
import pytest
from photo_samples import BLUE, GREEN, RED, WHITE


@pytest.fixture
def colours():
    """40 x 60 px: two ramps and a corner of noise."""
    y, x = np.mgrid[:40, :60]
    colours = np.stack([x * 4, y * 6, (x + y) * 2], 2).astype(np.uint8)
    colours[5:15, 5:15] = np.random.default_rng(0).integers(0, 256, (10, 10, 3))
    return colours


@pytest.fixture
def quadrants():
    """32 x 48 px: white and red above, green and blue below."""
    above = np.concatenate([np.full((16, 24, 3), c) for c in (WHITE, RED)], 1)
    below = np.concatenate([np.full((16, 24, 3), c) for c in (GREEN, BLUE)], 1)
    return np.concatenate([above, below]).astype(np.uint8)
