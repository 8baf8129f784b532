"""The viewer: an explanation drawn by the browser.

Python only says what there is to see: photo, gates, geometry, colour tables.
"""

import base64
import io
import uuid
from collections.abc import Mapping

import gradio as gr
import matplotlib
import numpy as np

from ..explain.anatomy import Anatomy
from ..explain.explanation import NEARLY_CONSTANT, BlockAttention, Explanation, Prediction
from ..explain.view import View
from ..render.overlay import COLOURS, MODES, Look, colour_table
from . import bundle

#: `gr.HTML` runs it as a function of element, props, trigger and watch. A browser that does not
#: run the script of the head gets the photo and a sentence, whatever photo comes.
EMBED = """
if (window.CbamViz) return CbamViz.embedViewer({ element, props, trigger, watch });
const root = element.querySelector(".cbam-viewer");
const still = () => {
  root.innerHTML = '<figure class="cv-still"><img alt=""><figcaption></figcaption></figure>';
  root.querySelector("img").src = props.value ? props.value.photo.url : "";
  root.querySelector("figcaption").textContent = props.broken;
  root.hidden = !props.value;
};
watch("value", still);
still();
"""

#: The photo that is sent has no longer side than this, in px.
PHOTO_SIDE = 1024
PHOTO_QUALITY = 90

#: How many of the strongest, and of the weakest, channels are named; `chart.js` says the same.
NAMED = 6


def payload(
    explanation: Explanation,
    receptive_fields: Mapping[str, int] | None = None,
    open_at: str | None = None,
) -> dict:
    """All that the viewer draws from: about 95 kB for a ResNet-50 on a 4:3 photo, and the photo.

    Args:
        explanation: of one photo.
        receptive_fields: by block name, in input px, as `models.receptive_field` gives them;
            without them, none are outlined.
        open_at: name of the block to begin with; the last one if None.

    Returns:
        Plain values, ready for JSON. Gates are little-endian uint16 of 65535 times the value,
        colour tables uint8 [256, 3], both in base64. A page whose links hold no such photo may
        set ``["photo"]["linked"]`` to False: the viewer then says so.
    """
    view = explanation.view
    return {
        "photo": {"url": _photo_url(explanation), "size": list(explanation.photo.size)},
        "view": view_facts(view),
        "model": {"name": explanation.model.name, "untrained": explanation.model.untrained},
        "predictions": [prediction(p) for p in explanation.predictions],
        "blocks": [_block(b, (receptive_fields or {}).get(b.name)) for b in explanation.blocks],
        "openAt": open_at or explanation.blocks[-1].name,
        "tables": {name: in_base64(colour_table(name)) for name in COLOURS},
        "modes": list(MODES),
        "look": {"mode": Look.mode, "colours": Look.colours, "opacity": Look.opacity}
        | {"scale": Look.scale, "keep": Look.keep},
        "nearlyConstant": NEARLY_CONSTANT,
    }


def view_facts(view: View) -> dict:
    """The geometry between photo and network input, in px, each [x, y]."""
    return {
        "resized": list(view.resized),
        "offset": list(view.offset),
        "size": list(view.size),
        "squeezed": view.squeezed,
    }


def features(anatomy: Anatomy) -> dict:
    """The feature maps of the channels that the viewer names: those of the strongest and weakest
    gates, at most six each, none in both, none of a gate that is the same for all channels.

    Args:
        anatomy: of one block of the explanation that the viewer shows.

    Returns:
        Plain values, ready for JSON; about 50 kB at most for a 4:3 photo. The maps are F, before
        the gates; of each its channel, gate, least and greatest value, and ``levels``: uint8 in
        base64, from 0 for ``low`` to 255 for ``high``, the least and greatest value of all maps
        together. Levels of two channels can be compared.
    """
    channels = named(anatomy)
    maps = anatomy.features[channels]
    low, high = (float(maps.min()), float(maps.max())) if channels else (0.0, 0.0)
    levels = np.rint((maps - low) * (255.0 / (high - low or 1.0))).astype(np.uint8)
    rows, columns = anatomy.spatial_gate.shape
    return {
        # Gradio passes nothing on that is what it passed on before; two answers never are.
        "answer": uuid.uuid4().hex,
        "block": anatomy.name,
        "rows": rows,
        "columns": columns,
        "low": low,
        "high": high,
        "most": feature_scale(anatomy),
        "table": signed_table(),
        "channels": [
            {
                "channel": int(channel),
                "gate": float(anatomy.channel_gate[channel]),
                "min": float(map_.min()),
                "max": float(map_.max()),
                "levels": in_base64(level),
            }
            for channel, map_, level in zip(channels, maps, levels, strict=True)
        ],
    }


def named(anatomy: Anatomy) -> list[int]:
    """The channels that are named: the strongest, then the weakest, from the ends."""
    # As `payload` sends it, so that equal gates are the same ones here and there.
    gate = np.rint(anatomy.channel_gate * 65535.0)
    falling = np.argsort(-gate, kind="stable")
    count = min(NAMED, len(gate) // 2) if gate.min() < gate.max() else 0
    return [int(c) for c in (*falling[:count], *falling[::-1][:count])]


def feature_scale(anatomy: Anatomy) -> float:
    """The greatest magnitude of the named channels' maps, of all where none is named: the ends of
    their colours, wherever they are shown."""
    maps = anatomy.features[named(anatomy)]
    return float(np.abs(maps if len(maps) else anatomy.features).max())


def signed_table() -> str:
    """The colours of what has a sign: white at 0, safe for the colour-blind."""
    return in_base64(matplotlib.colormaps["RdBu_r"](np.arange(256), bytes=True)[:, :3])


def prediction(said: Prediction) -> dict:
    """The class under its names in the languages that the model brings, and how likely it is."""
    names = {"label": said.label}
    if said.label_zh:
        names["label_zh"] = said.label_zh
    return names | {"probability": round(said.probability, 4)}


def _block(block: BlockAttention, receptive_field: int | None) -> dict:
    rows, columns = block.spatial.shape
    return {
        "name": block.name,
        "stage": block.stage,
        "stride": block.stride,
        "field": receptive_field,
        "rows": rows,
        "columns": columns,
        "spatial": gate(block.spatial),
        "channel": gate(block.channel),
    }


def gate(gate: np.ndarray) -> str:
    """Its values as little-endian uint16 of 65535 times each, in base64."""
    return in_base64(np.rint(gate * 65535.0).astype("<u2"))


def in_base64(array: np.ndarray) -> str:
    """An array's bytes, in C order and its own type, as JSON can hold them."""
    return base64.b64encode(array.tobytes()).decode()


def _photo_url(explanation: Explanation) -> str:
    """The photo as a data URL, in the shape that the model saw it in."""
    view = explanation.view
    width, height = view.resized if view.squeezed else view.photo_size
    shrink = min(1, PHOTO_SIDE / max(width, height))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    photo = explanation.photo.at_least(*size)
    if photo.size != size:
        photo = photo.resize(size, reducing_gap=2)
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=PHOTO_QUALITY, subsampling="4:4:4")
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def component(**options) -> gr.HTML:
    """The viewer as a component of a Gradio page whose head is `bundle.head`.

    Its value is a `payload`, or None. Two props can be updated like the value, as in
    ``gr.HTML(features=...)``: ``second``, the payload of a second photo to compare with, or None;
    and ``features``, the `features` of a block. Those the viewer asks for with the event
    ``select``, whose handler gets the block's name as ``event.block`` of a ``gr.EventData``;
    with ``trigger_mode="multiple"``, for one block may be asked for while another is on its way.

    Args:
        options: more of ``gr.HTML``'s, ``elem_id`` for example.
    """
    return gr.HTML(
        html_template='<div class="cbam-viewer"></div>',
        js_on_load=EMBED,
        apply_default_css=False,
        second=None,
        features=None,
        broken=" ".join(words["broken"] for words in bundle.strings("viewer").values()),
        **{"value": None} | options,
    )
