"""The MCP tools: an explanation in the few words that a language model can use, and the picture;
and what gates set by hand change.

Gradio would hand out every number of `/explain`, about 66,000 characters a photo, as text in
Python's writing. Here a call answers short JSON, as text and as structured content, and the
overlay of one block as an image; the gates themselves come on request.
"""

import base64
import binascii
import io
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from gradio.mcp import GradioMCPServer
from gradio.utils import get_upload_folder
from mcp import types
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse

from ..explain.explanation import BlockAttention, Explanation, GateFigures
from ..render.overlay import overlay, resized
from . import journal, storage
from .visitors import Refused, uploaded
from .words import said

NAME = "explain"
DESCRIPTION = (
    "Explain how an image classifier, a ResNet with the Convolutional Block Attention Module "
    "(CBAM), looks at a photo: its predictions, one block's channel and spatial attention in "
    "figures and words, and that block's spatial attention laid over the photo as an image. "
    "Attention is a gate in (0, 1) that features are multiplied by; an undecided one gives 0.5. "
    "It knows nothing of the predicted class."
)
PHOTO = (
    "the photo: a data URI (data:image/jpeg;base64,...), or the path that an upload to "
    "gradio_api/upload answered"
)


def _schema(kind: str, words: str, **more) -> dict:
    """Of an argument that may be left out, or null."""
    return {"type": [kind, "null"], "description": words, "default": None} | more


INPUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "photo": {"type": "string", "description": PHOTO},
        "model": _schema("string", "a model's name or Hub id; the default model if null"),
        "top_k": _schema("integer", "number of predictions, 5 if null", minimum=1),
        "block": _schema("string", 'the block to show, as "layer4.1"; the model\'s own if null'),
        "gates": _schema("boolean", "also every gate's value of every block; long"),
    },
    "required": ["photo"],
}
OUTPUT = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "activation": {"type": "string"},
        "image_size": {"type": "array", "items": {"type": "integer"}},
        "predictions": {"type": "array", "items": {"type": "object"}},
        "in_words": {"type": "string"},
        "block": {"type": "object"},
        "block_names": {"type": "array", "items": {"type": "string"}},
        "untrained": {"type": ["string", "null"]},
        "notes": {"type": "array", "items": {"type": "string"}},
        "blocks": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["model", "predictions", "in_words", "block"],
}

TRIAL = "what_if"
TRIAL_DESCRIPTION = (
    "Set gates of the network's attention by hand, and see what that makes of its predictions on a "
    "photo: the most likely classes' probabilities and logits before and after, and how far each "
    "block's gates moved. Without gates: which gate matters, each set to its mean alone. A gate "
    "weakens what passes it: 1 lets everything through, 0 nothing."
)
TRIAL_INPUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "photo": {"type": "string", "description": PHOTO},
        "gates": _schema(
            "object",
            'settings by the gates\' names, as in {"layer4.1.spatial": "open"}: "open", "shut", '
            '"half", "mean", "shuffled", "inverted"; a number the gate is multiplied by; or its '
            "values in 0..1. Null: which gate matters",
        ),
        "model": INPUT["properties"]["model"],
        "top_k": INPUT["properties"]["top_k"],
    },
    "required": ["photo"],
}
TRIAL_OUTPUT = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "classes": {"type": "array", "items": {"type": "object"}},
        "blocks": {"type": "array", "items": {"type": "object"}},
        "effects": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["model"],
}
#: The tools by name: what is said of each, what it takes, and what it answers.
TOOLS = {
    NAME: (DESCRIPTION, INPUT, OUTPUT),
    TRIAL: (TRIAL_DESCRIPTION, TRIAL_INPUT, TRIAL_OUTPUT),
}

#: Base64 of a photo without what should stand before it; no path is like it, and so long.
BARE = re.compile(r"[\w+/=\s-]{500,}", re.ASCII)
#: The long side of the overlay in px: enough to see, and not a model's whole budget.
SHOWN = 512
#: Most calls taken at once; the network's turns are `Handlers`' to give.
AT_ONCE = 8


def install(
    server: GradioMCPServer,
    explain: Callable[..., tuple[Explanation, str]],
    what_if: Callable[..., dict],
) -> None:
    """Make these the tools of a server that Gradio made.

    Args:
        server: not yet launched.
        explain: from photo (an upload's path), model, top_k and block to an explanation and the
            name of the block to show; its faults are `Refused`.
        what_if: from photo (likewise), gates, model and top_k to plain values; likewise.
    """
    answers = {NAME: partial(_answer, explain), TRIAL: partial(_trial, what_if)}
    limit = anyio.CapacityLimiter(AT_ONCE)
    protocol = server.mcp_server

    @protocol.list_tools()
    async def list_tools() -> list[types.Tool]:
        return [
            types.Tool(name=name, description=words, inputSchema=takes, outputSchema=gives)
            for name, (words, takes, gives) in TOOLS.items()
        ]

    # Wrong arguments get sentences of ours.
    @protocol.call_tool(validate_input=False)
    async def call_tool(name: str, arguments: dict):
        if name not in TOOLS:
            raise ValueError(f"there is no tool {name!r:.60}; there are: {', '.join(TOOLS)}")
        try:
            _check_names(arguments, TOOLS[name][1])
            with journal.entry("mcp", len(str(arguments.get("photo", "")))):
                return await anyio.to_thread.run_sync(answers[name], arguments, limiter=limit)
        except Refused as error:
            raise ValueError(error.message) from error  # as plain text, not in quotes

    async def schema(request: Request) -> JSONResponse:
        tools = [
            {"name": name, "description": words, "inputSchema": takes}
            for name, (words, takes, _) in TOOLS.items()
        ]
        return JSONResponse(tools)

    server.get_complete_schema = schema


def _check_names(arguments: dict, takes: dict) -> None:
    if unknown := arguments.keys() - takes["properties"].keys():
        raise Refused(
            f"there is no argument {', '.join(sorted(unknown))!r:.80}; there are: "
            f"{', '.join(takes['properties'])}"
        )


def _trial(what_if: Callable, arguments: dict) -> tuple[list[types.ContentBlock], dict]:
    with _file(arguments.get("photo")) as file:
        answer = what_if(file, *(arguments.get(name) for name in ("gates", "model", "top_k")))
    return [types.TextContent(type="text", text=json.dumps(answer, ensure_ascii=False))], answer


def _answer(explain: Callable, arguments: dict) -> tuple[list[types.ContentBlock], dict]:
    gates = arguments.get("gates")
    if not isinstance(gates, bool | None):
        raise Refused(f"gates must be true or false, not {gates!r:.40}")
    with _file(arguments.get("photo")) as file:
        explanation, shown = explain(
            file, *(arguments.get(name) for name in ("model", "top_k", "block"))
        )
        answer = summary(explanation, shown)
        picture = io.BytesIO()
        small_overlay(explanation, shown).save(picture, "JPEG", quality=80)
    if gates:
        answer["blocks"] = explanation.to_dict()["blocks"]
    image = base64.b64encode(picture.getvalue()).decode()
    return [
        types.TextContent(type="text", text=json.dumps(answer, ensure_ascii=False)),
        types.ImageContent(type="image", data=image, mimeType="image/jpeg"),
    ], answer


@contextmanager
def _file(photo: object) -> Iterator[str]:
    """The path of a photo that was uploaded before, or sent along: then it is deleted again."""
    if photo is None or photo == "":
        raise Refused(f"no photo was given; expected is {PHOTO}")
    if not isinstance(photo, str):
        raise Refused(f"photo is no text but {type(photo).__name__}; expected is {PHOTO}")
    photo = photo.strip()
    head, _, content = photo.partition(",")
    if not head.lower().startswith("data:"):
        try:
            yield uploaded(photo)
            return
        except Refused:
            if not BARE.fullmatch(photo):
                raise
            head, content = "data:;base64", photo
    try:
        if not head.lower().endswith(";base64"):
            raise ValueError
        # Wrapped into lines, with the letters of addresses, or without its end, it says the same.
        content = "".join(content.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
        decoded = base64.b64decode(content + "=" * (-len(content) % 4), validate=True)
    except (ValueError, binascii.Error) as error:
        raise Refused(f"the data URI is not valid base64; expected is {PHOTO}") from error
    if storage.is_full(len(decoded)):
        raise Refused(said("noRoom"))
    # No other call has this folder, not of the same photo either.
    with tempfile.TemporaryDirectory(dir=get_upload_folder()) as folder:
        path = Path(folder, "photo")
        path.write_bytes(decoded)
        yield str(path)


def summary(explanation: Explanation, name: str) -> dict:
    """An explanation in short: plain values, and what they say in words."""
    full = explanation.to_dict()
    block = explanation.block(name)
    row, column = divmod(int(block.spatial.argmax()), block.spatial.shape[1])
    x, y = explanation.view.cell_centre(row, column, block.stride)
    width, height = explanation.photo.size
    x, y = min(max(round(x), 0), width - 1), min(max(round(y), 0), height - 1)
    where = _where(x / width, y / height)
    strongest = block.channel.argsort()[::-1][:5]
    return {key: full[key] for key in ("model", "activation", "image_size", "predictions")} | {
        "in_words": _words(explanation, block, where),
        "block": {
            "name": name,
            "stride": block.stride,
            "map_size": list(block.spatial.shape[::-1]),
            "spatial": _figures(block.spatial_figures),
            "channel": _figures(block.channel_figures),
            "highest": {"x": x, "y": y, "value": _round(block.spatial.max()), "where": where},
            "strongest_channels": [
                {"index": int(i), "value": _round(block.channel[i])} for i in strongest
            ],
        },
        "block_names": [b.name for b in explanation.blocks],
        "untrained": explanation.model.untrained,
        "notes": list(explanation.model.notes),
    }


def _words(explanation: Explanation, block: BlockAttention, where: str) -> str:
    first = explanation.predictions[0]
    spatial, channel = block.spatial_figures, block.channel_figures
    if spatial.nearly_constant:
        map_ = f"its spatial attention is nearly constant (about {spatial.mean:.2f} everywhere)"
    else:
        map_ = (
            f"its spatial attention is highest ({spatial.max:.2f}) in the {where} of the photo, "
            f"{spatial.mean:.2f} on average and {spatial.min:.2f} at least"
        )
    sentence = (
        f"The model says {first.label} ({first.probability:.1%}). In block {block.name} {map_}; "
        f"its channel weights lie between {channel.min:.2f} and {channel.max:.2f}. "
        "An undecided gate gives 0.5."
    )
    if explanation.model.untrained:
        sentence += f" The gates mean nothing: {explanation.model.untrained}."
    return sentence


def _where(x: float, y: float) -> str:
    """A place of the photo in words, by thirds."""
    across = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    down = "upper" if y < 1 / 3 else "lower" if y > 2 / 3 else ""
    if not across and not down:
        return "centre"
    if not across:
        return f"{down} middle"
    return f"{down} {across}" if down else f"{across} middle"


def _figures(figures: GateFigures) -> dict:
    values = {n: _round(getattr(figures, n)) for n in ("min", "mean", "max", "deviation")}
    return values | {"nearly_constant": figures.nearly_constant}


def _round(value: float) -> float:
    return round(float(value), 4)


def small_overlay(explanation: Explanation, name: str) -> Image.Image:
    """A block's overlay, at most `SHOWN` px long."""
    shrink = min(1, SHOWN / max(explanation.photo.size))
    size = tuple(max(1, round(side * shrink)) for side in explanation.photo.size)
    photo = resized(explanation.photo.at_least(*size), size)
    block, untrained = explanation.block(name), explanation.model.untrained is not None
    return overlay(photo, block.spatial, block.stride, explanation.view, untrained=untrained)
