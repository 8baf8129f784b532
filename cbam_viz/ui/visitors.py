"""What visitors may ask for: the one place where it is checked, before anything is opened or run.

Whoever can reach the server can call every function of the page, with any arguments: a browser
needs them all. So what arrives is held for hostile, by whichever way it came (the page's queue,
the HTTP API, MCP). Gradio checks the paths of what calls itself a file of its own; a path that
does not is handed on as it is.
"""

import logging
import os
import re
from collections.abc import Callable
from urllib.parse import unquote

import gradio as gr
from gradio.utils import get_upload_folder

log = logging.getLogger(__name__)

#: Where the server gives out uploaded files; such an address, of any host, names an upload.
OWN_FILES = re.compile(r".*/gradio_api/file=")

#: The folders before a file's name. A Hub id or an address has none that begins like this.
FOLDERS = re.compile(r"(?<![\w:/.<])(?:[A-Za-z]:)?[\\/](?:[^\s'\"\\/:;,()<>]+[\\/])+")


def without_folders(message: str) -> str:
    """A message that names files by their names alone: where they lie is nobody's business."""
    return FOLDERS.sub("", message)


class Refused(gr.Error):
    """A visitor's fault, in a sentence: nothing to log."""

    def __init__(self, message: str, title: str = "Error"):
        # What was sent is quoted in it, and may be no text that can be sent back.
        words = without_folders(message).encode("utf-8", "replace").decode()
        super().__init__(words, title=title, print_exception=False)


class Page(gr.Blocks):
    """`gr.Blocks` that takes nothing from visitors unchecked, and answers every fault in words.

    Attributes:
        on_mcp_server: called with Gradio's MCP server once it is made, before it is launched.
    """

    on_mcp_server: Callable[[object], None] | None = None

    @property
    def mcp_server_obj(self):
        return self._mcp_server

    @mcp_server_obj.setter
    def mcp_server_obj(self, server) -> None:
        self._mcp_server = server
        if server is not None and self.on_mcp_server:
            self.on_mcp_server(server)

    async def process_api(self, block_fn, inputs, *args, **kwargs):
        try:
            return await super().process_api(block_fn, inputs, *args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            log.exception("a call failed")
            raise Refused("this could not be done; the fault is the server's") from error

    async def preprocess_data(self, block_fn, inputs, *args, **kwargs):
        if isinstance(inputs, list) and block_fn.api_visibility == "public":
            inputs = inputs + [None] * (len(block_fn.inputs) - len(inputs))  # null: the default
        if not isinstance(inputs, list) or len(inputs) < len(block_fn.inputs):
            raise Refused(f"expected are {len(block_fn.inputs)} arguments, as a list")
        check_files(inputs)
        try:
            return await super().preprocess_data(block_fn, inputs, *args, **kwargs)
        except gr.Error as error:
            raise Refused(error.message, error.title) from error
        except Exception as error:  # of whatever class: a component took it for what it is not
            names = ", ".join(str(getattr(c, "label", None) or "?") for c in block_fn.inputs)
            raise Refused(
                f"an argument is not of the kind that is expected here ({names}); a file is an "
                'object: {"path": what an upload answered}'
            ) from error


def check_files(arguments: list) -> None:
    """Check every file that is named anywhere in what a visitor sent.

    Args:
        arguments: plain values, as they came out of JSON. An address of an upload is replaced by
            the upload's path, in place.

    Raises:
        Refused: one is not an upload.
    """
    left = [arguments]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += value.values()
            meta = value.get("meta", {})
            if not isinstance(meta, dict):
                raise Refused("the meta of a file must be an object")
            if value.get("path") is not None:
                value["path"] = uploaded(value["path"])
            elif "url" in value:
                raise Refused(NOT_FETCHED)


NOT_FETCHED = "an address is not fetched; download the file and upload it"


def uploaded(path: object) -> str:
    """The path of an uploaded file, if it is one.

    Args:
        path: as it came: a path of this machine, or the address under which the server gives an
            upload out.

    Raises:
        Refused: it is anything else. Whether such a file exists is not told.
    """
    if not isinstance(path, str):
        raise Refused(f"the path of a file must be text, not {type(path).__name__}")
    if own := OWN_FILES.match(path):
        path = unquote(path[own.end() :].partition("?")[0])
    elif re.match(r"[a-z][a-z0-9+.-]*:", path, re.IGNORECASE) and not os.path.isabs(path):
        raise Refused(NOT_FETCHED)
    folder = os.path.realpath(get_upload_folder())
    try:
        real = os.path.realpath(path)
        inside = os.path.commonpath([folder, real]) == folder
        if inside and os.path.isfile(real):
            return path
    except (OSError, ValueError):  # too long, or with a NUL in it
        pass
    raise Refused("this file was not uploaded here, or is cleared away by now; upload it (again)")
