"""The geometry between a photo and the model's input, both ways.

Coordinates are continuous and in pixels: the first pixel of a row covers 0 to 1, its centre is
0.5. Arrays are [height, width]; sizes and points are (x, y).

Where a map lies: with torchvision's symmetric padding, cell i of a map of stride s has its
receptive field centred on input pixel s*i, that is at s*i + 0.5. The usual resize of a map to
the input's size paints the cell at s*(i + 0.5) instead, (s - 1) / 2 pixels too far right and
down: 15.5 px in a ResNet's last stage.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..models.preprocessing import Preprocessing
from .photo import Photo
from .photo_errors import PhotoSource

#: The network looks at ratios of up to this as they are; beyond it the photo is squeezed.
MAX_ASPECT = 4.0


@dataclass(frozen=True)
class View:
    """What the model sees of one photo, and the way back from its maps to the photo.

    The photo is resized to ``resized`` and the box from ``offset``, ``size`` large, is the input.

    Attributes:
        photo_size: (width, height) of the photo.
        resized: (width, height) after resizing.
        offset: (x, y) of the input's corner in the resized photo.
        size: (width, height) of the model's input.
        squeezed: whether the photo's ratio was beyond `MAX_ASPECT` and had to be bounded.
    """

    photo_size: tuple[int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]
    size: tuple[int, int]
    squeezed: bool = False

    @classmethod
    def whole(cls, photo_size: tuple[int, int], pre: Preprocessing) -> "View":
        """The whole photo: nothing cut off, the short side at the model's size.

        The ratio is kept up to `MAX_ASPECT`; a longer photo is squeezed along its long side.
        """
        width, height = photo_size
        short, long = min(photo_size), max(photo_size)
        squeezed = long > MAX_ASPECT * short
        other = round(pre.size * min(long / short, MAX_ASPECT))
        size = (other, pre.size) if width >= height else (pre.size, other)
        return cls(photo_size, size, (0, 0), size, squeezed)

    @classmethod
    def crop(cls, photo_size: tuple[int, int], pre: Preprocessing) -> "View":
        """The evaluation crop: short side resized to ``crop_resize``, a centred square of it."""
        whole = cls.whole(
            photo_size, Preprocessing(size=max(pre.crop_resize, pre.size), crop_resize=0)
        )
        width, height = whole.resized
        offset = ((width - pre.size) // 2, (height - pre.size) // 2)
        return cls(photo_size, whole.resized, offset, (pre.size, pre.size), whole.squeezed)

    @property
    def scale(self) -> tuple[float, float]:
        """Input px per photo px, along x and y."""
        return self.resized[0] / self.photo_size[0], self.resized[1] / self.photo_size[1]

    def to_photo(self, x: float, y: float) -> tuple[float, float]:
        """A point of the input, in the photo."""
        return (x + self.offset[0]) / self.scale[0], (y + self.offset[1]) / self.scale[1]

    def cell_centre(self, row: int, column: int, stride: int) -> tuple[float, float]:
        """(x, y) on the photo of the centre of a cell's receptive field."""
        return self.to_photo(column * stride + 0.5, row * stride + 0.5)

    def input_tensor(self, photo: Image.Image, pre: Preprocessing) -> Tensor:
        """The model's input, float32 [1, 3, height, width], normalised, channels last.

        Args:
            photo: upright RGB; ``photo_size`` large, or the same photo at a reduced size.
            pre: gives mean, standard deviation and interpolation.
        """
        width, height = self.resized
        if photo.size != self.resized:
            photo = photo.resize(self.resized, Image.Resampling[pre.interpolation.upper()])
        if self.size != self.resized:
            x, y = self.offset
            photo = photo.crop((x, y, x + self.size[0], y + self.size[1]))
        std = np.asarray(pre.std, np.float32)
        pixels = np.asarray(photo, np.float32) * (1 / (255 * std))
        pixels -= np.asarray(pre.mean, np.float32) / std
        return torch.from_numpy(pixels).permute(2, 0, 1)[None]

    def cells(self, stride: int) -> tuple[int, int]:
        """(rows, columns) of a map of a stride, in input px."""
        return -(-self.size[1] // stride), -(-self.size[0] // stride)

    def to_cells(self, values: np.ndarray, stride: int) -> np.ndarray:
        """What is painted on the photo, as a map: each cell the mean of what lies nearest to it.

        Args:
            values: [photo height, photo width].
            stride: of the map, in input px.

        Returns:
            float32 [rows, columns].
        """
        rows, columns = self.cells(stride)
        down, across = self._shares(rows, stride, 1), self._shares(columns, stride, 0)
        return down @ np.asarray(values, np.float32) @ across.T

    def _shares(self, cells: int, stride: int, axis: int) -> np.ndarray:
        """What each px of the photo counts in each cell's mean: float32 [cells, px]."""
        inner = (np.arange(1, cells) - 0.5) * stride + 0.5
        edges = np.concatenate([[0], inner, [self.size[axis]]])
        edges = (edges + self.offset[axis]) / self.scale[axis]
        px = np.arange(self.photo_size[axis])
        low, high = edges[:-1, None], edges[1:, None]
        overlap = np.clip(np.minimum(px + 1, high) - np.maximum(px, low), 0, None)
        return (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)

    def map_positions(
        self, cells: int, stride: int, axis: int, samples: int | None = None
    ) -> np.ndarray:
        """Where along one axis of a map the pixels of the photo lie, in cells.

        Args:
            cells: length of the map along the axis.
            stride: of the map, in input px.
            axis: 0 for x, 1 for y.
            samples: number of equal parts the photo is cut into, its length in px if not given.

        Returns:
            float64 [samples]: 0 is the first cell's centre, cells - 1 the last one's; clipped to
            these (beyond the outermost centres the outermost cell is all there is); NaN outside
            what the model saw.
        """
        length = self.photo_size[axis]
        samples = samples or length
        x = (np.arange(samples) + 0.5) * (self.resized[axis] / samples) - self.offset[axis]
        position = np.clip((x - 0.5) / stride, 0, cells - 1)
        position[(x < 0) | (x > self.size[axis])] = np.nan
        return position

    def on_photo(
        self,
        cells: np.ndarray,
        stride: int,
        smooth: bool = True,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """A map over the photo, each cell at the centre of its receptive field.

        Args:
            cells: [rows, columns].
            stride: of the map, in input px.
            smooth: interpolate between the centres (bilinear: never beyond the map's own range);
                else every pixel gets the value of its nearest cell.
            size: (width, height) to draw at, for a smaller picture of the photo; the photo's
                size if not given.

        Returns:
            float32 [height, width]; NaN outside what the model saw.
        """
        width, height = size or self.photo_size
        rows = self.map_positions(cells.shape[0], stride, 1, height)
        columns = self.map_positions(cells.shape[1], stride, 0, width)
        cells = np.asarray(cells, np.float32)
        if not smooth:
            return _take(_take(cells, rows, 0), columns, 1)
        return _interpolate(_interpolate(cells, rows, 0), columns, 1)


VIEWS = {"whole": View.whole, "crop": View.crop}


@dataclass(frozen=True, eq=False)
class ModelInput:
    """A photo as a model is shown it: the one way from a file to a tensor.

    Attributes:
        photo: the photo.
        view: the geometry between photo and input.
        tensor: float32 [1, 3, height, width], normalised, channels last.
    """

    photo: Photo
    view: View
    tensor: Tensor

    @classmethod
    def of(
        cls, photo: PhotoSource | Photo, pre: Preprocessing, view: str | View = "whole"
    ) -> "ModelInput":
        """Decode, resize, crop and normalise a photo.

        Args:
            photo: as for `Explainer.explain`.
            pre: how the model wants its photos.
            view: "whole" or "crop", or a view of this very photo.

        Raises:
            PhotoError: not a photo that can be read.
            ValueError: there is no such view.
        """
        if isinstance(view, str) and view not in VIEWS:
            raise ValueError(f"no view {view!r}; there are: {', '.join(VIEWS)}")
        photo = Photo.of(photo)
        if isinstance(view, str):
            view = VIEWS[view](photo.size, pre)
        return cls(photo, view, view.input_tensor(photo.resized(*view.resized), pre))


def _take(values: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """Nearest neighbours along an axis, NaN where the position is NaN."""
    seen = ~np.isnan(positions)
    # Half way between two centres belongs to the later cell, as the edge of a pixel does.
    index = np.where(seen, np.floor(positions + 0.5), 0).astype(np.intp)
    return _blank(values.take(index, axis), seen, axis)


def _interpolate(values: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation along an axis, NaN where the position is NaN."""
    seen = ~np.isnan(positions)
    positions = np.where(seen, positions, 0)
    low = np.minimum(positions.astype(np.intp), max(values.shape[axis] - 2, 0))
    share = (positions - low).astype(np.float32)
    # From cell to cell, which are far fewer than the positions between them.
    steps = np.diff(values, axis=axis)
    first = values.take(low, axis)
    if steps.size:
        added = steps.take(low, axis)
        added *= share[:, None] if axis == 0 else share
        first += added
    return _blank(first, seen, axis)


def _blank(values: np.ndarray, seen: np.ndarray, axis: int) -> np.ndarray:
    if not seen.all():
        values[(~seen,) if axis == 0 else (slice(None), ~seen)] = np.nan
    return values
