"""The experiment that looks through a visitor's camera; see `experiments`.

The browser sends the next frame when it has the answer to the last one: what the camera makes
meanwhile is dropped, so that nothing queues up however slow the machine is.
"""

import base64
import binascii
import tempfile
import time
from pathlib import Path

from ..explain.decoder import UntrustedPhoto
from . import viewer
from .measuring import block_of, map_of
from .visit import Visit

#: How a frame is written, and most characters of one: 320 px of a side take about 20,000.
HEAD = "data:image/jpeg;base64,"
MOST = 300_000
#: Predictions that are told of a frame.
SHOWN = 3


def frame(visit: Visit, said: dict) -> dict:
    """What the network makes of one frame: predictions, and one block's spatial gate."""
    began = time.perf_counter()
    block = block_of(visit, said)
    content = _content(said.get("frame"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "frame.jpg")
        path.write_bytes(content)
        explanation = visit.explainer.explain(UntrustedPhoto(path), SHOWN)
    gate = explanation.block(block)
    return {
        "view": viewer.view_facts(explanation.view),
        "map": map_of(gate.spatial, gate.stride),
        "predictions": [
            {"label": p.label, "labelZh": p.label_zh or p.label, "probability": p.probability}
            for p in explanation.predictions
        ],
        "seconds": time.perf_counter() - began,
    }


def _content(said: object) -> bytes:
    if not isinstance(said, str) or not said.startswith(HEAD) or len(said) > MOST:
        raise ValueError(f"a frame is a JPEG file as {HEAD}..., of at most {MOST:,} characters")
    try:
        return base64.b64decode(said[len(HEAD) :], validate=True)
    except binascii.Error as error:
        raise ValueError("a frame's base64 is not valid") from error
