"""An explanation as one HTML file that works from disk, with no network."""

import json
from collections.abc import Iterable, Mapping
from string import Template

from ..explain.anatomy import Anatomy
from ..explain.explanation import Explanation
from . import bundle, inside, viewer


def standalone_html(
    explanation: Explanation,
    receptive_fields: Mapping[str, int] | None = None,
    anatomies: Iterable[Anatomy] = (),
    state: Mapping[str, object] | None = None,
    open_at: str | None = None,
) -> str:
    """One HTML file with the viewer in it, and the inside of blocks below it.

    Without JavaScript it shows the photo and a sentence.

    Args:
        explanation, receptive_fields, open_at: as for `viewer.payload`.
        anatomies: of the blocks whose inside and feature maps the file is to have.
        state: the view to open at, as the viewer tells it: block, mode, pin and the like. What is
            no state is passed over when the file is opened.
    """
    payload = viewer.payload(explanation, receptive_fields, open_at)
    photo = payload["photo"].pop("url")  # it is in the file once: as the picture that stays
    contents = {"payload": payload, "state": dict(state or {}), "insides": [], "features": []}
    for anatomy in anatomies:
        parts = inside.payload(anatomy, explanation)
        contents["seen"] = parts["photo"].pop("url")  # the same for all blocks
        contents["insides"].append(parts)
        contents["features"].append(viewer.features(anatomy))
    words = bundle.strings("viewer")
    return Template((bundle.WEB / "page" / "standalone.html").read_text("utf-8")).substitute(
        title=words["en"]["title"],
        style=bundle.style(),
        script=bundle.script(),
        photo=photo,
        sentences=" ".join(words[lang]["broken"] for lang in words),
        # Class names are anybody's: none may end the script element.
        contents=json.dumps(contents, ensure_ascii=False).replace("<", "\\u003c"),
    )


def view_of(text: str) -> dict:
    """The viewer's state, from JSON that a browser sent; an empty one from anything else."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
