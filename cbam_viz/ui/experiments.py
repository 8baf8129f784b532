"""The experiments: what the browser asks for when a visitor changes something to see what happens.

Script and words are no part of the page: the browser fetches them when the tab is first in view.
A part asks with the event ``select`` for one answer (`NEEDS`), or with ``steps`` for one that grows
while it is computed (`STEPS`); ``stop`` ends these. Each answer comes as the prop of its need.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

import gradio as gr

from ..evaluation.drawn import OutlineError
from ..explain.changes import change_photo
from ..explain.class_maps import UnknownClass
from ..explain.explanation import Explanation
from ..explain.interventions import Comparison, Setting, gate_effects, what_if
from ..explain.photo_errors import PhotoError
from ..explain.variants import VARIANTS, variants
from ..models.errors import WeightsError
from . import later, live, measuring, viewer
from .hub import Fetching
from .visit import Desk, Visit
from .visitors import without_folders

#: Predictions that are compared.
SHOWN = 5


def component(models: list[str], **options) -> gr.HTML:
    """The experiments as a component of a Gradio page whose head is `bundle.head`.

    Args:
        models: names of those that the one in view can be compared with, besides Hub ids.
        options: more of ``gr.HTML``'s, ``elem_id`` for example.
    """
    return gr.HTML(
        html_template='<div class="cbam-viewer cbam-experiments">&nbsp;</div>',
        models=models,
        **dict.fromkeys([*NEEDS, *STEPS]),
        **later.options("experiments") | {"value": None} | options,
    )


def answered(desk: Desk, asked: object, turns: AbstractContextManager) -> dict:
    """The answer to one question, as the prop that it is sent as.

    Args:
        desk: what is on screen.
        asked: as it came from the browser: ``id``, any text, comes back; ``need`` is one of
            `NEEDS`; ``key`` says of which photo and model, but for "subject"; and what the need
            takes.
        turns: gives a turn of the network's.

    Returns:
        By the need's name: the answer, or ``fault``, why there is none.
    """
    said = asked if isinstance(asked, dict) else {}
    need = said.get("need")
    need = need if isinstance(need, str) and need in NEEDS else "subject"
    visit, about = desk.visit, {"id": str(said.get("id"))[:40]}
    try:
        if need != "subject":
            _check_key(visit, said)
        if need == "rival":  # it may have to be fetched: nobody waits for that
            visit.models.named.get(said.get("model"))
        with turns:
            found = NEEDS[need](visit, said)
        if desk.visit is not visit and need != "subject":  # about what is no longer there
            _check_key(desk.visit, said)
        return {need: about | found}
    except (ValueError, PhotoError) as error:
        return {need: about | fault(error)}


def steps(desk: Desk, asked: object) -> Iterator[dict]:
    """Answers that grow, likewise; none any more once another photo or model is on screen."""
    said = asked if isinstance(asked, dict) else {}
    need = said.get("need")
    need = need if isinstance(need, str) and need in STEPS else next(iter(STEPS))
    visit, about = desk.visit, {"id": str(said.get("id"))[:40]}
    try:
        _check_key(visit, said)
        for answer in STEPS[need](visit, said):
            if desk.visit is not visit:
                return
            yield {need: about | answer}
    except (ValueError, PhotoError) as error:
        yield {need: about | fault(error)}


class Gone(ValueError):
    """What was asked about is no longer on screen."""


def fault(error: Exception) -> dict:
    """Why there is no answer: in the core's words, and where visitors get there by what they do,
    of which ``kind``, with its facts, for the page to word."""
    said: dict[str, object] = {"fault": without_folders(str(error))}
    if isinstance(error, UnknownClass):
        return said | {"kind": "likeClass" if error.like else "class"} | vars(error)
    if isinstance(error, WeightsError) and not isinstance(error, Fetching):
        return said | {"kind": "rival"}
    kinds = {Gone: "gone", OutlineError: "drawn"}
    return said | ({"kind": kinds[type(error)]} if type(error) in kinds else {})


def _check_key(visit: Visit, said: dict) -> None:
    if said.get("key") != key_of(visit.explanation):
        raise Gone("this was asked of another photo or model than is shown now")


def key_of(explanation: Explanation) -> str:
    """Tells explanations of different photos, or by different models, apart."""
    content = explanation.logits.tobytes() + explanation.blocks[0].spatial.tobytes()
    return hashlib.sha256(content + explanation.model.name.encode()).hexdigest()[:16]


def subject(visit: Visit, said: dict) -> dict:
    """What is experimented with: the photo, its explanation, all that is there to choose."""
    explanation = visit.explanation
    return {
        "key": key_of(explanation),
        "payload": viewer.payload(explanation, open_at=visit.explainer.open_at),
        "second": visit.beside is not None,
        "costs": measuring.costs(visit),
    }


def classes(visit: Visit, said: dict) -> dict:
    """The names of all classes, by language: what can be searched."""
    explainer = visit.explainer
    names = {"en": list(explainer.classes)}
    return names | ({"zh": list(explainer.classes_zh)} if explainer.classes_zh else {})


def rival(visit: Visit, said: dict) -> dict:
    """What another model makes of the photo.

    Raises:
        ValueError: there is no such model, or it cannot be opened.
    """
    explainer = visit.models.named.get(said.get("model"))
    explanation = explainer.explain(visit.explanation.photo, SHOWN)
    return {"payload": viewer.payload(explanation, open_at=explainer.open_at)}


def gates(visit: Visit, said: dict) -> dict:
    """What some gates' settings change: see `what_if`; "second" is the second photo's gate."""
    asked = said.get("gates")
    if not isinstance(asked, Mapping):
        raise ValueError("gates must be an object: settings by the gates' names")
    settings = {name: _setting(visit, setting) for name, setting in asked.items()}
    found = what_if(visit.explainer, visit.explanation, settings, SHOWN)
    return {
        "classes": _classes(found),
        "blocks": [
            {
                "name": change.name,
                "spatial": viewer.gate(block.spatial),
                "channel": viewer.gate(block.channel),
                "changes": {"spatial": change.spatial, "channel": change.channel},
                "correlation": change.spatial_correlation,
            }
            for change, block in zip(found.blocks, found.after.blocks, strict=True)
        ],
    }


def _setting(visit: Visit, setting: Setting) -> Setting:
    if setting != "second":
        return setting
    if visit.beside is None:
        raise ValueError("there is no second photo; give one first")
    return visit.beside


def change(visit: Visit, said: dict) -> dict:
    """What changing the photo changes: see `change_photo`."""
    found = change_photo(visit.explainer, visit.explanation, said.get("change"), SHOWN)
    return {
        "classes": _classes(found),
        "payload": viewer.payload(found.after),
        "followed": [
            {
                "name": f.name,
                "correlation": f.correlation,
                "difference": f.difference,
                "cells": f.cells,
            }
            for f in found.followed
        ],
    }


def effects(visit: Visit, said: dict) -> Iterator[dict]:
    """Which gate matters: see `gate_effects`."""
    first = visit.explanation.predictions[0]
    total = 2 * len(visit.blocks)
    named = measuring.named(visit.explainer, first.index)
    found = []
    for effect in gate_effects(visit.explainer, visit.explanation):
        found.append({"name": effect.name, "mean": effect.mean, "change": effect.change})
        yield named | {
            "logit": float(visit.explanation.logits[first.index]),
            "done": len(found),
            "total": total,
            "effects": list(found),
        }


def ablation(visit: Visit, said: dict) -> Iterator[dict]:
    """Whole-network variants: see `variants`."""
    rows = []
    for name, found in variants(visit.explainer, visit.explanation, SHOWN):
        rows.append({"name": name, "classes": _classes(found)})
        yield {"done": len(rows), "total": len(VARIANTS), "rows": list(rows)}


def _classes(found: Comparison) -> list[dict]:
    return [
        {
            "label": c.label,
            "labelZh": c.label_zh or c.label,
            "index": c.index,
            "probability": [c.probability_before, c.probability_after],
            "logit": [c.logit_before, c.logit_after],
        }
        for c in found.classes
    ]


#: What can be asked for with one answer, and with answers that grow; by name.
NEEDS: dict[str, Callable[[Visit, dict], dict]] = {
    "subject": subject,
    "classes": classes,
    "rival": rival,
    "gates": gates,
    "change": change,
    "classMap": measuring.class_map,
    "drawn": measuring.drawn,
    "randomised": measuring.randomised,
    "frame": live.frame,
}
STEPS: dict[str, Callable[[Visit, dict], Iterator[dict]]] = {
    "effects": effects,
    "ablation": ablation,
    "deletion": measuring.deletion,
    "several": measuring.several,
}
