"""Photos of a survey with one block's map over each, small enough for a page."""

import base64
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ..explain.photo import Photo
from ..explain.photo_errors import PhotoError
from ..explain.view import VIEWS
from ..models.preprocessing import Preprocessing
from ..render.overlay import Look, overlay
from .findings import Findings
from .output import ROWS
from .pieces import read_photo
from .rows import column

#: Long side of a picture, in px, and most pictures of a gallery.
SIDE, MOST = 132, 480
#: Photos per block that are shown because its map is unlike the others'.
UNLIKE = 4


def extremes(found: Findings, block: str) -> pd.DataFrame:
    """Photos for the gallery of a block: of each class, and of those answered right and wrong, the
    most and the least attended, by the mean of its spatial gate.

    Returns:
        Rows of ``found.photos`` with ``which``, "most" or "least"; those furthest from the mean of
        all, if there are more than `MOST`.
    """
    photos = found.photos
    mean = photos[column(block, "spatial_mean")]
    groups = mean.groupby([photos["class"], photos["right"].astype("string").fillna("")])
    least, most = groups.idxmin(), groups.idxmax()
    which = {i: "least" for i in least} | {i: "most" for i in most}
    chosen = photos.loc[list(which)].assign(which=list(which.values()))
    if len(chosen) > MOST:
        away = (chosen[column(block, "spatial_mean")] - mean.mean()).abs()
        chosen = chosen.loc[away.nlargest(MOST).index]
    return chosen.sort_values(column(block, "spatial_mean"), ascending=False)


def unlike(found: Findings) -> pd.DataFrame:
    """The photos in which each block's map is least like the mean of the others'.

    Returns:
        Rows of ``found.photos``, at most `UNLIKE` a block, with ``block`` and ``agreed``, its
        agreement.
    """
    parts = []
    for block in found.manifest.blocks:
        agreed = found.photos[column(block, "agreement")].dropna().nsmallest(UNLIKE)
        parts.append(found.photos.loc[agreed.index].assign(block=block, agreed=agreed))
    return pd.concat(parts)


def maps_of(
    folder: Path, photos: Iterable[str], blocks: Iterable[str]
) -> Iterator[tuple[str, dict, dict[str, np.ndarray]]]:
    """Some photos of a survey, each with its row and its maps, float32 [rows, columns]."""
    wanted, blocks = list(set(photos)), list(blocks)
    names = ["photo", "width", "height"]
    for block in blocks:
        names += [column(block, w) for w in ("spatial", "spatial_rows", "spatial_columns")]
    for path in sorted((folder / ROWS).glob("rows-*.parquet")):
        file = pq.ParquetFile(path)
        asked = np.isin(file.read(["photo"])["photo"].to_numpy(), wanted)
        if not asked.any():
            continue
        for row in file.read(names).filter(pa.array(asked)).to_pylist():
            cells = {
                block: np.array(row[column(block, "spatial")], np.float32).reshape(
                    row[column(block, "spatial_rows")], row[column(block, "spatial_columns")]
                )
                for block in blocks
            }
            yield row["photo"], row, cells


class Pictures:
    """Makes pictures of photos that are still where they were.

    Attributes:
        missing: photos that are not there any more.
    """

    def __init__(self, found: Findings):
        manifest = found.manifest
        self._pre = Preprocessing(**manifest.input)
        self._view = VIEWS[manifest.view]
        self._strides, self._untrained = manifest.blocks, manifest.untrained is not None
        self.missing: list[str] = []

    def photo(self, photo: str) -> Image.Image | None:
        """A photo, no larger than is shown."""
        try:
            image = Photo(read_photo(photo)).at_least(SIDE, SIDE)
        except (OSError, ValueError, PhotoError):
            self.missing.append(photo)
            return None
        image.thumbnail((SIDE, SIDE))
        return image

    def overlay(self, image: Image.Image, row: dict, block: str, cells: np.ndarray) -> str:
        """A block's map, stretched to its own range, over a photo; a data URL."""
        view = self._view((row["width"], row["height"]), self._pre)
        look = Look(mode="heat", scale="stretched", opacity=0.6)
        return data_url(overlay(image, cells, self._strides[block], view, look, self._untrained))


def data_url(image: Image.Image) -> str:
    """A JPEG picture that lies in the page itself."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=72)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
