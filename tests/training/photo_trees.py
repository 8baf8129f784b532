"""Folders of small photos."""

import numpy as np
from PIL import Image


def put(folder, *names, size=(12, 10)):
    """Tiny photos, each of its own colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        colour = tuple(np.random.default_rng(len(name)).integers(0, 256, 3).tolist())
        Image.new("RGB", size, colour).save(folder / name)
