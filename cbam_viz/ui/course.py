"""The course: ten steps through one block, bugs to spot and a quiz, drawn by the browser from the
visitor's own photo.

Its script and words are no part of the page: the browser fetches them when the course is first in
view. What a step shows is asked for with the event ``select`` and comes as the prop ``answer``.
"""

import math

import gradio as gr
import numpy as np

from ..explain.anatomy import Anatomy
from ..explain.class_maps import class_maps
from ..explain.explanation import Explanation, Prediction
from ..explain.interventions import what_if
from ..explain.slips import SLIPS, slip_up, with_slip
from ..explain.view import ModelInput
from ..models.resnet import ResNetCBAM
from . import inside, later, viewer
from .visit import Visit
from .visitors import Refused

#: Shares of the way from shut to open at which the block's output is shown.
OPENINGS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Channels whose maps are sent besides those of the inside: of the greatest maxima and averages.
MORE = 4


def component(**options) -> gr.HTML:
    """The course as a component of a Gradio page whose head is `bundle.head`.

    It asks with the event ``select``; the handler gives what `answered` returns, as the prop
    ``answer``, with ``trigger_mode="multiple"``.

    Args:
        options: more of ``gr.HTML``'s, ``elem_id`` for example.
    """
    return gr.HTML(
        html_template='<div class="cbam-viewer cbam-inside cbam-course">&nbsp;</div>',
        answer=None,
        **later.options("course") | {"value": None} | options,
    )


def answered(visit: Visit, asked: object) -> dict:
    """What the course asks for, of what is on a visitor's screen.

    Args:
        visit: what is on screen.
        asked: as it came from the browser: ``id``, any text, comes back; ``need`` is "lesson",
            "cam", "slip", "slipped" or "shut"; ``block`` a block's name, the model's first to look
            at if there is none such; for "cam", ``index`` is a class; for "slip" and "slipped",
            ``name`` is one of `SLIPS`; for "shut", ``of`` is a block's name.

    Raises:
        Refused: there is no such need, class, slip or block.
    """
    said = asked if isinstance(asked, dict) else {}
    block = said.get("block")
    if block not in visit.blocks:
        block = visit.explainer.open_at
    need = said.get("need")
    makers = {"lesson": lesson, "cam": cam, "slip": slip, "slipped": slipped, "shut": shut}
    if not isinstance(need, str) or need not in makers:
        raise Refused(f"the course needs one of {', '.join(makers)}, not {need!r:.40}")
    return {"id": str(said.get("id"))[:40], "need": need} | makers[need](visit, block, said)


def lesson(visit: Visit, block: str, asked: dict) -> dict:
    """All that the ten steps show of one block, but for Grad-CAM.

    Returns:
        Plain values, ready for JSON. ``block`` is `inside.payload`'s; ``more``, maps of further
        channels, as its examples; ``winners``, uint16 in base64: for each cell the channel that
        gives the maximum of F'; ``openings``: with all gates at this value, the block's output,
        its mean over the channels; ``blocks``: spatial gates of all blocks, uint16 in base64, of
        65535 times the value; ``predictions``; ``weights``, how many numbers the network has
        learnt, and how many of them in its gates.
    """
    explainer, explanation = visit.explainer, visit.explanation
    anatomy = visit.anatomy(block)
    return {
        "block": inside.payload(anatomy, explanation),
        "more": [
            {"channel": int(c), "map": viewer.in_base64(anatomy.features[c].astype("<f4"))}
            for c in further_channels(anatomy)
        ],
        "winners": viewer.in_base64(anatomy.channel_refined.argmax(0).astype("<u2")),
        "openings": [
            {"opening": g, "map": viewer.in_base64(output.mean(0).astype("<f4"))}
            for g in OPENINGS
            for output in [np.maximum(g * anatomy.features + anatomy.shortcut, 0)]
        ],
        "blocks": _blocks(explanation),
        "example": visit.example,
        "predictions": [_prediction(p) for p in explanation.predictions[:3]],
        "weights": learnt(explainer.model),
    }


def cam(visit: Visit, block: str, asked: dict) -> dict:
    """Grad-CAM of a class on one block: ``map``, float32 in base64, 0 and up, on its cells.

    Raises:
        Refused: there is no such class.
    """
    explainer, explanation = visit.explainer, visit.explanation
    index = asked.get("index")
    if not isinstance(index, int) or not 0 <= index < len(explainer.classes):
        raise Refused(f"a class is a number up to {len(explainer.classes) - 1}, not {index!r:.40}")
    tensor = ModelInput.of(explanation.photo, explainer.preprocessing, explanation.view).tensor
    _, maps = class_maps(explainer.model, tensor, [block], [index])
    return {"block": block, "index": index, "map": viewer.in_base64(maps[block][0].astype("<f4"))}


def slip(visit: Visit, block: str, asked: dict) -> dict:
    """One slip in one block, on the photo.

    Returns:
        ``kind`` of gate; ``code``, its lines, ``lines``, which of them are the slip, and
        ``mended``, what stands there in the right form; ``right`` and ``wrong``, float32 in base64,
        values by channel or by cell; where a channel's value has become a map, ``channel`` is the
        one that differs most from cell to cell, and both are maps of it; ``measure`` as it is
        written, and what it prints ``ofRight`` and ``ofWrong``.

    Raises:
        Refused: there is no such slip.
    """
    made = slip_up(visit.explainer, visit.anatomy(block), _slip_name(asked))
    right, wrong, channel = made.right, made.wrong, None
    if wrong.ndim == 3:
        channel = int(np.ptp(wrong, (1, 2)).argmax())
        wrong = wrong[channel]
        right = np.full_like(wrong, right[channel])
    return {
        "kind": made.slip.kind,
        "code": made.slip.code,
        "lines": [1 + line for line in made.slip.lines],  # the head is the first
        "mended": list(made.slip.mended),
        "right": viewer.in_base64(right.astype("<f4")),
        "wrong": viewer.in_base64(wrong.astype("<f4")),
        "channel": channel,
        "measure": made.slip.measure[0],
        "ofRight": list(made.right_measure),
        "ofWrong": list(made.wrong_measure),
    }


def slipped(visit: Visit, block: str, asked: dict) -> dict:
    """What the network says with one slip in every block: see `_before_and_after`.

    Raises:
        Refused: there is no such slip.
    """
    after = with_slip(visit.explainer, visit.explanation, _slip_name(asked))
    return _before_and_after(visit.explanation, after)


def _slip_name(asked: dict) -> str:
    name = asked.get("name")
    if not isinstance(name, str) or name not in SLIPS:
        raise Refused(f"a slip is one of {', '.join(SLIPS)}, not {name!r:.40}")
    return name


def shut(visit: Visit, block: str, asked: dict) -> dict:
    """What the network says with the spatial gate of one block shut: see `_before_and_after`.

    Raises:
        Refused: there is no such block.
    """
    of = asked.get("of")
    if of not in visit.blocks:
        raise Refused(f"no block {of!r:.40}")
    after = what_if(visit.explainer, visit.explanation, {f"{of}.spatial": "shut"}).after
    return _before_and_after(visit.explanation, after)


def further_channels(anatomy: Anatomy) -> list[int]:
    """Channels with the greatest maxima and averages that are not shown for their gates."""
    falling = np.argsort(-anatomy.channel_gate, kind="stable")
    shown = {*falling[: inside.EXAMPLES].tolist(), *falling[-inside.EXAMPLES :].tolist()}
    chosen: list[int] = []
    for pooled in (anatomy.maximum, anatomy.average):
        left = [int(c) for c in np.argsort(-pooled, kind="stable") if int(c) not in shown]
        chosen += left[:MORE]
        shown.update(left[:MORE])
    return chosen


def learnt(model: ResNetCBAM) -> dict[str, int]:
    """How many numbers a network has learnt: of ``all`` of it, and of its ``gates``."""
    gates = (
        part for block in model.blocks().values()
        for part in (block.channel_attention, block.spatial_attention)
    )  # fmt: skip
    return {
        "all": sum(p.numel() for p in model.parameters()),
        "gates": sum(p.numel() for part in gates for p in part.parameters()),
    }


def _before_and_after(before: Explanation, after: Explanation) -> dict:
    """The most likely class ``before``, the one ``after``, and ``left``, the probability then of
    the one before. Probabilities are null where the network computed no number any more."""
    first = before.predictions[0]
    sound = np.isfinite(after.logits).all()
    return {
        "before": _prediction(first),
        "after": _prediction(after.predictions[0]),
        "left": float(after.probabilities[first.index]) if sound else None,
    }


def _prediction(p: Prediction) -> dict:
    names = {"label": p.label, "label_zh": p.label_zh or p.label}
    probability = p.probability if math.isfinite(p.probability) else None
    return names | {"index": p.index, "probability": probability}


def _blocks(explanation: Explanation) -> list[dict]:
    return [
        {
            "name": b.name,
            "stride": b.stride,
            "rows": b.spatial.shape[0],
            "columns": b.spatial.shape[1],
            "spatial": viewer.gate(b.spatial),
        }
        for b in explanation.blocks
    ]
