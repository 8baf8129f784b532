"""What a survey says, as tables, plots and one page."""

import base64
import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.text import Text
from PIL import Image

from ..explain.explanation import NEARLY_CONSTANT
from ..files import written_whole
from ..render.lettering import chinese_font, has_chinese
from . import plots
from .findings import Findings, find
from .gallery import Pictures, data_url, extremes, maps_of, unlike
from .output import check_free
from .page import STRINGS, page
from .rows import column

#: Where a report is written, in the survey's folder.
REPORT = "report"
FIGURES = ("spatial_mean", "spatial_span", "channel_mean", "agreement")


def report(folder: str | Path, block: str | None = None) -> Path:
    """Write what a survey says into ``report`` in its folder: tables as CSV and Parquet, plots as
    PNG, in Chinese as well where this system has a font for it (``*.zh.png``), and
    ``report.html``, one file with all of it, which needs no network.

    Args:
        folder: of a survey, be it done or not.
        block: whose maps are drawn class by class, and photo by photo; the model's first one to
            look at if None.

    Returns:
        The page's file.

    Raises:
        ValueError: no survey, one of another version, no photo in it that could be looked at, no
            such block, or a file in the report's place.
    """
    began = time.perf_counter()
    folder = Path(folder)
    found = find(folder)
    block = block or found.manifest.open_at
    if block not in found.manifest.blocks:
        names = ", ".join(found.manifest.blocks)
        raise ValueError(f"no block {block!r}; this model has: {names}")
    out = folder / REPORT
    check_free(out)
    out.mkdir(exist_ok=True)
    tables = tables_of(found)
    for name, table in tables.items():
        with written_whole(out / f"{name}.csv") as file:
            table.to_csv(file, index=False)
        with written_whole(out / f"{name}.parquet") as file:
            table.to_parquet(file, index=False)
    order = plots.class_order(found)
    pictures: dict[str, dict[str, str]] = {"en": {}} | ({"zh": {}} if has_chinese() else {})
    for language, drawn in pictures.items():
        for name, figure in _figures(found, block, order, STRINGS[language]):
            png = _png(figure)
            with written_whole(out / f"{name}{'' if language == 'en' else '.zh'}.png") as file:
                file.write(png)
            drawn[name] = "data:image/png;base64," + base64.b64encode(png).decode()
    gallery, unlike_others, missing = _photos(folder, found, block)
    contents = page(found, block, tables, pictures, gallery, unlike_others, missing,
                    time.perf_counter() - began)  # fmt: skip
    with written_whole(out / "report.html") as file:
        file.write(contents.encode())
    return out / "report.html"


def tables_of(found: Findings) -> dict[str, pd.DataFrame]:
    """The report's tables, by the names of their files.

    - ``classes``: photos, accuracy where it is known, and every block's mean gates.
    - ``channels``: of every channel of every block, ``explained`` (see `Channels`), its least and
      greatest value, and the classes with its greatest and its least mean.
    - ``channels_by_class``: mean gate of every channel by class.
    - ``blocks``: how far each block's gates move.
    - ``right_wrong``: see `right_wrong`.
    - ``unlike``: photos in which a block looks elsewhere than the others.
    - ``errors``: photos that could not be looked at.
    """
    photos = found.photos
    by_class = photos.groupby("class")
    classes = pd.DataFrame({"class": found.classes, "photos": found.counts})
    if photos["right"].notna().any():
        right = photos["right"].astype("float").groupby(photos["class"]).mean()
        classes["right"] = right.reindex(found.classes).to_numpy()
    for block in found.manifest.blocks:
        for name in ("channel_mean", "spatial_mean"):
            means = by_class[column(block, name)].mean().reindex(found.classes)
            classes[column(block, name)] = means.to_numpy()
    channels, long, blocks = [], [], []
    names = np.array(found.classes)
    for block, c in found.channels.items():
        count = c.means.shape[1]
        channels.append(
            pd.DataFrame(
                {
                    "block": block,
                    "channel": np.arange(count),
                    "explained": c.explained,
                    "least": c.low,
                    "greatest": c.high,
                    "highest_class": names[c.means.argmax(0)],
                    "highest_mean": c.means.max(0),
                    "lowest_class": names[c.means.argmin(0)],
                    "lowest_mean": c.means.min(0),
                }
            )
        )
        long.append(
            pd.DataFrame(
                {
                    "class": np.repeat(names, count),
                    "block": block,
                    "channel": np.tile(np.arange(count), len(names)),
                    "mean": c.means.ravel().astype(np.float32),
                }
            )
        )
        spans = photos[column(block, "spatial_span")]
        still = (c.high - c.low) < NEARLY_CONSTANT
        blocks.append(
            {
                "block": block,
                "channels": count,
                "channels_that_never_move": int(still.sum()),
                "median_channel_span": float(np.median(c.high - c.low)),
                "median_explained": float(pd.Series(c.explained).median()),
                "maps_nearly_constant": float((spans < NEARLY_CONSTANT).mean()),
                "median_map_span": float(spans.median()),
                "greatest_map_span": float(spans.max()),
                "spatial_mean": float(photos[column(block, "spatial_mean")].mean()),
                "channel_mean": float(photos[column(block, "channel_mean")].mean()),
                "agreement": float(photos[column(block, "agreement")].mean()),
            }
        )
    tables = {
        "classes": classes,
        "channels": pd.concat(channels).sort_values("explained", ascending=False),
        "channels_by_class": pd.concat(long),
        "blocks": pd.DataFrame(blocks),
        "unlike": unlike(found)[["block", "agreed", "photo", "class", "top_label", "right"]],
        "errors": found.errors,
    }
    differences = right_wrong(found)
    if differences:
        tables["right_wrong"] = pd.DataFrame(
            [{"block": block} | values for block, values in differences.items()]
        )
    return tables


def right_wrong(found: Findings) -> dict[str, dict[str, float]]:
    """How photos that were answered wrong differ from those answered right, of the same class.

    Returns:
        By block, for each of its figures: the mean over wrong ones less that over right ones, each
        photo taken less the mean of its class, in standard deviations of the figure within
        classes; NaN where there is none. Nothing if no photo, or every photo, is right.
    """
    photos = found.photos[found.photos["right"].notna()]
    right = photos["right"].astype(bool).to_numpy()
    if right.all() or not right.any():
        return {}
    result = {}
    for block in found.manifest.blocks:
        result[block] = {}
        for name in FIGURES:
            values = photos[column(block, name)].astype(np.float64)
            values = values - values.groupby(photos["class"]).transform("mean")
            deviation = values.std()
            difference = values[~right].mean() - values[right].mean()
            known = np.isfinite(difference) and deviation > 0
            result[block][name] = float(difference / deviation) if known else np.nan
    return result


def _figures(
    found: Findings, block: str, order: np.ndarray, words: plots.Words
) -> Iterator[tuple[str, Figure]]:
    yield "blocks", plots.plot_blocks(found, order, words)
    if len(found.classes) > 1:
        yield "explained", plots.plot_explained(found, words)
        for name in found.channels:
            yield f"channels-{name}", plots.plot_channels(found, name, order, words)
    yield "mean-maps", plots.plot_mean_maps(found, words)
    yield "maps", plots.plot_maps(found, block, order, words)
    yield "movement", plots.plot_movement(found, words)
    if differences := right_wrong(found):
        yield "right-wrong", plots.plot_right_and_wrong(differences, words)


def _png(figure: Figure) -> bytes:
    if chinese := chinese_font():  # for what the usual font lacks
        fontManager.addfont(chinese)
        family = ["DejaVu Sans", FontProperties(fname=chinese).get_name()]
        for text in figure.findobj(Text):
            if not text.get_fontproperties().get_file():
                text.set_fontfamily(family)
    drawn, file = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    # So many colours are enough, at a third of the size.
    Image.open(drawn).convert("RGB").quantize(256).save(file, "PNG", optimize=True)
    return file.getvalue()


def _photos(
    folder: Path, found: Findings, block: str
) -> tuple[list[dict], dict[str, list[dict]], int]:
    """The gallery, the photos in which a block looks elsewhere, and how many photos are gone."""
    chosen, others = extremes(found, block), unlike(found)
    pictures = Pictures(found)
    drawn: dict[str, str] = {}
    beside: dict[tuple[str, str], tuple[str, str]] = {}
    asked = set(chosen["photo"])
    places = others.groupby("photo")["block"].apply(list).to_dict()
    for photo, row, cells in maps_of(folder, asked | set(places), found.manifest.blocks):
        image = pictures.photo(photo)
        if image is None:
            continue
        if photo in asked:
            drawn[photo] = pictures.overlay(image, row, block, cells[block])
        for name in places.get(photo, ()):
            beside[photo, name] = (
                data_url(image),
                pictures.overlay(image, row, name, cells[name]),
            )
    gallery = [
        {
            "picture": drawn[row["photo"]],
            "photo": row["photo"],
            "class": row["class"],
            "label": row["top_label"],
            "right": None if pd.isna(row["right"]) else bool(row["right"]),
            "which": row["which"],
            "mean": float(row[column(block, "spatial_mean")]),
        }
        for row in chosen.to_dict("records")
        if row["photo"] in drawn
    ]
    elsewhere: dict[str, list[dict]] = {}
    for row in others.to_dict("records"):
        if found_both := beside.get((row["photo"], row["block"])):
            plain, over = found_both
            told = {k: row[k] for k in ("photo", "top_label", "agreed")}
            told["class"] = None if pd.isna(row["class"]) else row["class"]
            elsewhere.setdefault(row["block"], []).append(told | {"plain": plain, "over": over})
    return gallery, elsewhere, len(set(pictures.missing))
