"""An explanation as files: pictures, numbers, and enough to make both again."""

import io
import json
import platform
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image

from .. import __version__
from ..explain.explanation import Explanation, GateFigures
from ..files import written_whole
from .charts import channel_chart
from .overlay import DEFAULT, Look, overlay, resized
from .sheets import contact_sheet


def save(
    explanation: Explanation,
    folder: str | Path,
    look: Look = DEFAULT,
    blocks: Iterable[str] | None = None,
) -> Path:
    """Write an explanation into a folder, each file whole or not at all.

    - ``overview.png``: all blocks at a glance.
    - ``layer4.1-multiply.png`` and ``layer4.1-channels.png`` for each block: its spatial attention
      over the photo, in the photo's size, and its channel weights as a chart.
    - ``attention.npz``: the gates of all blocks, exactly: float32 ``layer4.1.channel`` [C] and
      ``layer4.1.spatial`` [H, W].
    - ``explanation.json``: what `Explanation.to_dict` says and how it came about.

    Args:
        explanation: of a photo.
        folder: is made if it is not there. Files of these names in it are replaced, others left.
        look: how to draw the overlays.
        blocks: names of the blocks to draw one by one; all if not given.

    Returns:
        The folder.

    Raises:
        ValueError: there is no such block; nothing is written then.
        OSError: a file cannot be written; the one of that name from before, if any, is as it was.
    """
    names = [b.name for b in explanation.blocks] if blocks is None else list(blocks)
    for name in names:
        explanation.block(name)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file, contents in _files(explanation, look, names):
        with written_whole(folder / file) as f:
            f.write(contents)
    return folder


def zipping(
    explanation: Explanation,
    path: str | Path,
    look: Look = DEFAULT,
    side: int | None = None,
) -> Iterator[float]:
    """Write the files that `save` writes into one zip file, whole or not at all.

    The photo is decoded once and each picture is in memory alone, so that it takes no more of it
    for many blocks than for one.

    Args:
        explanation: of a photo.
        path: of the zip file; one that is there is replaced.
        look: how to draw the overlays.
        side: the most px of an overlay's longer side. They are then JPEG files, of good quality
            and quick to write. The photo's size and lossless PNG if None.

    Yields:
        The share that is done, above 0 and up to 1, after each file. The zip is there at the end;
        nothing is left of one that is given up before.

    Raises:
        OSError: the file cannot be written; what lay there before is as it was.
    """
    names = [b.name for b in explanation.blocks]
    count = 3 + 2 * len(names)
    with (
        written_whole(Path(path)) as f,
        zipfile.ZipFile(f, "w") as archive,
    ):  # pictures get no smaller: stored
        for done, (file, contents) in enumerate(_files(explanation, look, names, side), 1):
            archive.writestr(file, contents)
            yield done / count


def _files(
    explanation: Explanation, look: Look, names: Sequence[str], side: int | None = None
) -> Iterator[tuple[str, bytes]]:
    """Name and contents of each file, made when asked for. The JSON comes last: all is there."""
    width, height = explanation.photo.size
    shrink = 1 if side is None else min(1, side / max(width, height))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    photo = resized(explanation.photo.at_least(*size), size)
    yield "overview.png", _png(contact_sheet(explanation, look, photo))
    untrained = explanation.model.untrained is not None
    suffix, encoded = ("png", _png) if side is None else ("jpg", _jpeg)
    for name in names:
        b = explanation.block(name)
        picture = overlay(photo, b.spatial, b.stride, explanation.view, look, untrained)
        yield f"{name}-{look.mode}.{suffix}", encoded(picture)
        chart = channel_chart(b.channel, name, untrained=untrained)
        yield f"{name}-channels.png", _png(chart)
    arrays = io.BytesIO()
    gates = {
        f"{b.name}.{kind}": getattr(b, kind)
        for b in explanation.blocks
        for kind in ("channel", "spatial")
    }
    np.savez(arrays, **gates)
    yield "attention.npz", arrays.getvalue()
    yield "explanation.json", _json(_record(explanation, look)).encode()


def _png(image: Image.Image) -> bytes:
    """Lossless at any level; the lowest takes a fraction of the time for a photo's few % more."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _jpeg(image: Image.Image) -> bytes:
    """A twentieth of a PNG's time. Colours in full: outlines and cells' edges stay sharp."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, subsampling="4:4:4")
    return buffer.getvalue()


def _record(explanation: Explanation, look: Look) -> dict:
    """`Explanation.to_dict`, the figures of each block, and what it takes to make it again."""
    answer = explanation.to_dict()
    for entry, block in zip(answer["blocks"], explanation.blocks, strict=True):
        entry["channel_figures"] = _figures(block.channel_figures)
        entry["spatial_figures"] = _figures(block.spatial_figures)
    return {
        "model": answer.pop("model"),
        "model_sha256": explanation.model.sha256,
        "untrained": explanation.model.untrained,
        "notes": list(explanation.model.notes),
        "seconds": explanation.seconds,
        "view": asdict(explanation.view),
        "look": asdict(look),
        "versions": {
            "cbam_viz": __version__,
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
            "python": platform.python_version(),
        },
    } | answer


def _figures(figures: GateFigures) -> dict:
    return asdict(figures) | {"nearly_constant": figures.nearly_constant}


def _json(record: dict) -> str:
    """JSON with one line for each entry: a map's values would fill pages otherwise."""
    lines = (
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}"
        for key, value in record.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"
