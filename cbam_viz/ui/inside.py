"""Inside a block: every step between its features and its output, drawn by the browser.

One payload holds a block on a photo;
the products behind a cell or a channel are computed from it in the browser.
"""

import base64
import io

import gradio as gr
import numpy as np

from ..explain.anatomy import Anatomy
from ..explain.explanation import NEARLY_CONSTANT, Explanation
from ..render.overlay import colour_table
from . import viewer

#: Feature maps sent of each end: of the channels with the greatest, and with the least gates.
EXAMPLES = 4
#: Predictions that are said above it.
SAID = 3


def payload(anatomy: Anatomy, explanation: Explanation) -> dict:
    """All that is shown of a block: about 0.1 MB for a ResNet-18, 1.3 MB at most for a ResNet-50.

    Args:
        anatomy: of the block.
        explanation: that the anatomy is of: gives photo, view and model.

    Returns:
        Plain values, ready for JSON. Arrays are little-endian float32 in base64; the weights of
        the perceptron's second layer are int16 of 32767 times their share of the channel's
        greatest, which is exact to 5 decimals after summing up.
    """
    rows, columns = anatomy.spatial_gate.shape
    falling = np.argsort(-anatomy.channel_gate, kind="stable")
    examples = [*falling[:EXAMPLES], *falling[-EXAMPLES:]]
    largest = np.abs(anatomy.out_weight).max(1)
    share = anatomy.out_weight / np.where(largest > 0, largest, 1)[:, None]
    return {
        "name": anatomy.name,
        "stride": anatomy.stride,
        "rows": rows,
        "columns": columns,
        "channels": len(anatomy.channel_gate),
        "photo": {"url": _photo_url(explanation), "size": list(explanation.view.size)},
        "model": {"name": explanation.model.name, "untrained": explanation.model.untrained},
        "predictions": [viewer.prediction(p) for p in explanation.predictions[:SAID]],
        "view": viewer.view_facts(explanation.view),
        "tables": {
            "signed": viewer.signed_table(),
            "gate": viewer.in_base64(colour_table("magma")),
        },
        "maps": {
            "features": _floats(anatomy.features.mean(0)),
            "maximum": _floats(anatomy.max_map),
            "mean": _floats(anatomy.mean_map),
            "logits": _floats(anatomy.spatial_logits),
            "gate": _floats(anatomy.spatial_gate),
            "shortcut": _floats(anatomy.shortcut.mean(0)),
            "output": _floats(anatomy.output.mean(0)),
        },
        "most": viewer.feature_scale(anatomy),
        "examples": [{"channel": int(c), "map": _floats(anatomy.features[c])} for c in examples],
        "kernel": {"side": anatomy.kernel.shape[1], "weights": _floats(anatomy.kernel)},
        "norm": list(anatomy.norm) if anatomy.norm else None,
        "pooled": {
            "average": _floats(anatomy.average),
            "maximum": _floats(anatomy.maximum),
        },
        "hidden": {
            "average": _floats(anatomy.hidden_average),
            "maximum": _floats(anatomy.hidden_maximum),
        },
        "logits": {
            "average": _floats(anatomy.logits_average),
            "maximum": _floats(anatomy.logits_maximum),
        },
        "gate": _floats(anatomy.channel_gate),
        "weights": {
            "largest": _floats(largest),
            "shares": viewer.in_base64(np.rint(share * 32767).astype("<i2")),
        },
        "bias": None if anatomy.out_bias is None else _floats(anatomy.out_bias),
        "sizes": anatomy.sizes,
        "reach": anatomy.reach,
        "nearlyConstant": NEARLY_CONSTANT,
    }


def _floats(array: np.ndarray) -> str:
    return viewer.in_base64(array.astype("<f4"))


def _photo_url(explanation: Explanation) -> str:
    """What the network saw of the photo, at its input's size, as a data URL."""
    view = explanation.view
    photo = explanation.photo.resized(*view.resized)
    (x, y), (width, height) = view.offset, view.size
    file = io.BytesIO()
    photo.crop((x, y, x + width, y + height)).save(file, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def component(**options) -> gr.HTML:
    """A block's inside as a component of a Gradio page whose head is `bundle.head`.

    Its value is a `payload`, or None; the prop ``second`` is that of a second photo's, which can
    be updated like it. It speaks the page's language, and follows the event
    ``cbam-lang``; what is picked in the viewer of the same page is picked here, and the other way.

    Args:
        options: more of ``gr.HTML``'s, ``elem_id`` for example.
    """
    return gr.HTML(
        html_template='<div class="cbam-viewer cbam-inside"></div>',
        js_on_load="window.CbamViz?.embedInside({ element, props, watch });",
        apply_default_css=False,
        second=None,
        **{"value": None} | options,
    )
