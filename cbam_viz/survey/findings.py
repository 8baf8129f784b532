"""What the rows of a survey say, in one pass: of each photo a few figures are held, no gates."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..explain.explanation import NEARLY_CONSTANT
from .output import ROWS, Manifest
from .rows import column

#: Cells along each side of the grid that maps of all shapes are brought to.
GRID = 14
#: Rows that are looked at at a time.
ROWS_AT_A_TIME = 1024


@dataclass(frozen=True)
class Channels:
    """The channel gate of one block over all photos.

    Attributes:
        means: float64 [classes, C]: mean gate of each class.
        low, high: float32 [C]: the least and the greatest value that each gate ever had.
        explained: float64 [C]: the share of each gate's variance over photos that their class
            explains, less what chance would: epsilon squared (Kelley 1935), at most 1 and about 0
            for a gate that knows nothing of the classes. NaN for a gate that never moves: all its
            values lie within `NEARLY_CONSTANT`, and what is explained would be rounding.
    """

    means: np.ndarray
    low: np.ndarray
    high: np.ndarray
    explained: np.ndarray


@dataclass(frozen=True)
class Findings:
    """Everything a report is made of.

    Attributes:
        manifest: of the survey.
        pieces: how many of its pieces are written.
        errors: photo and error of those that could not be looked at.
        photos: a row for each of the others: photo, class (the predicted one where none is known),
            right, label and probability of the likeliest class, and for each block and in this
            order ``spatial_mean``, ``spatial_span`` (greatest less least value), ``channel_mean``
            and ``agreement``: the correlation, over the cells of a common grid, of its map with
            the mean of all other blocks' maps, each at its own scale; NaN for a map that is nearly
            constant, or that has no others.
        labelled: whether the classes are the photos' own.
        classes: names, sorted; the order of all that is by class.
        counts: photos of each.
        channels: by block.
        maps: float64 [classes, GRID, GRID] by block: mean spatial gate of each class, over the
            model's input, each cell at its receptive field's centre.
    """

    manifest: Manifest
    pieces: int
    errors: pd.DataFrame
    photos: pd.DataFrame
    labelled: bool
    classes: list[str]
    counts: np.ndarray
    channels: dict[str, Channels]
    maps: dict[str, np.ndarray]


def find(folder: Path) -> Findings:
    """Read a survey, be it done or not.

    Raises:
        ValueError: no survey, none of this version, no photo in it that could be looked at, or a
            file of rows that is damaged.
    """
    manifest = Manifest.read(folder)
    files = sorted((folder / ROWS).glob("rows-*.parquet"))
    about = []
    for file in files:
        with _whole(file):
            about.append(pq.read_table(file, columns=["photo", "error", "class", "right",
                                                      "top_label", "top_probability"]))  # fmt: skip
    table = pa.concat_tables(about) if about else None
    if table is None or table["error"].null_count == 0:
        raise ValueError(
            f"{folder} has no photo yet that could be looked at; `survey PHOTOS --out {folder}` "
            "goes on with it"
        )
    rows = table.to_pandas()
    errors = rows[rows["error"].notna()][["photo", "error"]].reset_index(drop=True)
    rows = rows[rows["error"].isna()].drop(columns="error").reset_index(drop=True)
    rows["top_label"] = rows["top_label"].str[0]
    rows["top_probability"] = rows["top_probability"].str[0].astype(np.float32)
    labelled = bool(rows["class"].notna().any())
    if not labelled:
        rows["class"] = rows["top_label"]
    codes, classes = pd.factorize(rows["class"], sort=True)
    sums = {block: _ChannelSums(len(classes)) for block in manifest.blocks}
    maps = {block: np.zeros((len(classes), GRID * GRID)) for block in manifest.blocks}
    figures: dict[str, list[np.ndarray]] = {}
    first = 0
    for batch in _batches(files, list(manifest.blocks)):
        groups = _Groups.of(codes[first : first + len(batch)])
        first += len(batch)
        grids = []
        for block, stride in manifest.blocks.items():
            sums[block].add(_matrix(batch, column(block, "channel")), groups)
            grid = _grids(batch, block, stride)
            groups.add(grid, maps[block])
            grids.append(grid)
        spans = [
            _figure(batch, block, "spatial_max") - _figure(batch, block, "spatial_min")
            for block in manifest.blocks
        ]
        agreements = agreement(np.stack(grids), np.stack(spans))
        for block, span, agreed in zip(manifest.blocks, spans, agreements, strict=True):
            for name, values in (
                ("spatial_mean", _figure(batch, block, "spatial_mean")),
                ("spatial_span", span),
                ("channel_mean", _figure(batch, block, "channel_mean")),
                ("agreement", agreed),
            ):
                figures.setdefault(column(block, name), []).append(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(classes))
    numbers = pd.DataFrame({name: np.concatenate(parts) for name, parts in figures.items()})
    some = np.maximum(counts, 1)[:, None]
    return Findings(
        manifest=manifest,
        pieces=len(files),
        errors=errors,
        photos=pd.concat([rows, numbers], axis=1),
        labelled=labelled,
        classes=list(classes),
        counts=counts,
        channels={block: s.result(counts) for block, s in sums.items()},
        maps={block: (m / some).reshape(-1, GRID, GRID) for block, m in maps.items()},
    )


def agreement(grids: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """How much each block's map is like the mean of the others'.

    Args:
        grids: float32 [blocks, N, cells].
        spans: [blocks, N]: greatest less least value of the maps' own cells.

    Returns:
        float32 [blocks, N], correlations in -1..1; see `Findings.photos`.
    """
    scaled = grids - grids.mean(2, keepdims=True)
    deviation = scaled.std(2, keepdims=True)
    moves = (spans >= NEARLY_CONSTANT)[:, :, None] & (deviation > 0)
    scaled = np.where(moves, scaled / np.where(deviation > 0, deviation, 1), 0)
    others = scaled.sum(0) - scaled
    length = np.sqrt((others**2).mean(2))
    found = (scaled * others).mean(2)
    known = moves[:, :, 0] & (length > 1e-4)  # of others that cancel, rounding is left
    return np.where(known, found / np.where(known, length, 1), np.nan).astype(np.float32)


@dataclass(frozen=True)
class _Groups:
    """Rows of a batch by their class."""

    order: np.ndarray
    starts: np.ndarray
    classes: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray) -> "_Groups":
        order = np.argsort(codes, kind="stable")
        order = order[codes[order] >= 0]  # -1 is that of a photo without a class
        classes, starts = np.unique(codes[order], return_index=True)
        return cls(order, starts, classes)

    def add(self, values: np.ndarray, to: np.ndarray) -> None:
        """Add the sums of [rows, k] by class to [classes, k]."""
        if len(self.order):
            to[self.classes] += np.add.reduceat(values[self.order], self.starts, dtype=np.float64)


class _ChannelSums:
    """Sums over photos of one block's channel gates."""

    def __init__(self, classes: int):
        self.classes = classes
        self.by_class: np.ndarray | None = None

    def add(self, gates: np.ndarray, groups: _Groups) -> None:
        if self.by_class is None:
            self.by_class = np.zeros((self.classes, gates.shape[1]))
            self.squares = np.zeros(gates.shape[1])
            self.low, self.high = gates.min(0), gates.max(0)
        groups.add(gates, self.by_class)
        self.squares += np.square(gates[groups.order], dtype=np.float64).sum(0)
        self.low = np.minimum(self.low, gates.min(0))
        self.high = np.maximum(self.high, gates.max(0))

    def result(self, counts: np.ndarray) -> Channels:
        assert self.by_class is not None  # there is a photo
        n = counts.sum()
        means = self.by_class / np.maximum(counts, 1)[:, None]
        total = self.squares - np.square(self.by_class.sum(0)) / max(n, 1)
        within = self.squares - (counts[:, None] * means**2).sum(0)
        free = n - len(counts)
        differs = self.high - self.low >= NEARLY_CONSTANT
        explained = np.full(len(total), np.nan)
        if free > 0 and len(counts) > 1:
            chance = within[differs] / free * (n - 1)
            explained[differs] = 1 - chance / total[differs]
        return Channels(means, self.low, self.high, explained)


def _batches(files: list[Path], blocks: list[str]) -> Iterator[pa.RecordBatch]:
    """Rows without error, with what is needed of each block."""
    wanted = ["channel", "spatial", "spatial_rows", "spatial_columns",
              "spatial_min", "spatial_mean", "spatial_max", "channel_mean"]  # fmt: skip
    names = ["error", "input_width", "input_height"]
    names += [column(block, what) for block in blocks for what in wanted]
    for path in files:
        with _whole(path):
            for batch in pq.ParquetFile(path).iter_batches(ROWS_AT_A_TIME, columns=names):
                good = batch.filter(batch.column("error").is_null())
                if len(good):
                    yield good


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Say which file of rows cannot be read, and what to do."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); delete it, and the command of the survey makes it anew"
        ) from error


def _matrix(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """A column of lists of one length, float32 [rows, length]."""
    return batch.column(name).flatten().to_numpy().astype(np.float32).reshape(len(batch), -1)


def _figure(batch: pa.RecordBatch, block: str, what: str) -> np.ndarray:
    return batch.column(column(block, what)).to_numpy()


def _grids(batch: pa.RecordBatch, block: str, stride: int) -> np.ndarray:
    """A block's maps on the common grid, float32 [rows, GRID * GRID]."""
    lists = batch.column(column(block, "spatial"))
    values = lists.flatten().to_numpy().astype(np.float32)
    offsets = np.r_[0, np.cumsum(np.diff(lists.offsets.to_numpy()))]
    sides = ("spatial_rows", "spatial_columns")
    rows, columns = (batch.column(column(block, side)).to_numpy() for side in sides)
    sizes = np.stack([rows, columns, *(batch.column(f"input_{s}").to_numpy()
                                       for s in ("height", "width"))], 1)  # fmt: skip
    grids = np.empty((len(batch), GRID * GRID), np.float32)
    kinds, kind = np.unique(sizes, axis=0, return_inverse=True)
    for i, (high, wide, height, width) in enumerate(kinds.tolist()):
        mine = np.flatnonzero(kind.ravel() == i)
        cells = values[offsets[mine][:, None] + np.arange(high * wide)].reshape(-1, high, wide)
        down, across = _samples(high, height, stride), _samples(wide, width, stride)
        grids[mine] = (down @ cells @ across.T).reshape(len(mine), -1)
    return grids


@lru_cache(maxsize=4096)
def _samples(cells: int, size: int, stride: int) -> np.ndarray:
    """What brings one axis of a map to the grid: float32 [GRID, cells], linear between the centres
    of receptive fields (see `cbam_viz.explain.view`)."""
    place = np.clip(((np.arange(GRID) + 0.5) * size / GRID - 0.5) / stride, 0, cells - 1)
    low = np.minimum(place.astype(int), max(cells - 2, 0))
    share = place - low
    weights = np.zeros((GRID, cells), np.float32)
    weights[np.arange(GRID), low] += 1 - share
    weights[np.arange(GRID), np.minimum(low + 1, cells - 1)] += share
    return weights
