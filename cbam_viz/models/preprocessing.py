"""How a model wants its photos."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preprocessing:
    """How a model wants its photos: the same numbers it was trained and judged with.

    Attributes:
        size: short side of the whole photo in px, and side of the evaluation crop.
        crop_resize: short side in px that the photo has before the evaluation crop is cut.
        mean, std: per channel (red, green, blue), for values in 0..1.
        interpolation: how photos are resized, by Pillow's name of it in small letters.
    """

    size: int = 224
    crop_resize: int = 256
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"
